//! What an experiment will cost, from its numbers alone.
//!
//! Counts of queries and tokens are exact up to answers that end early; operations follow the 6 N and 2 N rules; seconds
//! assume stated rates, so that a reader can put in his own.

use oracle::Access;
use results::Arm;
use serde::Serialize;

use crate::resolve::{BaseSource, ModelSource, Resolved, TeacherSource};
use crate::shapes::Shapes;

/// Assumed training rate of one thread, in operations per second (6 N per token): what the quickstart reached on
/// a 2-core AVX-512 machine.
pub const TRAIN_FLOP_PER_SECOND: f64 = 40e9;
/// Assumed rate of one thread when it generates or scores, in operations per second (2 N per token);
/// likewise, tests included.
pub const FORWARD_FLOP_PER_SECOND: f64 = 20e9;
/// Bytes of a stored answer or prompt token, index and seed included, after compression.
const BYTES_PER_TOKEN: f64 = 3.0;
/// Bytes of a stored parameter: weights only, `f32`.
const BYTES_PER_PARAMETER: f64 = 4.0;

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
    /// Answer tokens, at most.
    pub answer_tokens: u64,
    /// Tokens that suspects generate for audits, at most; what each mark asks besides is not counted.
    pub audit_tokens: u64,
    /// Tokens trained on before distillation: teachers, clean twins, strangers, bases.
    pub pretraining_tokens: u64,
    /// Tokens trained on in distillation, repeats counted.
    pub distillation_tokens: u64,
    /// Operations of all training.
    pub train_flop: f64,
    /// Operations of asking, auditing and re-scoring.
    pub forward_flop: f64,
    /// Bytes kept on disk.
    pub disk_bytes: f64,
    /// Seconds on `threads` threads at the assumed rates.
    pub seconds: f64,
    /// Threads assumed.
    pub threads: usize,
}

/// What `resolved` will cost on `threads` threads.
pub fn estimate(resolved: &Resolved, shapes: &Shapes, threads: usize) -> Estimate {
    let world = &resolved.world;
    let seeds = resolved.seeds.len() as u64;
    let mut total = Estimate { threads, ..Estimate::default() };
    let (teacher, stranger, student) = (&shapes.teacher, &shapes.stranger, &shapes.student);
    let mut models = 0.0;

    // teachers, once per seed; the clean twin shares the trunk before the first canary
    let planted_after = world.marks.canaries_after_tokens;
    let twice = |tokens: u64| tokens + planted_after.map_or(0, |after| tokens.saturating_sub(after));
    let mut train = |tokens: u64, config: &lm::ModelConfig| {
        total.pretraining_tokens += seeds * tokens;
        total.train_flop += (seeds * tokens) as f64 * config.flops_per_token_train();
        models += seeds as f64 * config.n_params() as f64;
    };
    match &world.teacher {
        TeacherSource::Train(plan) => train(twice(plan.tokens), teacher),
        TeacherSource::Open { continued: Some(plan), .. } => train(twice(plan.tokens), teacher),
        TeacherSource::Open { continued: None, .. } => {}
    }
    if let ModelSource::Train(plan) = &world.stranger {
        train(plan.tokens, stranger);
    }
    if let BaseSource::Train(plan) = &world.base {
        train(plan.tokens, student);
    }

    // transcripts: marked teacher, clean twin and stranger answer the same prompts; surfaces that draw alike share one
    let mut ways_to_draw: Vec<bool> = resolved.channels.iter().map(|c| c.surface == oracle::Surface::GreedyText).collect();
    ways_to_draw.sort_unstable();
    ways_to_draw.dedup();
    let asked = seeds * resolved.largest_budget() * 3 * ways_to_draw.len() as u64;
    let (prompt, answer) = (world.queries.prompt_tokens as u64, world.queries.max_new_tokens as u64);
    total.queries = asked;
    total.prompt_tokens = asked * prompt;
    total.answer_tokens = asked * answer;
    total.forward_flop += (asked * (prompt + answer)) as f64 * teacher.flops_per_token_forward();

    for run in resolved.runs() {
        total.suspects += 1;
        let audited = if matches!(run.arm, Arm::Teacher | Arm::Stranger) { teacher } else { student };
        let audit = world.audit.prompts * (world.audit.prompt_tokens + world.audit.max_new_tokens) as u64;
        total.audit_tokens += world.audit.prompts * world.audit.max_new_tokens as u64;
        total.forward_flop += audit as f64 * audited.flops_per_token_forward();
        if let (Some(channel), Some(steps)) = (&run.channel, run.steps) {
            let tokens = steps * world.student.batch_rows as u64 * (prompt + answer);
            total.distilled += 1;
            total.distillation_tokens += tokens;
            total.train_flop += tokens as f64 * student.flops_per_token_train();
            models += student.n_params() as f64;
            if channel.loss.build().needs() > Access::Text {
                // laws are not stored: the trainer scores stored tokens through the teacher again
                total.forward_flop += tokens as f64 * teacher.flops_per_token_forward();
            }
        }
    }
    total.disk_bytes = BYTES_PER_TOKEN * (total.prompt_tokens + total.answer_tokens) as f64 + BYTES_PER_PARAMETER * models;
    let rate = threads.max(1) as f64;
    total.seconds = total.train_flop / (TRAIN_FLOP_PER_SECOND * rate) + total.forward_flop / (FORWARD_FLOP_PER_SECOND * rate);
    total
}
