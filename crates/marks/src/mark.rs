use std::fmt;

use oracle::{Access, ConfigError, Oracle, OracleError};
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

/// What one test asks of a suspect, beyond the audit answers that all watermarks share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Questions that the suspect answers.
    pub queries: u64,
    /// Tokens it generates for them, at most.
    pub generated_tokens: u64,
    /// Given texts whose probability it is asked for.
    pub scored_texts: u64,
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
    /// The paper it comes from: title, place and year, arXiv number.
    pub source: &'static str,
    /// One line for a list.
    pub summary: &'static str,
}

/// What all marks have in common.
pub trait Mark: Send + Sync {
    /// Everything that does not depend on configuration.
    fn info(&self) -> MarkInfo;

    /// What one test asks of a suspect.
    fn cost(&self) -> Cost;

    /// Name, as experiment files and records write it.
    fn name(&self) -> &'static str {
        self.info().name
    }

    /// The least that a test must see of a suspect.
    fn needs(&self) -> Access {
        self.info().needs
    }

    /// What it says about a suspect in which it is proven.
    fn claim(&self) -> Claim {
        self.info().claim
    }

    /// The paper it comes from.
    fn source(&self) -> &'static str {
        self.info().source
    }

    /// Whether somebody plants it.
    fn planted(&self) -> bool {
        self.info().planted
    }
}

/// A model under suspicion, as far as the auditor can see it.
#[derive(Clone, Copy)]
pub struct Suspect<'a> {
    /// How it is asked.
    pub oracle: &'a dyn Oracle,
    /// What may be asked.
    pub access: Access,
}

impl<'a> Suspect<'a> {
    /// A suspect that shows what its oracle's surface shows.
    pub fn new(oracle: &'a dyn Oracle) -> Self {
        Self { oracle, access: oracle.surface().access() }
    }

    /// Refuses a mark that needs to see more than this suspect shows.
    ///
    /// # Errors
    /// [`MarkError::NeedsAccess`].
    pub fn require(&self, mark: &MarkInfo) -> Result<(), MarkError> {
        if self.access < mark.needs {
            return Err(MarkError::NeedsAccess { mark: mark.name, needs: mark.needs, has: self.access });
        }
        Ok(())
    }
}

impl fmt::Debug for Suspect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspect").field("surface", self.oracle.surface()).field("access", &self.access).finish()
    }
}

/// Why a mark was not built or not measured.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The suspect shows less than the test has to see.
    #[error("{mark} needs {} access to the suspect, which shows {}", .needs.name(), .has.name())]
    NeedsAccess {
        /// Name of the mark.
        mark: &'static str,
        /// What it needs.
        needs: Access,
        /// What there is.
        has: Access,
    },
    /// The configuration does not fit itself, or the model it is meant for.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The suspect did not answer.
    #[error("the suspect did not answer: {0}")]
    Oracle(#[from] OracleError),
    /// What came back cannot be tested.
    #[error("{mark} cannot be measured: {reason}")]
    Unmeasurable {
        /// Name of the mark.
        mark: &'static str,
        /// What is wrong and what would mend it.
        reason: String,
    },
}
