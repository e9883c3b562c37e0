//! What is asked: the thief's query stream, and the prompts of audits.

use std::ops::Range;
use std::sync::Arc;

use ::marks::AskedPrompt;
use corpus::Split;
use distill::{Attack, Defence};
use oracle::{Codec, Exchange, Query, Sampling, TokenId};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::seeds::mixed;
use crate::stages::{Context, Imported};

/// The thief's queries: openings of corpus texts, each with a random stream of its own, and at some places the prompts that marks
/// wait for. The same for every teacher.
pub struct QueryStream {
    asked: Vec<AskedPrompt>,
    /// Names the marks whose prompts are among the queries.
    marks: Vec<Value>,
    attacks: Vec<Arc<dyn Attack>>,
    defences: Vec<Arc<dyn Defence>>,
    /// Prompts that were asked outside, in place of openings.
    imported: Option<Arc<Imported>>,
}

impl QueryStream {
    /// The stream of an experiment in which marks wait for the prompts `asked`; `marks` names them.
    pub fn new(ctx: &Context<'_>, (asked, marks): (Vec<AskedPrompt>, Vec<Value>)) -> Self {
        let world = &ctx.resolved.world;
        let attacks = world.attacks.iter().map(distill::AttackConfig::build).filter(|a| a.changes_questions()).collect();
        let defences = world.defences.iter().map(distill::DefenceConfig::build).filter(|d| d.changes_answers()).collect();
        let imported = ctx.imports.map(|imports| imports.marked.clone());
        Self { asked, marks, attacks, defences, imported }
    }

    /// Adds to `stream` what tells this one from a stream of openings alone.
    pub fn name_in(&self, stream: &mut Value) {
        if let Some(imported) = &self.imported {
            stream["imported"] = json!(imported.hash());
            return;
        }
        if !self.marks.is_empty() {
            stream["asked"] = json!(self.marks);
        }
        if !self.attacks.is_empty() {
            stream["attacks"] = json!(self.attacks.iter().map(|attack| attack.label()).collect::<Vec<_>>());
        }
    }

    /// Names the defences that change finished answers; `None` without any.
    pub fn sent_label(&self) -> Option<String> {
        let labels: Vec<String> = self.defences.iter().map(|defence| defence.label()).collect();
        (!labels.is_empty()).then(|| labels.join(" + "))
    }

    /// What is sent of finished answers.
    pub fn sent(&self, shard: Vec<Exchange>) -> Vec<Exchange> {
        self.defences.iter().fold(shard, |shard, defence| shard.into_iter().map(|exchange| defence.sent(exchange)).collect())
    }

    /// The queries in `range`.
    ///
    /// # Errors
    /// When the grammar is not valid, a chat template refuses an opening, or imported prompts cannot be read.
    pub fn queries(&self, ctx: &Context<'_>, range: Range<u64>) -> anyhow::Result<Vec<Query>> {
        if let Some(imported) = &self.imported {
            let mut queries = imported.prompts(range)?;
            queries.iter_mut().for_each(|query| query.seed = sampling_seed(ctx, "queries", query.index));
            return Ok(queries);
        }
        let asking = &ctx.resolved.world.queries;
        let drawn = Drawn {
            purpose: "queries",
            split: Split::Prompts,
            prompt_tokens: asking.prompt_tokens,
            max_new_tokens: asking.max_new_tokens,
            sampling: asking.sampling,
        };
        let seed = ctx.seed_for("asked prompts");
        let mut queries = prompts(ctx, &drawn, range)?;
        for query in &mut queries {
            query.account = (query.index % u64::from(asking.accounts.max(1))) as u32;
            // the first prompt that falls on this place; which one does not depend on how many are asked
            let here =
                |(at, asked): &(usize, &AskedPrompt)| mixed(mixed(seed, *at as u64), query.index).is_multiple_of(asked.every);
            if let Some((_, asked)) = self.asked.iter().enumerate().find(here) {
                query.prompt.clone_from(&asked.prompt);
            }
        }
        Ok(self.attacks.iter().fold(queries, |queries, attack| queries.into_iter().map(|query| attack.asks(query)).collect()))
    }
}

/// A purpose for which prompts are drawn, and how they are answered.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// Seeds texts and answers.
    pub purpose: &'static str,
    /// Where the texts come from.
    pub split: Split,
    /// Tokens of text that each prompt opens with.
    pub prompt_tokens: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// How answers are drawn.
    pub sampling: Sampling,
}

/// Openings of the texts of `drawn` in `range`, token ids, before they are put as questions.
///
/// # Errors
/// When the grammar is not valid, or the work is cancelled.
pub fn openings(ctx: &Context<'_>, drawn: &Drawn, range: Range<u64>) -> anyhow::Result<Vec<Vec<TokenId>>> {
    let texts = ctx.sources.of(ctx.seed_for(drawn.purpose))?;
    let opening = |index| {
        ctx.rt.check_cancelled()?;
        Ok(ctx.vocabulary.prompt(&*texts, drawn.split, index, drawn.prompt_tokens))
    };
    ctx.rt.pool.install(|| range.into_par_iter().map(opening).collect())
}

/// The random stream of the answer to query `index` of a purpose: a bijection of the index, so that no two queries share one.
fn sampling_seed(ctx: &Context<'_>, purpose: &str, index: u64) -> u64 {
    ctx.seed_for(&format!("{purpose} sampling")) ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The queries of `drawn` in `range`, put in the chat template where the experiment asks that way; all of account 0.
///
/// # Errors
/// When the grammar is not valid, or the template refuses an opening.
pub fn prompts(ctx: &Context<'_>, drawn: &Drawn, range: Range<u64>) -> anyhow::Result<Vec<Query>> {
    let openings = openings(ctx, drawn, range.clone())?;
    let chat = ctx.resolved.world.queries.chat;
    let query = |(index, opening): (u64, Vec<TokenId>)| {
        ctx.rt.check_cancelled()?;
        Ok(Query {
            index,
            account: 0,
            prompt: if chat { ctx.vocabulary.message(&ctx.vocabulary.tokenizer.decode(&opening))? } else { opening },
            max_new_tokens: drawn.max_new_tokens,
            sampling: drawn.sampling,
            seed: sampling_seed(ctx, drawn.purpose, index),
        })
    };
    let indexed: Vec<(u64, Vec<TokenId>)> = range.zip(openings).collect();
    ctx.rt.pool.install(|| indexed.into_par_iter().map(query).collect())
}
