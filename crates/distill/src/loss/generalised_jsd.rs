use oracle::{Access, ConfigError, TokenId};
use serde::{Deserialize, Serialize};

use super::outcomes::divergence;
use super::tail::Tail;
use super::{Loss, Shown};

/// Generalised Jensen-Shannon divergence, `(beta KL(q || M) + (1 - beta) KL(p || M)) / (beta (1 - beta))` with
/// `M = beta q + (1 - beta) p` (Agarwal et al. 2024, On-Policy Distillation of Language Models; TRL `generalized_jsd_loss`).
///
/// Theirs is not divided: it falls to 0 towards both ends, and TRL puts the two KL divergences there, so that the loss jumps. Divided it
/// has these as its limits: beta = 0 is `KL(q || p)` (`full_kl`, `topk_kl`) and beta = 1 is `KL(p || q)` (`reverse_kl`). At beta = 1/2
/// it is four times the Jensen-Shannon divergence. It is taken along the teacher's answers; on-policy sampling is no part of it.
///
/// Laws, tails and the least probabilities are those of `reverse_kl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneralisedJsd {
    /// The teacher's share in the mixture, 0 to 1: 0 is the forward KL divergence, 1 the reverse one.
    pub beta: f64,
    /// What is done with the probability that was not reported.
    pub tail: Tail,
}

impl Loss for GeneralisedJsd {
    fn name(&self) -> &'static str {
        "generalised_jsd"
    }

    fn needs(&self) -> Access {
        Access::Logprobs
    }

    fn source(&self) -> &'static str {
        "Agarwal et al. 2024, On-Policy Distillation of Language Models, generalised JSD (divided by beta (1 - beta))"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(&self.beta) {
            return Ok(());
        }
        Err(ConfigError::new(
            "beta",
            self.beta,
            "choose a number from 0 (forward KL) to 1 (reverse KL); 0.5 treats both laws alike",
        ))
    }

    /// A token's term is `q ln(q/M) / (1 - beta) + p ln(p/M) / beta`, which is not negative, and its derivative with respect to p is
    /// `ln(p/M) / beta`: logarithms of mixtures divided by a share in them, of which each has a limit at its share of 0.
    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        let (beta, rest) = (self.beta, 1.0 - self.beta);
        divergence(shown, self.tail, logits, |outcome| {
            let (q, p) = (outcome.q, outcome.p);
            let slope = -p * log_mixture_by_share(beta, rest, q / p);
            (slope - q * log_mixture_by_share(rest, beta, p / q), slope)
        })
    }

    fn examples() -> Vec<Self> {
        let of = |beta, tail| Self { beta, tail };
        let inside = [Tail::Bucket, Tail::Renormalised, Tail::Zero].map(|tail| of(0.5, tail));
        let ends = [0.0, 0.1, 0.9, 1.0].map(|beta| of(beta, Tail::Bucket));
        inside.into_iter().chain(ends).collect()
    }
}

/// `ln(rest + share * ratio) / share` for shares that sum to 1, and its limit `ratio - 1` at a share of 0.
fn log_mixture_by_share(share: f64, rest: f64, ratio: f64) -> f64 {
    let excess = ratio - 1.0;
    if share == 0.0 {
        return excess;
    }
    // near 1 the logarithm needs what is above 1, near 0 the sum itself
    let log = if share * excess > -0.5 { libm::log1p(share * excess) } else { libm::log(rest + share * ratio) };
    log / share
}
