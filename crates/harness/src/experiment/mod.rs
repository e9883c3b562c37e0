//! The experiment file: what was typed, as types.
//!
//! One TOML key is one field; unknown keys are refused; a parameter that changes a number has no silent default.
//! Choices among registered variants are tables named after the variant (`watermark = { kgw = { gamma = 0.25, … } }`),
//! because then a mistake inside one points at its own key. What will *run* is another type: [`crate::resolve`].

mod data;
mod marks;
mod models;
mod study;
mod validate;

#[cfg(test)]
mod tests;

pub use data::{CorpusConfig, FileCorpus, TokenizerConfig, TrainedBpe};
pub use marks::MarksConfig;
pub use models::{BaseConfig, ColdStart, ContinuedTraining, Optimizer, Pretraining, StrangerConfig, TeacherConfig};
pub use study::{AuditConfig, Channel, MeasureConfig, QueriesConfig, StudentConfig, TasksConfig};
pub use validate::validate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One question, asked of models: the whole content of an experiment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Short name (letters, digits, `-`, `_`): the folder of its results.
    pub name: String,
    /// What is asked, in one sentence.
    pub question: String,
    /// What is expected, written before the first run.
    pub hypothesis: String,
    /// Each seed draws its own keys, canaries, initialisations and prompts.
    pub seeds: Vec<u64>,
    /// Significance level of the verdict `proven`.
    pub alpha: f64,
    /// Who plants the marks.
    pub owner: OwnerConfig,
    /// Where texts and prompts come from.
    pub corpus: CorpusConfig,
    /// Text to token ids.
    pub tokenizer: TokenizerConfig,
    /// AdamW and its schedule, shared by every training of this experiment.
    pub optimizer: Optimizer,
    /// The model that is served.
    pub teacher: TeacherConfig,
    /// An independent teacher of the same vocabulary, never marked: the stranger arm, and the rival students' teacher.
    pub stranger: StrangerConfig,
    /// The student before distillation.
    pub base: BaseConfig,
    /// What the owner plants, and what is looked for without planting.
    pub marks: MarksConfig,
    /// What the thief asks.
    pub queries: QueriesConfig,
    /// One survival curve each: what the thief sees, and how he learns from it.
    pub distill: Vec<Channel>,
    /// How a student is trained on what was bought.
    pub student: StudentConfig,
    /// What the owner asks a suspect.
    pub audit: AuditConfig,
    /// How much is measured, and how exactly.
    pub measure: MeasureConfig,
}

/// The owner's secret, from which every key derives. It is never written anywhere; results carry a commitment to it.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerConfig {
    /// The secret itself: for demonstrations, since whoever reads the file knows it.
    #[serde(default, skip_serializing)]
    pub secret: Option<String>,
    /// A file holding the secret, readable by its owner only (mode 600).
    #[serde(default, skip_serializing)]
    pub secret_file: Option<String>,
    /// Public text hashed before the secret in the commitment, so that equal secrets need not show as equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

impl std::fmt::Debug for OwnerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerConfig").field("salt", &self.salt).finish_non_exhaustive()
    }
}
