//! Canaries: texts with random secrets, hidden in a teacher's training data and looked for in a suspect.
//!
//! The null is a permutation: secrets that were planted and secrets that never were are drawn from one law, so a model
//! that learned from neither cannot tell them apart.

mod secret_sharer;
mod secrets;

use std::sync::Arc;

use oracle::Codec;
use serde::{Deserialize, Serialize};
use stats::Evidence;

pub use secret_sharer::SecretSharerConfig;
pub use secrets::SecretKind;

use crate::key::Key;
use crate::mark::{Mark, MarkError, Suspect};
use crate::registry::MarkConfig;

/// One text to be hidden in training data. It holds a secret: it goes into the data and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PlantedText {
    /// The whole text, without special tokens.
    pub text: String,
    /// How often it occurs in the training data.
    pub repeats: u32,
}

impl std::fmt::Debug for PlantedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlantedText").field("text", &"redacted").field("repeats", &self.repeats).finish()
    }
}

/// What one repeat level shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepeatLevel {
    /// How often each of its canaries was planted.
    pub repeats: u32,
    /// Number of its canaries.
    pub canaries: u64,
    /// Mean exposure, bits.
    pub mean_exposure: f64,
    /// How many of its secrets the suspect says of its own accord.
    pub extracted: u64,
}

/// One canary, named by its template and level only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryScore {
    /// Index of its template in the fixed list.
    pub template: usize,
    /// How often it was planted.
    pub repeats: u32,
    /// log2 of references minus log2 of its rank, bits (methods c1).
    pub exposure: f64,
    /// Whether the suspect says the secret of its own accord.
    pub extracted: bool,
}

/// What a suspect shows of a set of canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryMeasurement {
    /// The test over all canaries: mean exposure against that of an untaught model.
    pub evidence: Evidence,
    /// By repeat level, fewest repeats first.
    pub by_repeats: Vec<RepeatLevel>,
    /// Every canary, in the order of [`Canary::planted_texts`].
    pub canaries: Vec<CanaryScore>,
    /// Canaries whose secret the suspect says when it is greedily asked to complete the template.
    pub extracted: u64,
    /// The most that greedy completion could extract: one secret per template.
    pub extractable: u64,
}

/// A set of canaries under one key.
pub trait Canary: Mark {
    /// Every canary once, with its number of repeats.
    fn planted_texts(&self) -> Vec<PlantedText>;

    /// Tests whether `suspect` knows the secrets better than secrets that were never planted, by `draws`
    /// permutations under `seed`.
    ///
    /// # Errors
    /// [`MarkError::NeedsAccess`] when it shows no log-probabilities, [`MarkError::Unmeasurable`] when they are not
    /// numbers, [`MarkError::Oracle`] when it does not answer.
    fn measure(&self, suspect: &Suspect<'_>, codec: &dyn Codec, draws: u64, seed: u64) -> Result<CanaryMeasurement, MarkError>;
}

/// A canary's configuration, which builds it.
pub trait CanaryBuilder: MarkConfig {
    /// The canaries under `key`.
    fn build(&self, key: &Key) -> Arc<dyn Canary>;
}

registry! {
    /// Every registered canary with its parameters.
    CanaryConfig: CanaryBuilder {
        /// Sentences with random secrets at several repeat counts (Carlini et al. 2019).
        SecretSharer(SecretSharerConfig),
    }
}

impl CanaryConfig {
    /// The canaries under `key`.
    ///
    /// # Errors
    /// [`MarkError::Config`] when [`validate`](Self::validate) refuses.
    pub fn build(&self, key: &Key) -> Result<Arc<dyn Canary>, MarkError> {
        self.validate()?;
        Ok(self.config().build(key))
    }
}

#[cfg(test)]
mod tests;
