//! What an experiment will cost: counts from its numbers alone; time, disk and memory from assumed rates, or from those that a
//! rehearsal measured on this machine.
//!
//! Counts of queries and tokens are exact up to answers that end early; operations follow the 6 N and 2 N rules.

mod bill;
mod counts;
mod rehearsed;

pub use bill::{Estimate, Stages};

use crate::rehearsal::Rehearsal;
use crate::resolve::Resolved;
use crate::shapes::Shapes;

/// Assumed training rate of one thread, in operations per second (6 N per token): what the quickstart reached on
/// a 2-core AVX-512 machine.
pub const TRAIN_FLOP_PER_SECOND: f64 = 40e9;
/// Assumed rate of one thread when it generates or scores, in operations per second (2 N per token);
/// likewise, tests included.
pub const FORWARD_FLOP_PER_SECOND: f64 = 20e9;

/// How a point is estimated.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Threads that work.
    pub threads: usize,
    /// Where rates come from; `None` for assumed ones.
    pub rehearsal: Option<&'a Rehearsal>,
    /// The part of each kind of work that is still to be done.
    pub new: Stages,
}

/// What the part of `resolved` that is still to be done will cost, at assumed rates or those of a rehearsal.
pub fn estimate(resolved: &Resolved, shapes: &Shapes, means: &Means<'_>) -> Estimate {
    let Means { threads, rehearsal, new } = *means;
    let (mut total, flop) = counts::count(resolved, shapes, rehearsal.map(|rehearsal| rehearsal.took.answer_tokens));
    let disk = disk(resolved, shapes, &total, rehearsal);
    total.threads = threads;
    total.trained_parameters = counts::student_params(resolved, shapes) as u64;
    total.optimizer_bytes = 8 * total.trained_parameters;
    let seconds = match rehearsal {
        Some(rehearsal) => {
            total.memory_bytes = rehearsed::memory(resolved, &total, rehearsal);
            total.rehearsed = true;
            rehearsed::stages(resolved, rehearsal)
        }
        None => {
            let rate = threads.max(1) as f64;
            let seconds = |train: f64, forward: f64| (train / TRAIN_FLOP_PER_SECOND + forward / FORWARD_FLOP_PER_SECOND) / rate;
            flop.train.zip(&flop.forward, seconds)
        }
    };
    let of = |stages: &Stages| stages.zip(&new, |amount, new| amount * new);
    let whole = |count: u64, new: f64| (count as f64 * new).round() as u64;
    total.stages = of(&seconds);
    total.seconds = total.stages.total();
    total.train_flop = of(&flop.train).total();
    total.forward_flop = of(&flop.forward).total();
    total.disk_bytes = of(&disk).total();
    for count in [&mut total.queries, &mut total.prompt_tokens, &mut total.answer_tokens] {
        *count = whole(*count, new.asking);
    }
    for count in [&mut total.distilled, &mut total.distillation_tokens] {
        *count = whole(*count, new.students);
    }
    for count in [&mut total.suspects, &mut total.audit_tokens] {
        *count = whole(*count, new.measuring);
    }
    total.pretraining_tokens = whole(total.pretraining_tokens, new.models);
    total
}

/// The cost of several parts together; what they need at once is the most that one of them needs.
pub fn sum(parts: &[Estimate]) -> Estimate {
    let mut total = Estimate::default();
    for part in parts {
        total.suspects += part.suspects;
        total.distilled += part.distilled;
        total.queries += part.queries;
        total.prompt_tokens += part.prompt_tokens;
        total.answer_tokens += part.answer_tokens;
        total.audit_tokens += part.audit_tokens;
        total.pretraining_tokens += part.pretraining_tokens;
        total.distillation_tokens += part.distillation_tokens;
        total.trained_parameters = total.trained_parameters.max(part.trained_parameters);
        total.optimizer_bytes = total.optimizer_bytes.max(part.optimizer_bytes);
        total.train_flop += part.train_flop;
        total.forward_flop += part.forward_flop;
        total.disk_bytes += part.disk_bytes;
        total.memory_bytes = total.memory_bytes.into_iter().chain(part.memory_bytes).reduce(f64::max);
        total.seconds += part.seconds;
        total.stages = total.stages.zip(&part.stages, |a, b| a + b);
        total.threads = part.threads;
        total.rehearsed = part.rehearsed;
    }
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
/// Bytes of a report whatever it shows: three figures in three formats and two widths.
const REPORT_BYTES: f64 = 3.7e6;

/// Bytes of a suspect's answers to the audit, at most.
fn audit_bytes(resolved: &Resolved) -> f64 {
    let audit = &resolved.world.audit;
    let tokens = (audit.prompt_tokens + audit.max_new_tokens) as f64;
    audit.prompts as f64 * (QUERY_BYTES + TOKEN_BYTES * tokens) + SHARD_BYTES
}

fn disk(resolved: &Resolved, shapes: &Shapes, total: &Estimate, rehearsal: Option<&Rehearsal>) -> Stages {
    let per_query = rehearsal.map(|rehearsal| rehearsal.took.bytes_per_query);
    let tokens = (total.prompt_tokens + total.answer_tokens) as f64;
    let asking = per_query
        .map_or(TOKEN_BYTES * tokens + QUERY_BYTES * total.queries as f64, |bytes| bytes * total.queries as f64)
        + SHARD_BYTES * (total.queries as f64 / resolved.world.queries.shard_queries as f64).ceil();
    let assumed = MODEL_EXTRAS.0 + MODEL_EXTRAS.1 * shapes.student.vocab_size() as f64;
    let weights = 4.0 * counts::kept_params(resolved, shapes);
    let extras = rehearsal.map_or(assumed, |rehearsal| rehearsal.took.student_bytes as f64 - weights);
    let kept = |models: Vec<(f64, f64, counts::Kept)>| -> f64 {
        let bytes = |(params, steps, kept): (f64, f64, counts::Kept)| match kept {
            counts::Kept::Model => 4.0 * params + CURVE.0 * steps.min(CURVE.1) + extras,
            counts::Kept::State => 12.0 * params + 40.0 * steps,
        };
        models.into_iter().map(bytes).sum()
    };
    Stages {
        models: kept(counts::trained_models(resolved, shapes)),
        asking,
        students: kept(counts::distilled_models(resolved, shapes)),
        measuring: (SUSPECT_BYTES + audit_bytes(resolved)) * total.suspects as f64,
        other: REPORT_BYTES,
    }
}

/// Bytes of a shard beside its exchanges: counts, manifest, the Parquet footer.
const SHARD_BYTES: f64 = 4e3;
