use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Defence;
use crate::tools::Tools;

/// Shown log-probabilities get Gaussian noise and are made a law again (methods i). What is drawn stays as it is. The same question
/// with the same tokens so far gets the same noise, so asking twice averages nothing out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    /// Standard deviation, nats.
    pub sd: f32,
}

impl Defence for GaussianNoise {
    fn name(&self) -> &'static str {
        "gaussian_noise"
    }

    fn label(&self) -> String {
        format!("gaussian_noise({})", self.sd)
    }

    fn source(&self) -> &'static str {
        "Lee et al. 2019, Defending Against Neural Network Model Stealing Attacks Using Deceptive Perturbations"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.sd.is_finite() && self.sd > 0.0 {
            return Ok(());
        }
        Err(ConfigError::new("sd", self.sd, "write a number above 0, for example 0.5"))
    }

    fn wrap(&self, mut laws: Vec<Arc<dyn LogitsProcessor>>, tools: &Tools<'_>) -> Vec<Arc<dyn LogitsProcessor>> {
        laws.push(Arc::new(Noisy { sd: self.sd, seed: tools.seed }));
        laws
    }

    fn examples() -> Vec<Self> {
        vec![Self { sd: 0.5 }]
    }
}

struct Noisy {
    sd: f32,
    seed: u64,
}

impl LogitsProcessor for Noisy {
    fn name(&self) -> String {
        format!("gaussian noise of {} seeded {}", self.sd, self.seed)
    }

    fn stage(&self) -> Stage {
        Stage::Shown
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // FNV-1a of the tokens so far: the stream of this row
        let stream = step
            .tokens
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &token| (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        for pair in row.logits.chunks_mut(2) {
            // normals by Box and Muller (1958), two at a time; 1 - u is above 0
            let [u, v] = [0, 1].map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64);
            let radius = f64::from(self.sd) * (-2.0 * libm::log(1.0 - u)).sqrt();
            let (sin, cos) = libm::sincos(std::f64::consts::TAU * v);
            for (value, factor) in pair.iter_mut().zip([cos, sin]).filter(|(value, _)| value.is_finite()) {
                *value += (radius * factor) as f32;
            }
        }
        kernels::vecmath::log_softmax_in_place(row.logits);
    }
}
