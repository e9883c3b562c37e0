use kernels::rowloss::cross_entropy;
use kernels::vecmath;
use oracle::{Access, ConfigError, TokenId};
use serde::{Deserialize, Serialize};

use super::tempered::tempered_kl;
use super::{Loss, Shown};

/// `(1 - lambda) CE(y, p) + lambda w KL(q_tau || p_tau)`, with y the token that the teacher sent and w either tau squared or 1
/// (Hinton, Vinyals and Dean 2015, section 2). Tau squared keeps the size of the gradient independent of tau; DistillKit has it and TRL has not.
///
/// Where k tokens are reported, `q_tau` and `p_tau` are the laws of these k alone, both tempered and renormalised on them: a tail is
/// reported as one number, and tempering that is not tempering its tokens. What is outside is learned through y only. A shown law that does
/// not sum to 1 is renormalised. At lambda = 0 no law is needed and this is `sequence_kd`; at lambda = 1 with tau squared and whole laws it is `full_kl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hinton {
    /// Share of the divergence, 0 to 1; the rest is cross-entropy.
    pub lambda: f32,
    /// Temperature tau that softens both laws, on top of the one the teacher was asked at.
    pub temperature: f32,
    /// Whether the divergence is multiplied by tau squared.
    pub tau_squared: bool,
}

impl Loss for Hinton {
    fn name(&self) -> &'static str {
        "hinton"
    }

    fn needs(&self) -> Access {
        if self.lambda > 0.0 { Access::Logprobs } else { Access::Text }
    }

    fn source(&self) -> &'static str {
        "Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(ConfigError::new("lambda", self.lambda, "choose a number from 0 (tokens alone) to 1 (laws alone)"));
        }
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        Err(ConfigError::new("temperature", self.temperature, "choose a number above 0; 1 compares the laws as they are"))
    }

    fn row(&self, token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        let Self { lambda, temperature: tau, tau_squared } = *self;
        if lambda == 0.0 {
            return cross_entropy(logits, token, 1.0);
        }
        let weight = if tau_squared { lambda * (tau * tau) } else { lambda };
        match shown {
            Shown::Nothing => panic!("hinton is trained on log-probabilities only"),
            Shown::Whole(log_probs) => {
                let mut row = logits.to_vec();
                let divergence = tempered_kl(&mut row, log_probs, tau, weight);
                let label = cross_entropy(logits, token, 1.0 - lambda);
                vecmath::axpy(1.0, &row, logits);
                label + divergence
            }
            Shown::Top { ids, log_probs } => {
                let mut row: Vec<f32> = ids.iter().map(|&id| logits[id as usize]).collect();
                let label = cross_entropy(logits, token, 1.0 - lambda);
                let mut law = log_probs.to_vec();
                if vecmath::log_softmax_in_place(&mut law) == f32::NEG_INFINITY {
                    return label;
                }
                let divergence = tempered_kl(&mut row, &law, tau, weight);
                for (&id, gradient) in ids.iter().zip(row) {
                    logits[id as usize] += gradient;
                }
                label + divergence
            }
        }
    }

    fn examples() -> Vec<Self> {
        vec![
            Self { lambda: 0.5, temperature: 2.0, tau_squared: true },
            Self { lambda: 0.5, temperature: 2.0, tau_squared: false },
            Self { lambda: 1.0, temperature: 1.0, tau_squared: true },
            Self { lambda: 0.0, temperature: 1.0, tau_squared: true },
        ]
    }
}
