use oracle::{Access, TokenId};
use serde::{Deserialize, Serialize};

use super::outcomes::divergence;
use super::tail::Tail;
use super::{Loss, Shown};

/// `KL(p || q)`, the student's divergence from the teacher: it pays for what it says and the teacher would not (Gu et al. 2024, MiniLLM;
/// TRL's generalised JSD at beta = 1). On-policy sampling is no part of it: it is taken along the teacher's answers.
///
/// Where whole laws are shown it is taken over all tokens. Where k tokens are reported, `tail` says what is done with the rest. It is
/// infinite where the teacher says that something cannot be; here an outcome of the teacher has a probability of `e^-87.3` (the least
/// normal f32) at least, and the tail `1e-6`, which is all that reported f32 can tell from nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReverseKl {
    /// What is done with the probability that was not reported.
    pub tail: Tail,
}

impl Loss for ReverseKl {
    fn name(&self) -> &'static str {
        "reverse_kl"
    }

    fn needs(&self) -> Access {
        Access::Logprobs
    }

    fn source(&self) -> &'static str {
        "Gu et al. 2024, MiniLLM: Knowledge Distillation of Large Language Models"
    }

    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        // the derivative is ln(p / q) + 1; a constant changes no gradient over logits
        divergence(shown, self.tail, logits, |outcome| {
            let value = outcome.p * (outcome.log_p - outcome.log_q);
            (value, value)
        })
    }

    fn examples() -> Vec<Self> {
        [Tail::Bucket, Tail::Renormalised, Tail::Zero].into_iter().map(|tail| Self { tail }).collect()
    }
}
