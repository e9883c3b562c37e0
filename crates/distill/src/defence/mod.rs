//! What an owner does at the API against thieves, one defence per file.
//!
//! A defence adds processors around the teacher's own (a watermark stays what it is), may bring proxy models, and may change a
//! finished answer before it is sent. A new one is one file with a config struct that implements [`Defence`], and one line in the
//! list below.

use std::sync::Arc;

use lm::Model;
use oracle::{CompanionId, ConfigError, Exchange, LogitsProcessor};

use crate::error::DistillError;
use crate::tools::Tools;

/// A defence with its parameters.
pub trait Defence: Send + Sync + std::fmt::Debug {
    /// Name, as experiment files and records write it.
    fn name(&self) -> &'static str;

    /// Name with what tells it from others of its kind: the label in records and figures.
    fn label(&self) -> String;

    /// Where it comes from.
    fn source(&self) -> &'static str;

    /// Checks the parameters.
    ///
    /// # Errors
    /// The key, its value, and what to write.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Models of the experiment's `[models]` that it reads.
    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    /// The processors of the served teacher, from those that it had; they name themselves, and so the artifacts made with them.
    fn wrap(&self, laws: Vec<Arc<dyn LogitsProcessor>>, tools: &Tools<'_>) -> Vec<Arc<dyn LogitsProcessor>>;

    /// Proxy models that its processors read.
    ///
    /// # Errors
    /// When one cannot be made.
    fn companions(&self, teacher: &Arc<Model>, tools: &Tools<'_>) -> Result<Vec<(CompanionId, Arc<Model>)>, DistillError> {
        let _ = (teacher, tools);
        Ok(Vec::new())
    }

    /// What is sent instead of a finished answer. Must be a pure function of the exchange.
    fn sent(&self, exchange: Exchange) -> Exchange {
        exchange
    }

    /// Whether [`sent`](Self::sent) changes anything: laws along a changed answer are no longer those it was drawn from.
    fn changes_answers(&self) -> bool {
        false
    }

    /// Parameter sets that together reach every branch.
    fn examples() -> Vec<Self>
    where
        Self: Sized;
}

registry! {
    /// A defence with its parameters, as an experiment file names it: `{ rounding = { step = 0.1 } }`.
    DefenceConfig of Defence {
        /// Shown log-probabilities are rounded.
        rounding => Rounding,
        /// Shown log-probabilities get Gaussian noise.
        gaussian_noise => GaussianNoise,
    }
}

#[cfg(test)]
mod tests;
