use std::cmp::Ordering;

use oracle::{Access, ConfigError, TokenId};
use serde::{Deserialize, Serialize};

use super::{Loss, Shown};

/// Pairwise logistic ranking: the mean of `softplus(-(s_i - s_j))` over all pairs of tokens of which the teacher finds i more probable than
/// j, with s the student's logits (DistillKit `logistic_ranking`; Burges et al. 2005, Learning to Rank using Gradient Descent).
///
/// Tokens are the `tokens` most probable that are shown (lower ids first where they are equally probable), be it of a report or of a whole
/// law. Every pair weighs the same, whatever their probabilities; equally probable tokens are no pair; the loss of a position is the sum
/// over its pairs divided by their number, and 0 without any. So every position weighs the same too, while DistillKit divides by the number of
/// pairs of the whole batch. A token that the teacher excludes stands below all that it does not (DistillKit leaves it out). Only the order of
/// the shown law is read: rounding and noise that keep it change nothing. Tokens that enter no pair learn nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// How many of the most probable tokens are compared at most, 2 to 1024.
    pub tokens: usize,
}

/// Most tokens: their pairs are half a million.
const MOST_TOKENS: usize = 1024;

impl Loss for Ranking {
    fn name(&self) -> &'static str {
        "ranking"
    }

    fn needs(&self) -> Access {
        Access::Logprobs
    }

    fn source(&self) -> &'static str {
        "Burges et al. 2005, Learning to Rank using Gradient Descent; DistillKit logistic_ranking"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if (2..=MOST_TOKENS).contains(&self.tokens) {
            return Ok(());
        }
        Err(ConfigError::new("tokens", self.tokens, format!("choose 2 to {MOST_TOKENS}; all pairs of them are compared")))
    }

    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        let mut order: Vec<(TokenId, f32)> = match shown {
            Shown::Nothing => panic!("ranking is trained on log-probabilities only"),
            Shown::Whole(log_probs) => (0..).zip(log_probs.iter().copied()).collect(),
            Shown::Top { ids, log_probs } => ids.iter().copied().zip(log_probs.iter().copied()).collect(),
        };
        let before = |a: &(TokenId, f32), b: &(TokenId, f32)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
        if order.len() > self.tokens {
            order.select_nth_unstable_by(self.tokens, before);
            order.truncate(self.tokens);
        }
        order.sort_unstable_by(before);
        let scores: Vec<f64> = order.iter().map(|&(id, _)| f64::from(logits[id as usize])).collect();
        let mut slopes = vec![0.0; order.len()];
        let (mut sum, mut pairs) = (0.0, 0_u32);
        for i in 0..order.len() {
            for j in i + 1..order.len() {
                if order[i].1 <= order[j].1 {
                    continue;
                }
                let (value, slope) = softplus(scores[j] - scores[i]);
                sum += value;
                slopes[i] -= slope;
                slopes[j] += slope;
                pairs += 1;
            }
        }
        logits.fill(0.0);
        let pairs = f64::from(pairs.max(1));
        for ((id, _), slope) in order.into_iter().zip(slopes) {
            logits[id as usize] = (slope / pairs) as f32;
        }
        sum / pairs
    }

    fn examples() -> Vec<Self> {
        vec![Self { tokens: 20 }, Self { tokens: 3 }]
    }
}

/// `ln(1 + e^x)` and its derivative.
fn softplus(x: f64) -> (f64, f64) {
    let small = libm::exp(-x.abs());
    let slope = if x > 0.0 { 1.0 } else { small } / (1.0 + small);
    (x.max(0.0) + libm::log1p(small), slope)
}
