use std::sync::Arc;

use corpus::Split;
use marks::{Canary, Probe, ProbeConfig, Watermark};
use oracle::TokenId;

use crate::stages::Context;
use crate::stages::texts::documents;
use crate::stages::unasked::opened_by_queries;

/// Shortest and longest opening that a neutral question holds, tokens: openings of many lengths meet many kinds of law.
const QUESTION_TOKENS: std::ops::RangeInclusive<usize> = 4..=24;

/// The experiment's marks under this repetition's keys.
pub struct Marks {
    /// In the served answers.
    pub watermark: Option<Arc<dyn Watermark>>,
    /// In the training data.
    pub canary: Option<Arc<dyn Canary>>,
    /// In the weights, or nobody's.
    pub probes: Vec<Arc<dyn Probe>>,
}

impl Marks {
    /// Derives the keys and builds every mark the experiment names.
    ///
    /// # Errors
    /// When a mark does not fit the vocabulary.
    pub fn build(ctx: &Context<'_>) -> anyhow::Result<Self> {
        let config = &ctx.resolved.world.marks;
        let codec = &*ctx.vocabulary.tokenizer;
        let key = |label: &str| ctx.resolved.secret.derive(label, ctx.seed);
        let watermark = config.watermark.as_ref().map(|w| w.build(&key("watermark"), codec)).transpose()?;
        let canary = config.canary.as_ref().map(|c| c.build(&key("canary"))).transpose()?;
        let questions = questions(ctx)?;
        let probes = config
            .probes
            .iter()
            .map(|probe| Ok(probe.build(&key(&format!("probe {}", probe.name())), codec, &questions)?))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { watermark, canary, probes })
    }
}

/// Neutral questions for probes that need them: openings of audit texts behind those of the audit itself, token ids; texts
/// that open as one of the thief's queries does are left out.
fn questions(ctx: &Context<'_>) -> anyhow::Result<Vec<Vec<TokenId>>> {
    let world = &ctx.resolved.world;
    let neutral = |probe: &ProbeConfig| match probe {
        ProbeConfig::OutputAgreement(agreement) => agreement.prompts as u64,
        ProbeConfig::SecretKeys(_) => 0,
    };
    // openings of the same words are asked once only, hence more than needed
    let asked = 8 * world.marks.probes.iter().map(neutral).max().unwrap_or(0);
    if asked == 0 {
        return Ok(Vec::new());
    }
    let texts = ctx.sources.of(ctx.seed_for("audit"))?;
    let rows = documents(&*texts, Split::Audit, world.audit.prompts + asked, usize::MAX, ctx.vocabulary, ctx.rt);
    let taken = opened_by_queries(ctx, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    let (shortest, span) = (*QUESTION_TOKENS.start(), QUESTION_TOKENS.end() - QUESTION_TOKENS.start() + 1);
    let cut = |(i, mut ids): (usize, Vec<TokenId>)| {
        ids.truncate((shortest + i % span).min(ids.len().saturating_sub(1).max(1)));
        ids
    };
    let rows = rows.into_iter().zip(taken).skip(world.audit.prompts as usize).filter(|(_, taken)| !taken);
    Ok(rows.map(|(ids, _)| ids).enumerate().map(cut).collect())
}
