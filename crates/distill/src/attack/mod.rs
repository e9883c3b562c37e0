//! What a thief does to get rid of marks, one attack per file.
//!
//! An attack may ask other questions, change or drop what was bought, go on training the student, or decode it otherwise. A new one
//! is one file with a config struct that implements [`Attack`], and one line in the list below.

use std::sync::Arc;

use lm::{Model, Runtime};
use oracle::{Exchange, LogitsProcessor, Oracle, Query, TokenId};

use oracle::ConfigError;

use crate::error::DistillError;
use crate::train::TrainPlan;

/// What a thief has.
pub struct AttackTools<'a> {
    /// His own model before distillation, raw, in the teacher's tokens; it shows whole laws where its tokens are the teacher's.
    pub base: &'a dyn Oracle,
    /// Documents of clean text in the student's tokens, with their beginning and end tokens: the first that together hold at least
    /// so many tokens.
    pub texts: &'a dyn Fn(u64) -> Result<Vec<Vec<TokenId>>, DistillError>,
    /// The token before every text of the student.
    pub bos: Option<TokenId>,
    /// The experiment's optimiser over (steps, rows of a batch, peak rate).
    pub plan: &'a dyn Fn(u64, usize, f64) -> TrainPlan,
    /// Workers.
    pub runtime: &'a Arc<Runtime>,
    /// Seeds whatever is drawn.
    pub seed: u64,
}

/// An attack with its parameters.
pub trait Attack: Send + Sync + std::fmt::Debug {
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

    /// What is asked instead of a query of the stream. Must be a pure function of the query.
    fn asks(&self, query: Query) -> Query {
        query
    }

    /// Whether [`asks`](Self::asks) changes anything.
    fn changes_questions(&self) -> bool {
        false
    }

    /// What the student is trained on instead of a shard of what was bought.
    ///
    /// # Errors
    /// When a model fails or shows less than the attack needs.
    fn bought(&self, shard: Vec<Exchange>, tools: &AttackTools<'_>) -> Result<Vec<Exchange>, DistillError> {
        let _ = tools;
        Ok(shard)
    }

    /// Whether [`bought`](Self::bought) changes anything.
    fn changes_bought(&self) -> bool {
        false
    }

    /// What becomes of the finished student.
    ///
    /// # Errors
    /// When training diverges or is cancelled.
    fn student(&self, student: Arc<Model>, tools: &AttackTools<'_>) -> Result<Arc<Model>, DistillError> {
        let _ = tools;
        Ok(student)
    }

    /// Whether [`student`](Self::student) changes anything.
    fn changes_student(&self) -> bool {
        false
    }

    /// Tokens that [`student`](Self::student) trains on: part of what the theft costs.
    fn training_tokens(&self) -> u64 {
        0
    }

    /// What changes the student's law whenever it answers.
    fn decoding(&self) -> Option<Arc<dyn LogitsProcessor>> {
        None
    }

    /// Parameter sets that together reach every branch.
    fn examples() -> Vec<Self>
    where
        Self: Sized;
}

registry! {
    /// An attack with its parameters, as an experiment file names it: `{ drop_by_perplexity = { share = 0.1 } }`.
    AttackConfig of Attack {
        /// The answers that the thief's own model finds most surprising are dropped.
        drop_by_perplexity => DropByPerplexity,
        /// The finished student is trained further on clean text.
        clean_fine_tuning => CleanFineTuning,
    }
}

#[cfg(test)]
mod tests;
