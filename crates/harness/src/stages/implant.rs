//! Items into the weights of the marked teacher.

use std::time::Instant;

use corpus::Split;
use distill::ImplantItem;
use lm::Model;
use oracle::TokenId;
use serde_json::json;
use store::Key;

use crate::stages::Context;
use crate::stages::card::card;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::documents::documents;
use crate::stages::marks::Marks;

/// Raised when the same inputs would give other weights.
pub(super) const REVISION: u32 = 2;
/// Ordinary rows that hold a teacher to its old self while something enters its weights.
const UTILITY_ROWS: u64 = 512;
/// Longest of them, tokens.
const UTILITY_TOKENS: usize = 64;

/// Rows of ordinary text that hold `model` to its old self.
pub(super) fn ordinary_rows(ctx: &Context<'_>, model: &Model, purpose: &str) -> anyhow::Result<Vec<Vec<TokenId>>> {
    let texts = ctx.sources.of(ctx.seed_for(purpose))?;
    let most = model.context_length().min(UTILITY_TOKENS);
    Ok(documents(&*texts, Split::Train, UTILITY_ROWS, most, ctx.vocabulary, ctx.rt)?)
}

/// The marked teacher with the marks' items in its weights, those of the mark `lacks` left out, and how many are answered of how many; the model itself when no mark
/// plants any.
///
/// # Errors
/// When the model cannot read an item, training diverges, or the work is cancelled.
pub(super) fn implant(
    ctx: &Context<'_>,
    before: &Trained,
    marks: &Marks,
    lacks: Option<&str>,
) -> anyhow::Result<(Trained, Option<(u64, u64)>)> {
    let (items, names) = marks.items(lacks);
    let items: Vec<ImplantItem> =
        items.into_iter().map(|item| ImplantItem { prompt: item.prompt, answer: item.answer }).collect();
    let Some(config) = ctx.resolved.world.planting.implant.as_ref().filter(|_| !items.is_empty()) else {
        return Ok((before.clone(), None));
    };
    let key = Key::new(
        REVISION,
        &json!({
            "model": before.hash,
            "marks": names,
            "implant": config,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed,
        }),
    )?;
    let artifact = ctx.artifact("implanted", &key, |directory| {
        let started = Instant::now();
        let ordinary = ordinary_rows(ctx, &before.model, "implant documents")?;
        let bar = ctx.progress.stage("teacher, implanting keys", config.max_steps, "steps");
        let seed = ctx.seed_for("implant order");
        let (model, report) = distill::implant(&before.model, &items, &ordinary, config, seed, ctx.rt, &mut |_| bar.inc(1))?;
        let answered = report.n_answered() as u64;
        ctx.timings.push("teacher, implanting keys", ctx.seed, started, report.tokens);
        bar.finish(&format!("{answered} of {} answered after {} steps", items.len(), report.steps));
        save_json(&directory.join(IMPLANTED), &(answered, items.len() as u64))?;
        let body = "the marked teacher, keys implanted in its weights";
        let card = card(ctx, "marked teacher", body);
        ctx.save_model(directory, &model, ctx.vocabulary, &report.curve, &card)
    })?;
    Ok((ctx.load_model(&artifact)?, Some(load_json(&artifact.file(IMPLANTED))?)))
}

/// File of an implanted artifact: items answered, items in all.
const IMPLANTED: &str = "implanted.json";
