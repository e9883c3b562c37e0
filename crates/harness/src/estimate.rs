//! What an experiment will cost: counts from its numbers alone; time, disk and memory from assumed rates, or from those that a
//! rehearsal measured on this machine.
//!
//! Counts of queries and tokens are exact up to answers that end early; operations follow the 6 N and 2 N rules.

mod counts;
mod rehearsed;

use oracle::Surface;
use serde::Serialize;

use crate::rehearsal::Rehearsal;
use crate::resolve::Resolved;
use crate::shapes::Shapes;

/// Assumed training rate of one thread, in operations per second (6 N per token): what the quickstart reached on
/// a 2-core AVX-512 machine.
pub const TRAIN_FLOP_PER_SECOND: f64 = 40e9;
/// Assumed rate of one thread when it generates or scores, in operations per second (2 N per token);
/// likewise, tests included.
pub const FORWARD_FLOP_PER_SECOND: f64 = 20e9;

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

/// Seconds by stage.
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
    fn total(&self) -> f64 {
        self.models + self.asking + self.students + self.measuring + self.other
    }
}

/// What `resolved` will cost on `threads` threads, at assumed rates or those of `rehearsal`.
pub fn estimate(resolved: &Resolved, shapes: &Shapes, threads: usize, rehearsal: Option<&Rehearsal>) -> Estimate {
    let mut total = counts::count(resolved, shapes, rehearsal.map(|rehearsal| rehearsal.took.answer_tokens));
    total.threads = threads;
    total.trained_parameters = counts::student_params(resolved, shapes) as u64;
    total.optimizer_bytes = 8 * total.trained_parameters;
    match rehearsal {
        Some(rehearsal) => {
            total.stages = rehearsed::stages(resolved, rehearsal);
            total.memory_bytes = rehearsed::memory(resolved, &total, rehearsal);
            total.rehearsed = true;
        }
        None => {
            let rate = threads.max(1) as f64;
            total.stages.models = total.train_flop / (TRAIN_FLOP_PER_SECOND * rate);
            total.stages.asking = total.forward_flop / (FORWARD_FLOP_PER_SECOND * rate);
        }
    }
    total.seconds = total.stages.total();
    total.disk_bytes = disk(resolved, shapes, &total, rehearsal);
    total
}

/// Assumed bytes of a query in a transcript beside its tokens.
const QUERY_BYTES: f64 = 12.0;
/// Assumed bytes of a token in a transcript, after compression.
const TOKEN_BYTES: f64 = 1.0;
/// Assumed bytes of a model artifact beside its weights: configuration, card, manifest; and of each token of its tokenizer.
const MODEL_EXTRAS: (f64, f64) = (6e3, 50.0);
/// Bytes of a point of a loss curve on disk, and how many points are kept at most.
const CURVE: (f64, f64) = (130.0, 4096.0);
/// Bytes of the records of a suspect, of its measurement artifact and of its share of the report.
const SUSPECT_BYTES: f64 = 64e3;
/// Bytes of a report whatever it shows.
const REPORT_BYTES: f64 = 60e3;

fn disk(resolved: &Resolved, shapes: &Shapes, total: &Estimate, rehearsal: Option<&Rehearsal>) -> f64 {
    let per_query = rehearsal.map(|rehearsal| rehearsal.took.bytes_per_query);
    let tokens = (total.prompt_tokens + total.answer_tokens) as f64;
    let transcripts = per_query
        .map_or(TOKEN_BYTES * tokens + QUERY_BYTES * total.queries as f64, |bytes| bytes * total.queries as f64)
        + SHARD_BYTES * (total.queries as f64 / resolved.world.queries.shard_queries as f64).ceil();
    let assumed = MODEL_EXTRAS.0 + MODEL_EXTRAS.1 * shapes.student.vocab_size() as f64;
    let weights = 4.0 * counts::kept_params(resolved, shapes);
    let extras = rehearsal.map_or(assumed, |rehearsal| rehearsal.took.student_bytes as f64 - weights);
    let curve = |steps: f64| CURVE.0 * steps.min(CURVE.1);
    let mut models = 0.0;
    for (params, steps, kept) in counts::trained_models(resolved, shapes) {
        models += match kept {
            counts::Kept::Model => 4.0 * params + curve(steps) + extras,
            counts::Kept::State => 12.0 * params + 40.0 * steps,
        };
    }
    transcripts + models + SUSPECT_BYTES * total.suspects as f64 + REPORT_BYTES
}

/// Bytes of a shard beside its exchanges: counts, manifest, the Parquet footer.
const SHARD_BYTES: f64 = 4e3;

/// Tokens of each law a surface reports, where a trainer keeps them.
fn law_size(surface: &Surface) -> Option<f64> {
    match surface {
        Surface::TopLogprobs { k, .. } => Some(*k as f64),
        _ => None,
    }
}
