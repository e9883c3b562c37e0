//! What is estimated.

use oracle::Surface;
use serde::Serialize;

/// What an experiment will cost, all seeds together.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Estimate {
    /// Suspects that are measured.
    pub suspects: u64,
    /// Models that are distilled.
    pub distilled: u64,
    /// Queries asked of all teachers.
    pub queries: u64,
    /// Prompt tokens of these queries.
    pub prompt_tokens: u64,
    /// Answer tokens: at most, or as many as the corpus' own texts would hold when it was rehearsed.
    pub answer_tokens: u64,
    /// Tokens that suspects generate for audits, at most; what each mark asks besides is not counted.
    pub audit_tokens: u64,
    /// Tokens trained on before distillation: teachers, clean twins, strangers, bases.
    pub pretraining_tokens: u64,
    /// Tokens trained on in distillation, repeats counted.
    pub distillation_tokens: u64,
    /// Parameters that the training of a student changes: all of it, or its adapter's.
    pub trained_parameters: u64,
    /// Bytes of its optimiser's moments.
    pub optimizer_bytes: u64,
    /// Operations of all training.
    pub train_flop: f64,
    /// Operations of asking, auditing and re-scoring.
    pub forward_flop: f64,
    /// Bytes kept on disk.
    pub disk_bytes: f64,
    /// Largest memory of the process; known from a rehearsal only.
    pub memory_bytes: Option<f64>,
    /// Seconds on `threads` threads.
    pub seconds: f64,
    /// Where the seconds go.
    pub stages: Stages,
    /// Threads assumed.
    pub threads: usize,
    /// Whether rates were measured here rather than assumed.
    pub rehearsed: bool,
}

/// An amount by stage: seconds, operations, bytes, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Stages {
    /// Teachers, clean twins, strangers, bases, and whatever is planted in them.
    pub models: f64,
    /// Transcripts.
    pub asking: f64,
    /// Students, controls, rivals.
    pub students: f64,
    /// Marks, fidelity, usefulness.
    pub measuring: f64,
    /// Everything else, which hardly grows.
    pub other: f64,
}

impl Stages {
    /// `f` of each pair.
    pub(super) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            models: f(self.models, other.models),
            asking: f(self.asking, other.asking),
            students: f(self.students, other.students),
            measuring: f(self.measuring, other.measuring),
            other: f(self.other, other.other),
        }
    }

    pub(super) fn total(&self) -> f64 {
        self.models + self.asking + self.students + self.measuring + self.other
    }
}

/// Tokens of each law a surface reports, where a trainer keeps them.
pub(super) fn law_size(surface: &Surface) -> Option<f64> {
    surface.reported_tokens().map(|tokens| tokens as f64)
}
