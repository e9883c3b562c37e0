//! What a student minimises, one loss per file.
//!
//! A loss is a function of one row of student logits and of what the teacher's surface showed at that position; it writes its
//! gradient in closed form over the logits, so no tape is needed and both compute paths of `lm` share it. Losses are sums over
//! positions; the trainer divides by the number of scored positions of the whole batch.
//!
//! A new loss is one file with a config struct that implements [`Loss`], and one line in the list below.

mod definition;
mod outcomes;
mod rows;
mod tail;
mod tempered;

use std::sync::Arc;

use oracle::{Access, ConfigError, Surface};

use crate::error::DistillError;
pub use definition::{Loss, Shown};
pub use rows::{LawsAt, RowTargets, ScaledLoss};
pub use tail::Tail;

registry! {
    /// A loss with its parameters, as an experiment file names it: `{ topk_kl = { tail = "bucket" } }`.
    LossConfig of Loss {
        /// Cross-entropy on the teacher's tokens; on a `label` surface, on the label alone.
        sequence_kd => SequenceKd,
        /// Kullback-Leibler divergence over the reported most probable tokens.
        topk_kl => TopkKl,
        /// Kullback-Leibler divergence over the whole law.
        full_kl => FullKl,
        /// Kullback-Leibler divergence of the student from the teacher, over reported tokens or the whole law.
        reverse_kl => ReverseKl,
        /// Jensen-Shannon divergence with any share of the two laws: forward KL at one end, reverse KL at the other.
        generalised_jsd => GeneralisedJsd,
        /// Half the sum of absolute differences of both laws.
        total_variation => TotalVariation,
        /// Cross-entropy on the teacher's tokens mixed with the divergence of softened laws.
        hinton => Hinton,
        /// The teacher's order of its most probable tokens, pair by pair.
        ranking => Ranking,
    }
}

impl LossConfig {
    /// Checks the parameters.
    ///
    /// # Errors
    /// As [`Loss::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.build().validate()
    }
}

/// Refuses a loss that wants more than the surface shows.
///
/// # Errors
/// [`DistillError::LossNotServed`], naming both and a surface that would do.
pub fn check_surface(loss: &dyn Loss, surface: &Surface) -> Result<(), DistillError> {
    let needs = loss.needs();
    if surface.access() >= needs {
        return Ok(());
    }
    let (needs, instead) = match (needs, surface) {
        (Access::Text, _) => ("answers", "`text`"),
        (Access::Logprobs, Surface::Label { .. }) => ("log-probabilities", "`posterior = true` or `top_logprobs`"),
        (Access::Logprobs, _) => ("log-probabilities", "`top_logprobs`"),
        (Access::Logits, _) => ("whole laws", "`logits`"),
        (Access::Weights, _) => ("weights", "`logits`"),
    };
    Err(DistillError::LossNotServed { loss: loss.name(), needs, surface: surface.name(), instead })
}

#[cfg(test)]
mod tests;
