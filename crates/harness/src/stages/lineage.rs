//! What a suspect was made from, as directories below the artifacts: for whoever wants to look at the models and answers themselves.

use std::collections::BTreeMap;

use results::Arm;
use serde::{Deserialize, Serialize};

use crate::resolve::Run;

/// What a suspect learned from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lineage {
    /// The model that answered; of the teacher the teacher itself.
    pub teacher: Option<String>,
    /// Names its answers, however many.
    pub transcript: Option<String>,
    /// Artifacts that hold those that were paid for.
    pub answers: Vec<String>,
}

/// A suspect and where it lies: a row of `students.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspectRow {
    /// Root seed of the repetition.
    pub seed: u64,
    /// Who it is.
    pub arm: Arm,
    /// The mark that its teacher lacked; empty where none.
    pub lacks: String,
    /// Label of the surface it was distilled through; "-" where none.
    pub surface: String,
    /// Name of the distillation loss; "-" where none.
    pub loss: String,
    /// Queries it was distilled from; empty for arms that were not distilled.
    pub budget_queries: Option<u64>,
    /// Its place on the grid; empty without one.
    pub axes: String,
    /// Hash of the run, as its records carry it.
    pub run_id: String,
    /// Artifact of the suspect; of a model that was brought the hash of its files.
    pub model: String,
    /// Artifact of the model that it learned from, likewise.
    pub teacher: String,
    /// Names the answers that it learned from.
    pub transcript_id: String,
    /// Artifacts that hold them, apart by spaces.
    pub transcript: String,
    /// Artifact with its own answers to the audit; empty where no mark asks for them.
    pub audit: String,
}

impl SuspectRow {
    /// The row of the suspect at `run`, which is `model`.
    pub fn new(
        run: &Run,
        run_id: String,
        axes: &BTreeMap<String, String>,
        model: String,
        lineage: &Lineage,
        audit: Option<&str>,
    ) -> Self {
        let channel = run.channel.as_ref();
        let axes = axes.iter().map(|(key, label)| format!("{key}={label}")).collect::<Vec<_>>().join(", ");
        Self {
            seed: run.seed,
            arm: run.arm,
            lacks: run.lacks.clone().unwrap_or_default(),
            surface: channel.map_or("-".into(), |channel| channel.surface.label()),
            loss: channel.map_or("-".into(), |channel| channel.loss.build().name().into()),
            budget_queries: run.budget,
            axes,
            run_id,
            model,
            teacher: lineage.teacher.clone().unwrap_or_default(),
            transcript_id: lineage.transcript.clone().unwrap_or_default(),
            transcript: lineage.answers.join(" "),
            audit: audit.unwrap_or_default().to_string(),
        }
    }
}
