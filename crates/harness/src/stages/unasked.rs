use std::collections::HashMap;

use corpus::Split;
use oracle::TokenId;
use serde_json::json;
use store::{Hash, Key};

use crate::stages::Context;
use crate::stages::context::{load_json, save_json};
use crate::stages::queries::{Drawn, openings};

/// Raised when the same texts would be left out or kept otherwise.
pub(super) const REVISION: u32 = 1;
/// File of the artifact: indices of the texts that were asked.
const FILE: &str = "asked.json";
/// Queries drawn at a time: memory does not grow with the budget.
const CHUNK: u64 = 1 << 15;

/// Which of `texts` (token ids) open as some query of the stream does, up to the largest budget or as far as the audit says. Compared
/// over as many tokens as both have: texts of different lengths are the same text when the shorter opens the longer. Imported
/// prompts are the queries where there are any.
///
/// # Errors
/// When the grammar is not valid, or the work is cancelled.
pub fn opened_by_queries(ctx: &Context<'_>, texts: &[&[TokenId]]) -> anyhow::Result<Vec<bool>> {
    let asking = &ctx.resolved.world.queries;
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let imported = ctx.imports.map(|imports| &*imports.marked);
    let common = imported.map_or(asking.prompt_tokens, |imported| imported.holds.longest_prompt).min(longest);
    let opening = |ids: &[TokenId]| ids[..common.min(ids.len())].to_vec();
    let opened: Vec<Vec<TokenId>> = texts.iter().map(|text| opening(text)).collect();
    let n = ctx.resolved.world.audit.apart_from_queries.unwrap_or(0).max(ctx.resolved.largest_budget());
    let texts: Hash = store::hash_json(&opened)?;
    let inputs = match imported {
        Some(imported) => json!({ "texts": texts, "queries": n, "imported": imported.hash() }),
        None => json!({
            "texts": texts,
            "prompt_tokens": asking.prompt_tokens,
            "queries": n,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed_for("queries"),
        }),
    };
    let artifact = ctx.artifact("unasked", &Key::new(REVISION, &inputs)?, |directory| {
        let mut places: HashMap<&[TokenId], Vec<usize>> = HashMap::new();
        for (place, opening) in opened.iter().enumerate() {
            places.entry(opening).or_default().push(place);
        }
        let drawn = Drawn {
            purpose: "queries",
            split: Split::Prompts,
            prompt_tokens: asking.prompt_tokens,
            max_new_tokens: asking.max_new_tokens,
            sampling: asking.sampling,
        };
        let bar = ctx.progress.stage("comparing prompts", n, "queries");
        let mut asked = Vec::new();
        for range in distill::shards(n, CHUNK) {
            ctx.rt.check_cancelled()?;
            bar.inc(range.end - range.start);
            let asked_with = match imported {
                Some(imported) => imported.prompts(range)?.into_iter().map(|query| query.prompt).collect(),
                None => openings(ctx, &drawn, range)?,
            };
            for asked_with in asked_with {
                asked.extend(places.remove(&opening(&asked_with)[..]).into_iter().flatten());
            }
        }
        asked.sort_unstable();
        save_json(&directory.join(FILE), &asked)
    })?;
    let mut is_opened = vec![false; opened.len()];
    for place in load_json::<Vec<usize>>(&artifact.file(FILE))? {
        *is_opened
            .get_mut(place)
            .ok_or_else(|| anyhow::anyhow!("{}: text {place} is not one", artifact.file(FILE).display()))? = true;
    }
    Ok(is_opened)
}
