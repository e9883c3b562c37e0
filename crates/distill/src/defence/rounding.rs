use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step};
use serde::{Deserialize, Serialize};

use super::Defence;
use crate::tools::Tools;

/// Shown log-probabilities are rounded to multiples of a step (methods i). What is drawn stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// Distance of two shown values, nats.
    pub step: f32,
}

impl Defence for Rounding {
    fn name(&self) -> &'static str {
        "rounding"
    }

    fn label(&self) -> String {
        format!("rounding({})", self.step)
    }

    fn source(&self) -> &'static str {
        "Tramer et al. 2016, Stealing Machine Learning Models via Prediction APIs, section 7"
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.step.is_finite() && self.step > 0.0 {
            return Ok(());
        }
        Err(ConfigError::new("step", self.step, "write a number above 0, for example 0.1"))
    }

    fn wrap(&self, mut laws: Vec<Arc<dyn LogitsProcessor>>, _tools: &Tools<'_>) -> Vec<Arc<dyn LogitsProcessor>> {
        laws.push(Arc::new(Rounded { step: self.step }));
        laws
    }

    fn examples() -> Vec<Self> {
        vec![Self { step: 0.1 }]
    }
}

struct Rounded {
    step: f32,
}

impl LogitsProcessor for Rounded {
    fn name(&self) -> String {
        format!("rounding to {}", self.step)
    }

    fn stage(&self) -> Stage {
        Stage::Shown
    }

    fn process(&self, _step: &Step<'_>, row: Row<'_>) {
        for value in row.logits.iter_mut().filter(|value| value.is_finite()) {
            // a probability shown as more than 1 would be no probability
            *value = ((*value / self.step).round() * self.step).min(0.0);
        }
    }
}
