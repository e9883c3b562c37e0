use std::collections::HashMap;

use corpus::Split;
use oracle::TokenId;
use serde_json::json;
use store::{Hash, Key};

use crate::stages::Context;
use crate::stages::context::{load_json, save_json};
use crate::stages::queries::{Drawn, openings};

/// Raised when the same texts would be left out or kept otherwise.
pub(super) const REVISION: u32 = 2;
/// File of the artifact: indices of the texts that were asked.
const FILE: &str = "asked.json";
/// Queries drawn at a time: memory does not grow with the budget.
const CHUNK: u64 = 1 << 15;

/// Which of `texts` (token ids, as they will be asked) open as some query of the stream does, up to the largest budget or as far as the
/// audit says: those that open a query, and those that a query opens. Imported prompts are the queries where there are any.
///
/// # Errors
/// When the grammar is not valid, or the work is cancelled.
pub fn opened_by_queries(ctx: &Context<'_>, texts: &[&[TokenId]]) -> anyhow::Result<Vec<bool>> {
    let asking = &ctx.resolved.world.queries;
    let imported = ctx.imports.map(|imports| &*imports.marked);
    let n = ctx.resolved.world.audit.apart_from_queries.unwrap_or(0).max(ctx.resolved.largest_budget());
    let named: Hash = store::hash_json(&texts)?;
    let inputs = match imported {
        Some(imported) => json!({ "texts": named, "queries": n, "imported": imported.hash() }),
        None => json!({
            "texts": named,
            "prompt_tokens": asking.prompt_tokens,
            "queries": n,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed_for("queries"),
        }),
    };
    let artifact = ctx.artifact("unasked", &Key::new(REVISION, &inputs)?, |directory| {
        let mut openings_of = Openings::of(texts);
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
                openings_of.take(&asked_with, &mut asked);
            }
        }
        asked.sort_unstable();
        save_json(&directory.join(FILE), &asked)
    })?;
    let mut is_opened = vec![false; texts.len()];
    for place in load_json::<Vec<usize>>(&artifact.file(FILE))? {
        *is_opened
            .get_mut(place)
            .ok_or_else(|| anyhow::anyhow!("{}: text {place} is not one", artifact.file(FILE).display()))? = true;
    }
    Ok(is_opened)
}

/// Texts as a tree of their tokens.
struct Openings {
    /// By node and token: the node of the longer opening. Node 0 is the empty opening.
    next: HashMap<(u32, TokenId), u32>,
    /// By node: the texts that end there.
    ends: Vec<Vec<usize>>,
    /// By node: the nodes one token longer.
    longer: Vec<Vec<u32>>,
}

impl Openings {
    fn of(texts: &[&[TokenId]]) -> Self {
        let mut this = Self { next: HashMap::new(), ends: vec![Vec::new()], longer: vec![Vec::new()] };
        for (place, text) in texts.iter().enumerate() {
            let mut node = 0_u32;
            for &token in *text {
                node = *this.next.entry((node, token)).or_insert_with(|| {
                    let new = this.ends.len() as u32;
                    this.ends.push(Vec::new());
                    this.longer.push(Vec::new());
                    this.longer[node as usize].push(new);
                    new
                });
            }
            this.ends[node as usize].push(place);
        }
        this
    }

    /// Moves the texts that open `query`, and those that `query` opens, to `taken`.
    fn take(&mut self, query: &[TokenId], taken: &mut Vec<usize>) {
        let mut node = 0_u32;
        for &token in query {
            let Some(&longer) = self.next.get(&(node, token)) else { return };
            node = longer;
            taken.append(&mut self.ends[node as usize]);
        }
        let mut below = vec![node];
        while let Some(node) = below.pop() {
            taken.append(&mut self.ends[node as usize]);
            // nothing is left below
            below.append(&mut self.longer[node as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_when_it_opens_a_query_or_a_query_opens_it() {
        let texts: [&[TokenId]; 6] = [&[1, 5, 7], &[1, 5], &[1, 6, 7, 8], &[1, 6, 9], &[1, 5, 8], &[1, 5, 7]];
        let mut openings = Openings::of(&texts);
        let mut take = |query: &[TokenId]| {
            let mut taken = Vec::new();
            openings.take(query, &mut taken);
            taken.sort_unstable();
            taken
        };
        assert_eq!(take(&[2, 5]), [0; 0]);
        // a question of five tokens cut to two is no other question
        assert_eq!(take(&[1, 5, 7, 4, 4]), [0, 1, 5]);
        assert_eq!(take(&[1, 5, 7, 4, 4]), [0; 0]);
        assert_eq!(take(&[1, 6]), [2, 3]);
        assert_eq!(take(&[1, 5, 8]), [4]);
    }
}
