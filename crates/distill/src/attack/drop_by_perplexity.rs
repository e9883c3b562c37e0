use oracle::{Exchange, ScoreItem};
use serde::{Deserialize, Serialize};

use super::{Attack, AttackTools};
use oracle::ConfigError;

use crate::error::DistillError;

/// The share of each shard's answers that the thief's own model finds most surprising, by the token, is dropped (methods h,
/// filtering): trap answers and random secrets are surprising.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropByPerplexity {
    /// Part of the answers that is dropped, above 0 and below 1.
    pub share: f64,
}

impl Attack for DropByPerplexity {
    fn name(&self) -> &'static str {
        "drop_by_perplexity"
    }

    fn label(&self) -> String {
        format!("drop_by_perplexity({})", self.share)
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

    fn changes_bought(&self) -> bool {
        true
    }

    /// Answers of equal surprise are dropped from the end; empty answers are kept.
    fn bought(&self, shard: Vec<Exchange>, tools: &AttackTools<'_>) -> Result<Vec<Exchange>, DistillError> {
        let spoken: Vec<usize> = (0..shard.len()).filter(|&at| !shard[at].answer.is_empty()).collect();
        let items: Vec<ScoreItem> = spoken
            .iter()
            .map(|&at| ScoreItem { prompt: shard[at].query.prompt.clone(), continuation: shard[at].answer.clone() })
            .collect();
        let scores = tools.base.score(&items)?;
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
        vec![Self { share: 0.25 }]
    }
}
