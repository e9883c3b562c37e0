//! The experiment file: what was typed, as types.
//!
//! One TOML key is one field; unknown keys are refused; a parameter that changes a number has no silent default.
//! Choices among registered variants are tables named after the variant (`[marks.NAME] kind = { gamma = 0.25, … }`),
//! because then a mistake inside one points at its own key. What will *run* is another type: [`crate::resolve`].

mod data;
mod file;
mod grid;
mod imported;
mod marks;
mod models;
pub(crate) mod moved;
mod study;
mod validate;

#[cfg(test)]
mod tests;

pub use data::{CorpusConfig, FileCorpus, TokenizerConfig, TrainedBpe};
pub use file::{Experiment, OwnerConfig};
pub use grid::GridConfig;
pub use imported::TranscriptConfig;
pub use marks::{MarksConfig, PlantingConfig};
pub use models::{BaseConfig, ColdStart, ContinuedTraining, Optimizer, Pretraining, StrangerConfig, TeacherConfig};
pub use study::{AuditConfig, Channel, MeasureConfig, QueriesConfig, Recipe, StudentConfig, TasksConfig};
pub use validate::expect::expectations;
pub use validate::validate;
