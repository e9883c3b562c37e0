//! A short rehearsal of an experiment: every stage on a little of its work, in a directory that is thrown away, so that an
//! estimate is about this machine and these models.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use distill::Compute;
use lm::{ComputePath, Runtime};
use serde_json::{Value, json};
use store::{Hash, Store};

use crate::look::{Openings, openings};
use crate::memory::peak_bytes;
use crate::progress::{Predicted, Progress};
use crate::resolve::{BaseSource, ModelSource, Resolved, TeacherSource};
use crate::scratch_place::ScratchPlace;
use crate::stages::{Context, Imports, Rehearsed, Sources, Timings, Vocabulary, check_labels, rehearse};

/// Steps of every training in a rehearsal: enough for what a training sets up once not to count.
const STEPS: u64 = 120;

/// What a rehearsal found.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What it did.
    pub scaled: Resolved,
    /// What it took.
    pub took: Rehearsed,
    /// How many of its first queries open differently.
    pub openings: Option<Openings>,
    /// Largest memory of this process so far, bytes, where the system says.
    pub peak_bytes: Option<f64>,
}

/// Rehearses `resolved` on `threads` threads.
///
/// # Errors
/// As a run of it.
pub fn run(resolved: &Resolved, threads: usize, cancelled: &Arc<AtomicBool>) -> anyhow::Result<Rehearsal> {
    let scaled = scaled(resolved);
    let place = ScratchPlace::make()?;
    let store = Store::open(place.artifacts())?.cancelled_by(cancelled.clone());
    let rt = Arc::new(Runtime::new(threads, ComputePath::Fused, cancelled.clone())?.with_device(scaled.device.clone()));
    let progress = Progress::quiet();
    let started = Instant::now();
    let sources = Sources::open(&scaled.world.corpus, &rt)?;
    let vocabulary = Vocabulary::open(&scaled.world, &sources, &store, &rt, &progress)?;
    check_labels(&scaled, &vocabulary)?;
    let student_vocabulary = Vocabulary::of_student(&scaled, &vocabulary, &sources, &store, &rt, &progress)?;
    let imports = Imports::open(&scaled, (&vocabulary, student_vocabulary.as_ref()), &store, &rt, &progress)?;
    let opening = started.elapsed().as_secs_f64();
    let openings = openings(resolved, &sources, &vocabulary)?;
    let timings = Timings::default();
    let ctx = Context {
        resolved: &scaled,
        seed: scaled.seeds.first().copied().unwrap_or(0),
        store: &store,
        rt: &rt,
        progress: &progress,
        predicted: Predicted::default(),
        timings: &timings,
        sources: &sources,
        vocabulary: &vocabulary,
        student_vocabulary: student_vocabulary.as_ref(),
        imports: imports.as_ref(),
        checkpoint_every: Duration::MAX,
    };
    let mut took = rehearse(&ctx)?;
    took.once_seconds += opening;
    Ok(Rehearsal { scaled, took, openings, peak_bytes: peak_bytes() })
}

/// Names how long a rehearsal of `resolved` takes: points of a grid whose names are equal differ in numbers with a fraction alone (rates,
/// strengths, temperatures), in seeds, or in amounts that a rehearsal cuts down anyway.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn name(resolved: &Resolved) -> Result<Hash, store::StoreError> {
    let scaled = scaled(resolved);
    let mut said = json!([scaled.world, scaled.channels, scaled.budgets]);
    forget_fractions(&mut said);
    store::hash_json(&said)
}

fn forget_fractions(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => *value = Value::Null,
        Value::Array(values) => values.iter_mut().for_each(forget_fractions),
        Value::Object(entries) => entries.values_mut().for_each(forget_fractions),
        _ => {}
    }
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
    // as many to measure, fewer to plant
    for entry in world.marks.values_mut() {
        *entry = entry.small();
    }
    let copies: u64 = world.needs().map(|(_, needs)| needs.planted_copies).sum();
    let mut teacher = |tokens: &mut u64, batch_rows: usize, row_tokens: usize| {
        // the second half has a row for each copy, eight times over, as not in every row a document begins early enough
        let planted = (STEPS / 2).max(8 * copies.div_ceil(batch_rows.max(1) as u64) + 2);
        few(tokens, STEPS / 2 + planted, batch_rows, row_tokens);
        if let Some(after) = &mut world.planting.canaries_after_tokens {
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
    if let Some(implant) = &mut world.planting.implant {
        implant.max_steps = implant.max_steps.min(implant.check_every);
    }
    if let Some(distillation) = &mut world.planting.distillation {
        distillation.steps = distillation.steps.min(STEPS);
    }
    let largest = resolved.largest_budget();
    let budget = (STEPS * world.student.batch_rows as u64).clamp(2, largest.max(2));
    let row_tokens = world.queries.row_tokens();
    // of what a thief chooses among, the first rate: a training takes as long at any
    world.student.peak_lr = world.student.recipes(largest).first().map(|recipe| recipe.peak_lr);
    match &mut world.student.compute {
        Compute::FixedSteps { tokens } => few(tokens, STEPS, world.student.batch_rows, row_tokens),
        Compute::SinglePass { warmup_steps, .. } => *warmup_steps = (*warmup_steps).min(1),
        passes => *passes = Compute::OnePass,
    }
    world.queries.shard_queries = world.queries.shard_queries.min(budget);
    scaled.budgets = vec![budget - 1, budget];
    scaled
}
