use oracle::{Access, ConfigError, TokenId};
use serde::{Deserialize, Serialize};

use super::tempered::tempered_kl;
use super::{Loss, Shown};

/// `tau^2 KL(q_tau || p_tau)` over the whole vocabulary (Hinton, Vinyals and Dean 2015, section 2, with
/// lambda = 1). A shown law that does not sum to 1 (rounded, noisy) is renormalised. The factor keeps the size of the gradient independent of the temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullKl {
    /// Temperature tau that softens both laws, on top of the one the teacher was asked at.
    pub temperature: f32,
}

impl Loss for FullKl {
    fn name(&self) -> &'static str {
        "full_kl"
    }

    fn needs(&self) -> Access {
        Access::Logits
    }

    fn source(&self) -> &'static str {
        "Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        Err(ConfigError::new("temperature", self.temperature, "choose a number above 0; 1 compares the laws as they are"))
    }

    fn row(&self, _token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64 {
        let Shown::Whole(log_probs) = shown else { panic!("full_kl is trained on whole laws only") };
        let tau = self.temperature;
        tempered_kl(logits, log_probs, tau, tau * tau)
    }

    fn examples() -> Vec<Self> {
        vec![Self { temperature: 1.0 }, Self { temperature: 2.0 }]
    }
}
