use std::sync::Arc;

use corpus::Split;
use marks::{Canary, Probe, ProbeConfig, Watermark};
use oracle::TokenId;

use crate::stages::Context;
use crate::stages::texts::documents;

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

/// Neutral questions for probes that need them: openings of audit texts behind those of the audit itself, token ids.
fn questions(ctx: &Context<'_>) -> anyhow::Result<Vec<Vec<TokenId>>> {
    let config = &ctx.resolved.world.marks;
    let neutral = |probe: &ProbeConfig| match probe {
        ProbeConfig::OutputAgreement(agreement) => agreement.prompts as u64,
        ProbeConfig::SecretKeys(_) => 0,
    };
    // openings of the same words are asked once only, hence more than needed
    let asked = 2 * config.probes.iter().map(neutral).max().unwrap_or(0);
    let first = ctx.resolved.world.audit.prompts;
    let texts = ctx.sources.of(ctx.seed_for("audit"))?;
    let rows = documents(&*texts, Split::Audit, first + asked, usize::MAX, ctx.vocabulary, ctx.rt);
    let (shortest, span) = (*QUESTION_TOKENS.start(), QUESTION_TOKENS.end() - QUESTION_TOKENS.start() + 1);
    let cut = |(i, mut ids): (usize, Vec<TokenId>)| {
        ids.truncate((shortest + i % span).min(ids.len().saturating_sub(1).max(1)));
        ids
    };
    Ok(rows.into_iter().skip(first as usize).enumerate().map(cut).collect())
}
