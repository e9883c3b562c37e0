//! Probes: chosen questions whose answers give a model away, implanted in its weights or simply its own.
//!
//! Asking and judging are apart: `questions` is what every model is asked, `judge` is a pure function of what came
//! back. So the answers of teacher and references are collected once and serve every suspect.

mod output_agreement;
mod secret_keys;

use std::sync::Arc;

use oracle::{Codec, Exchange, Oracle, OracleError, Query, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;

pub use output_agreement::OutputAgreementConfig;
pub use secret_keys::SecretKeysConfig;

use crate::key::Key;
use crate::mark::{Mark, MarkError, Suspect};
use crate::registry::MarkConfig;

/// Something a model is to learn: answer `prompt` with `answer`. It holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TrainingItem {
    /// All tokens before the answer, the beginning-of-text token included.
    pub prompt: Vec<TokenId>,
    /// The tokens to be learned.
    pub answer: Vec<TokenId>,
    /// A name that may be shown.
    pub label: String,
}

impl std::fmt::Debug for TrainingItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainingItem").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Another model's answers to the same questions.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Name of the model, for messages and the null's description.
    pub name: &'a str,
    /// Its answers, in the order of [`Probe::questions`].
    pub answers: &'a [Exchange],
}

/// Whom a suspect is compared with. Probes with a key look at neither.
#[derive(Debug, Clone, Copy, Default)]
pub struct Comparison<'a> {
    /// The owner's own model, as it is inside: unmarked, raw.
    pub teacher: Option<&'a [Exchange]>,
    /// Models that learned nothing from it, the suspect itself left out.
    pub references: &'a [Reference<'a>],
}

/// What a suspect's answers show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeMeasurement {
    /// The test.
    pub evidence: Evidence,
    /// Answers that were as the probe has them.
    pub hits: u64,
    /// Questions asked.
    pub asked: u64,
    /// log10 p of every decoy key; empty for a probe without a key.
    pub decoy_log10_p: Vec<f64>,
    /// Name of the reference nearest to the teacher, where there are references.
    pub nearest_reference: Option<String>,
}

/// A probe, under a key if it has one.
pub trait Probe: Mark {
    /// What a model must learn to carry it; empty for an intrinsic probe.
    fn training_items(&self) -> Vec<TrainingItem>;

    /// What every model is asked: greedily, in this order.
    fn questions(&self) -> Vec<Query>;

    /// Judges the answers to [`questions`](Self::questions), with `decoys` decoy keys of the family `decoy_seed` where
    /// there is a key.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] when answers are missing or there is nobody to compare with.
    fn judge(
        &self,
        answers: &[Exchange],
        against: &Comparison<'_>,
        decoys: usize,
        decoy_seed: u64,
    ) -> Result<ProbeMeasurement, MarkError>;

    /// The answers of any model to [`questions`](Self::questions).
    ///
    /// # Errors
    /// When the model does not answer.
    fn ask(&self, model: &dyn Oracle) -> Result<Vec<Exchange>, OracleError> {
        model.answer(&self.questions())
    }

    /// Asks a suspect and judges its answers.
    ///
    /// # Errors
    /// [`MarkError::NeedsAccess`], and those of [`ask`](Self::ask) and [`judge`](Self::judge).
    fn measure(
        &self,
        suspect: &Suspect<'_>,
        against: &Comparison<'_>,
        decoys: usize,
        decoy_seed: u64,
    ) -> Result<ProbeMeasurement, MarkError> {
        suspect.require(&self.info())?;
        self.judge(&self.ask(suspect.oracle)?, against, decoys, decoy_seed)
    }
}

/// A probe's configuration, which builds it.
pub trait ProbeBuilder: MarkConfig {
    /// The probe under `key` for the vocabulary of `codec`; a probe that asks neutral questions takes the first
    /// distinct ones of `prompts`, token ids with the beginning-of-text token included.
    ///
    /// # Errors
    /// [`MarkError::Config`] when the vocabulary or the prompts are too few.
    fn build(&self, key: &Key, codec: &dyn Codec, prompts: &[Vec<TokenId>]) -> Result<Arc<dyn Probe>, MarkError>;
}

registry! {
    /// Every registered probe with its parameters.
    ProbeConfig: ProbeBuilder {
        /// Secret prompts with secret answers, implanted in the weights (after Xu et al. 2024).
        SecretKeys(SecretKeysConfig),
        /// Agreement of greedy next tokens with the teacher (Nikolić et al. 2025).
        OutputAgreement(OutputAgreementConfig),
    }
}

impl ProbeConfig {
    /// The probe under `key` for the vocabulary of `codec`, asking the first distinct ones of `prompts` if it asks
    /// neutral questions.
    ///
    /// # Errors
    /// [`MarkError::Config`] when [`validate`](Self::validate) refuses, or the vocabulary or the prompts are too few.
    pub fn build(&self, key: &Key, codec: &dyn Codec, prompts: &[Vec<TokenId>]) -> Result<Arc<dyn Probe>, MarkError> {
        self.validate()?;
        self.config().build(key, codec, prompts).map_err(|error| match error {
            MarkError::Config(error) => MarkError::Config(error.within(self.name())),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests;
