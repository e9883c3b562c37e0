use std::path::{Path, PathBuf};

use lm::RunError;
use oracle::{ConfigError, OracleError};
use store::StoreError;

/// Why a transcript, a training or a measurement was not finished.
#[derive(Debug, thiserror::Error)]
pub enum DistillError {
    /// Stopped from outside between two steps; the training state is that of the last finished step and can be saved.
    #[error("stopped before it was finished")]
    Cancelled,
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A loss wants more than the teacher's surface shows.
    #[error("`{loss}` needs {needs}; a `{surface}` oracle has none (serve {instead}, or train with `sequence_kd`)")]
    LossNotServed {
        /// Name of the loss.
        loss: &'static str,
        /// What it needs, in words.
        needs: &'static str,
        /// Name of the surface.
        surface: &'static str,
        /// What would show it, in backticks.
        instead: &'static str,
    },
    /// The loss or its gradient stopped being a number.
    #[error("training diverged at step {step}: the {what} is {value}; lower `peak_lr` or `grad_clip`")]
    Diverged {
        /// The step, from 0.
        step: u64,
        /// "loss" or "gradient norm".
        what: &'static str,
        /// The value it took.
        value: f64,
    },
    /// Data that cannot be trained on or measured.
    #[error("{0}")]
    Data(String),
    /// A file whose content is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A file that could not be read or written, or was changed meanwhile; tells a full disk from a missing permission. It stays in the chain
    /// of causes, since its kind decides an exit code.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The oracle did not answer.
    #[error(transparent)]
    Oracle(OracleError),
    /// The model failed.
    #[error(transparent)]
    Model(RunError),
}

impl DistillError {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Store(StoreError::io(path, action, source))
    }

    /// Whether the work was stopped from outside.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

impl From<OracleError> for DistillError {
    fn from(error: OracleError) -> Self {
        match error {
            OracleError::Cancelled => Self::Cancelled,
            other => Self::Oracle(other),
        }
    }
}

impl From<RunError> for DistillError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Cancelled => Self::Cancelled,
            other => Self::Model(other),
        }
    }
}
