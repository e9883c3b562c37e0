//! What a thief does to get rid of marks, one attack per file.
//!
//! An attack may ask other questions, change or drop what was bought, go on training the student, or decode it otherwise. A new one
//! is one file with a config struct that implements [`Attack`], and one line in the list below.

use std::sync::Arc;

use lm::Model;
use oracle::{ConfigError, Exchange, LogitsProcessor, Query};

use crate::error::DistillError;
use crate::tools::{Thief, Tools};

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

    /// Models of the experiment's `[models]` that it asks.
    fn models(&self) -> Vec<String> {
        Vec::new()
    }

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
    fn bought(&self, shard: Vec<Exchange>, thief: &Thief<'_>) -> Result<Vec<Exchange>, DistillError> {
        let _ = thief;
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
    fn student(&self, student: Arc<Model>, tools: &Tools<'_>) -> Result<Arc<Model>, DistillError> {
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
