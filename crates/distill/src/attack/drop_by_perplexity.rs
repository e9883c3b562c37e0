use oracle::{ConfigError, Exchange, Oracle, ScoreItem};
use serde::{Deserialize, Serialize};

use super::Attack;
use crate::error::DistillError;
use crate::tools::Thief;

/// The share of each shard's answers that a model finds most surprising, by the token, is dropped (methods h, filtering): trap
/// answers and random secrets are surprising.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropByPerplexity {
    /// Part of the answers that is dropped, above 0 and below 1.
    pub share: f64,
    /// Name in `[models]` of the model that is surprised; the thief's own, before distillation, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Attack for DropByPerplexity {
    fn name(&self) -> &'static str {
        "drop_by_perplexity"
    }

    fn label(&self) -> String {
        match &self.model {
            None => format!("drop_by_perplexity({})", self.share),
            Some(model) => format!("drop_by_perplexity({}, {model})", self.share),
        }
    }

    fn source(&self) -> &'static str {
        "Wenzek et al. 2020, CCNet, section 4.3 (perplexity filtering)"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.share > 0.0 && self.share < 1.0 {
            return Ok(());
        }
        Err(ConfigError::new("share", self.share, "write a number above 0 and below 1, for example 0.1"))
    }

    fn models(&self) -> Vec<String> {
        self.model.iter().cloned().collect()
    }

    fn changes_bought(&self) -> bool {
        true
    }

    /// Answers of equal surprise are dropped from the end; empty answers are kept.
    fn bought(&self, shard: Vec<Exchange>, thief: &Thief<'_>) -> Result<Vec<Exchange>, DistillError> {
        let spoken: Vec<usize> = (0..shard.len()).filter(|&at| !shard[at].answer.is_empty()).collect();
        let items: Vec<ScoreItem> = spoken
            .iter()
            .map(|&at| ScoreItem { prompt: shard[at].query.prompt.clone(), continuation: shard[at].answer.clone() })
            .collect();
        let scores = match &self.model {
            None => thief.base.score(&items)?,
            Some(model) => thief.tools.asked(model)?.score(&items)?,
        };
        let surprise = |at: usize| -scores[at] / items[at].continuation.len() as f64;
        let mut order: Vec<usize> = (0..spoken.len()).collect();
        order.sort_by(|&a, &b| surprise(a).total_cmp(&surprise(b)).then(a.cmp(&b)));
        let kept = ((1.0 - self.share) * spoken.len() as f64).round() as usize;
        let mut dropped = vec![false; shard.len()];
        for at in &order[kept.min(order.len())..] {
            dropped[spoken[*at]] = true;
        }
        Ok(shard.into_iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(exchange, _)| exchange).collect())
    }

    fn examples() -> Vec<Self> {
        vec![Self { share: 0.25, model: None }, Self { share: 0.25, model: Some("judge".into()) }]
    }
}
