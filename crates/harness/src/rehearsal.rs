//! A short rehearsal of an experiment: every stage on a little of its work, in a directory that is thrown away, so that an
//! estimate rests on this machine and these models.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use distill::Compute;
use lm::{ComputePath, Runtime};
use marks::CanaryConfig;
use store::Store;

use crate::memory::peak_bytes;
use crate::progress::Progress;
use crate::resolve::{BaseSource, ModelSource, Resolved, TeacherSource};
use crate::stages::{Context, Rehearsed, Sources, Timings, Vocabulary, rehearse};

/// Steps of every training in a rehearsal: enough for what a training sets up once not to count.
const STEPS: u64 = 120;

/// What a rehearsal found.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What it did.
    pub scaled: Resolved,
    /// What it took.
    pub took: Rehearsed,
    /// Largest memory of this process so far, bytes, where the system says.
    pub peak_bytes: Option<f64>,
}

/// Rehearses `resolved` on `threads` threads.
///
/// # Errors
/// As a run of it.
pub fn run(resolved: &Resolved, threads: usize, cancelled: &Arc<AtomicBool>) -> anyhow::Result<Rehearsal> {
    let scaled = scaled(resolved);
    let place = tempfile::tempdir()?;
    let store = Store::open(place.path())?.cancelled_by(cancelled.clone());
    let rt = Arc::new(Runtime::new(threads, ComputePath::Fused, cancelled.clone())?.with_device(scaled.device.clone()));
    let progress = Progress::quiet();
    let started = Instant::now();
    let sources = Sources::open(&scaled.world.corpus)?;
    let vocabulary = Vocabulary::open(&scaled.world, &sources, &store, &rt, &progress)?;
    let student_vocabulary = Vocabulary::of_student(&scaled, &vocabulary, &sources, &store, &rt, &progress)?;
    let opening = started.elapsed().as_secs_f64();
    let timings = Timings::default();
    let ctx = Context {
        resolved: &scaled,
        seed: scaled.seeds.first().copied().unwrap_or(0),
        store: &store,
        rt: &rt,
        progress: &progress,
        timings: &timings,
        sources: &sources,
        vocabulary: &vocabulary,
        student_vocabulary: student_vocabulary.as_ref(),
        checkpoint_every: Duration::MAX,
    };
    let mut took = rehearse(&ctx)?;
    took.once_seconds += opening;
    Ok(Rehearsal { scaled, took, peak_bytes: peak_bytes() })
}

/// The same experiment with little to do: one repetition, short trainings, two small budgets of which the smaller shows every law
/// for the first time.
fn scaled(resolved: &Resolved) -> Resolved {
    let mut scaled = resolved.clone();
    scaled.seeds.truncate(1);
    let world = &mut scaled.world;
    let few = |tokens: &mut u64, steps: u64, batch_rows: usize, row_tokens: usize| {
        *tokens = (*tokens).min(steps * (batch_rows * row_tokens) as u64);
    };
    // every canary as often as the number of its level: as many to measure, fewer to plant
    let mut copies = 0;
    if let Some(CanaryConfig::SecretSharer(canary)) = &mut world.marks.canary {
        canary.repeats = (1..=canary.repeats.len() as u32).collect();
        copies = canary.canaries_per_level as u64 * canary.repeats.iter().map(|&n| u64::from(n)).sum::<u64>();
    }
    let mut teacher = |tokens: &mut u64, batch_rows: usize, row_tokens: usize| {
        // the second half has a row for each copy, twice over, as not every row begins a document
        let planted = (STEPS / 2).max(2 * copies.div_ceil(batch_rows.max(1) as u64) + 2);
        few(tokens, STEPS / 2 + planted, batch_rows, row_tokens);
        if let Some(after) = &mut world.marks.canaries_after_tokens {
            few(after, STEPS / 2, batch_rows, row_tokens);
        }
    };
    match &mut world.teacher {
        TeacherSource::Train(plan) => teacher(&mut plan.tokens, plan.batch_rows, plan.row_tokens),
        TeacherSource::Open { continued: Some(plan), .. } => teacher(&mut plan.tokens, plan.batch_rows, plan.row_tokens),
        TeacherSource::Open { continued: None, .. } => {}
    }
    if let ModelSource::Train(plan) = &mut world.stranger {
        few(&mut plan.tokens, STEPS, plan.batch_rows, plan.row_tokens);
    }
    if let BaseSource::Train(plan) = &mut world.base {
        few(&mut plan.tokens, STEPS, plan.batch_rows, plan.row_tokens);
    }
    if let Some(implant) = &mut world.marks.implant {
        implant.max_steps = implant.max_steps.min(implant.check_every);
    }
    let largest = resolved.largest_budget();
    let budget = (STEPS * world.student.batch_rows as u64).clamp(2, largest.max(2));
    let row_tokens = world.queries.row_tokens();
    match &mut world.student.compute {
        Compute::FixedSteps { tokens } => few(tokens, STEPS, world.student.batch_rows, row_tokens),
        Compute::SinglePass { warmup_steps, .. } => *warmup_steps = (*warmup_steps).min(1),
        passes => *passes = Compute::OnePass,
    }
    world.queries.shard_queries = world.queries.shard_queries.min(budget);
    scaled.budgets = vec![budget - 1, budget];
    scaled
}
