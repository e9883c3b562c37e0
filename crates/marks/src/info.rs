use oracle::{Access, ConfigError, OracleError};
use serde::{Deserialize, Serialize};

/// The level at which evidence counts as proof (DESIGN 6); `units_to_detect` in an evidence is read at this level.
pub const ALPHA: f64 = 0.001;

/// Where a mark is planted or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// In the law a teacher answers with.
    Watermark,
    /// In the data a teacher is trained on.
    Canary,
    /// In the answers to chosen questions.
    Probe,
}

impl Family {
    /// Lower-case name, as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Watermark => "watermark",
            Self::Canary => "canary",
            Self::Probe => "probe",
        }
    }
}

/// What a proven mark says about the suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Its weights come from the owner's weights or training data. A student that only saw answers may carry the mark
    /// too, which is what an experiment measures.
    Lineage,
    /// It learned from the owner's answers, or is the owner's model.
    Distillation,
}

impl Claim {
    /// Lower-case name, as records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lineage => "lineage",
            Self::Distillation => "distillation",
        }
    }
}

/// What there is to know about a registered mark before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MarkInfo {
    /// Name, as experiment files and records write it.
    pub name: &'static str,
    /// Where it is planted or found.
    pub family: Family,
    /// The least that a test must see of a suspect.
    pub needs: Access,
    /// What it says about a suspect in which it is proven.
    pub claim: Claim,
    /// Whether somebody plants it; `false` for a fingerprint that every model has.
    pub planted: bool,
    /// Whether it compares the suspect with the teacher and with models that learned nothing from it.
    pub compares: bool,
    /// First word of the label that its key is derived under. Never change one: all keys would be others.
    pub key_label: &'static str,
    /// The paper it comes from: title, place and year, arXiv number.
    pub source: &'static str,
    /// One line for a list.
    pub summary: &'static str,
}

/// Why a mark was not built or not measured.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The configuration does not fit itself, or the model it is meant for.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model did not answer.
    #[error("a model did not answer: {0}")]
    Oracle(#[from] OracleError),
    /// An outside program does not do what it must.
    #[error("{0}")]
    Program(String),
    /// What came back cannot be tested.
    #[error("{mark} cannot be measured: {reason}")]
    Unmeasurable {
        /// Name of the mark.
        mark: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl MarkError {
    /// What came back for `mark` cannot be tested, because of `reason`.
    pub fn unmeasurable(mark: &'static str, reason: impl Into<String>) -> Self {
        Self::Unmeasurable { mark, reason: reason.into() }
    }
}
