use oracle::{Access, TokenId};
use serde::{Deserialize, Serialize};

use super::outcomes::divergence;
use super::tail::Tail;
use super::{Loss, Shown};

/// Total variation distance, `1/2 sum |q - p|`: no nats, but from 0 to 1, the most by which both laws differ on any event (DistillKit `tvd`; Wen et al. 2023,
/// f-Divergence Minimization for Sequence-Level Knowledge Distillation).
///
/// Its gradient over logits is `p_j (s_j - sum_i p_i s_i)` with `s = sign(p - q) / 2`. It has a kink where both laws agree on an outcome:
/// there 0, which is a subgradient, is taken for the sign, and laws agree where f32 could not tell them apart (a factor of 1 to within 1e-5).
///
/// Laws and tails are those of `reverse_kl`; least probabilities are too small to be seen in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TotalVariation {
    /// What is done with the probability that was not reported.
    pub tail: Tail,
}

/// How far apart logarithms are that count as equal.
const EQUAL: f64 = 1e-5;

impl Loss for TotalVariation {
    fn name(&self) -> &'static str {
        "total_variation"
    }

    fn needs(&self) -> Access {
        Access::Logprobs
    }

    fn source(&self) -> &'static str {
        "Wen et al. 2023, f-Divergence Minimization for Sequence-Level Knowledge Distillation; DistillKit tvd"
    }

    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        divergence(shown, self.tail, logits, |outcome| {
            let above = outcome.log_p - outcome.log_q;
            let sign = if above.abs() <= EQUAL { 0.0 } else { above.signum() };
            (0.5 * (outcome.q - outcome.p).abs(), 0.5 * outcome.p * sign)
        })
    }

    fn examples() -> Vec<Self> {
        [Tail::Bucket, Tail::Renormalised, Tail::Zero].into_iter().map(|tail| Self { tail }).collect()
    }
}
