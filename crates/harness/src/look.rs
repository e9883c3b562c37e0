//! What can be told of an experiment before any model is loaded: from its configuration, its tokenizers and the first rows of its files.
//! Whatever a run would refuse then is refused, and what is likely not meant is said with numbers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corpus::{Split, TaskKind, exchanges};
use lm::{ComputePath, Runtime};
use oracle::{Drawing, Surface};
use serde::Serialize;
use store::{Hash, Store, StoreError};

use crate::exit::UsageError;
use crate::experiment::TokenizerConfig;
use crate::progress::{Progress, count};
use crate::resolve::{BaseSource, ModelDirectory, ModelSource, Resolved, TeacherSource, World};
use crate::scratch_place::ScratchPlace;
use crate::seeds::seed_for;
use crate::stages::{Sources, Vocabulary, check_labels};

/// Queries whose prompts are compared.
const QUERIES: u64 = 4096;
/// Rows of an imported transcript that are read.
const ROWS: usize = 256;
/// Below this share of different prompts it is said.
const FEW: f64 = 0.9;

/// Something that is likely not meant; a run does it all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// The key of the experiment file that it is about.
    pub key: String,
    /// What follows from it, with numbers: a lower-case fragment.
    pub what: String,
}

/// How many of the first queries open differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Openings {
    /// Queries that were compared.
    pub queries: u64,
    /// Different prompts among them.
    pub distinct: u64,
}

/// Names what [`look`] looks at: of two experiments with equal names one is enough.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn name(resolved: &Resolved) -> Result<Hash, StoreError> {
    let World { corpus, tokenizer, teacher, base, transcript, queries, audit, measure, .. } = &resolved.world;
    let files = (corpus, tokenizer, teacher, base, transcript);
    let surfaces: Vec<&Surface> = resolved.channels.iter().map(|channel| &channel.surface).collect();
    store::hash_json(&(files, queries, audit, measure, surfaces, &resolved.budgets, resolved.seeds.first()))
}

/// Looks at the corpus, the tokenizers and the first rows of imported answers. Openings are compared where the tokenizer is there.
///
/// # Errors
/// What a run would refuse at its beginning, in the same words.
pub fn look(resolved: &Resolved, threads: usize, cancelled: &Arc<AtomicBool>) -> anyhow::Result<Option<Openings>> {
    let world = &resolved.world;
    let rt = Runtime::new(threads, ComputePath::Fused, cancelled.clone())?;
    let sources = open_sources(resolved, &rt)?;
    for file in world.transcript.iter().flat_map(|transcript| [Some(&transcript.import), transcript.control.as_ref()]).flatten() {
        exchanges(&file.path)?.take(ROWS).try_for_each(|row| row.map(drop))?;
    }
    // a tokenizer that is still to be trained tells nothing yet
    let TokenizerConfig::OfTeacher = world.tokenizer else { return Ok(None) };
    let place = ScratchPlace::make()?;
    let store = Store::open(place.artifacts())?.cancelled_by(cancelled.clone());
    let progress = Progress::quiet();
    let vocabulary = Vocabulary::open(world, &sources, &store, &rt, &progress)?;
    check_labels(resolved, &vocabulary)?;
    if let BaseSource::Open(_) = world.base {
        Vocabulary::of_student(resolved, &vocabulary, &sources, &store, &rt, &progress)?;
    }
    openings(resolved, &sources, &vocabulary)
}

/// The corpus, refused where it has too little of something.
fn open_sources(resolved: &Resolved, rt: &Runtime) -> anyhow::Result<Sources> {
    use anyhow::Context as _;
    let world = &resolved.world;
    let sources = Sources::open(&world.corpus, rt).context("`corpus.file`")?;
    let asked = if world.transcript.is_some() { 0 } else { resolved.largest_budget() };
    sources.check(world.measure.held_out_documents, asked)?;
    let texts = sources.of(0)?;
    if let Some(there) = texts.len(Split::Audit).filter(|&there| there < world.audit.prompts) {
        let problem = format!("audit.prompts = {}: the corpus file has {there} texts for this", world.audit.prompts);
        return Err(UsageError(format!("{problem}; lower it, or bring more text")).into());
    }
    let has_tasks = || TaskKind::ALL.into_iter().any(|kind| texts.task(kind, Split::Tasks, 0).is_some());
    if world.measure.tasks.is_some() && !has_tasks() {
        let problem = "measure.tasks: this corpus has no checkable tasks; leave measure.tasks out";
        return Err(UsageError(problem.into()).into());
    }
    Ok(sources)
}

/// How many of the first queries of the first repetition open differently; `None` where they were asked elsewhere.
///
/// # Errors
/// When the grammar is not valid.
pub fn openings(resolved: &Resolved, sources: &Sources, vocabulary: &Vocabulary) -> anyhow::Result<Option<Openings>> {
    let Some(&seed) = resolved.seeds.first().filter(|_| resolved.world.transcript.is_none()) else { return Ok(None) };
    let texts = sources.of(seed_for(seed, "queries"))?;
    let queries = resolved.largest_budget().min(QUERIES);
    let opening = |index| vocabulary.prompt(&*texts, Split::Prompts, index, resolved.world.queries.prompt_tokens);
    let distinct = (0..queries).map(opening).collect::<HashSet<_>>().len() as u64;
    Ok(Some(Openings { queries, distinct }))
}

/// Everything in `resolved` that is likely not meant.
pub fn warnings(resolved: &Resolved, openings: Option<Openings>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |key: String, what: String| warnings.push(Warning { key, what });
    same_models(resolved, &mut warn);
    batches(resolved, &mut warn);
    greedy(resolved, &mut warn);
    if let Some(Openings { queries, distinct }) = openings.filter(|found| (found.distinct as f64) < FEW * found.queries as f64) {
        let largest = resolved.largest_budget();
        let what = format!(
            "of the first {queries} of {largest} queries only {distinct} open differently, so the same prompts are bought again and \
             again; raise it, or bring more text"
        );
        warn("queries.prompt_tokens".into(), what);
    }
    warnings
}

/// A teacher that is another model of the experiment too.
fn same_models(resolved: &Resolved, warn: &mut dyn FnMut(String, String)) {
    let world = &resolved.world;
    let TeacherSource::Open { model: teacher, .. } = &world.teacher else { return };
    let mut same = |key: &str, model: &ModelDirectory, follows: &str| {
        if model.hash().ok() == teacher.hash().ok() {
            let bytes: u64 = model.files.iter().map(|file| file.bytes).sum();
            let size = format!("{} files, {} bytes", model.files.len(), count(bytes as f64).replace(' ', ""));
            warn(key.to_string(), format!("it is the teacher's model itself, file by file ({size}): {follows}"));
        }
    };
    if let ModelSource::Open(model) = &world.stranger {
        let rivals = resolved.channels.len() * resolved.seeds.len();
        let follows = format!("the stranger and {rivals} rival(s) are then no models that never met it, and no negatives");
        same("stranger.model", model, &follows);
    }
    if let BaseSource::Open(model) = &world.base {
        let follows = "every student then begins with all that it could learn from 0 queries on, and no theft can pay";
        same("base.model", model, follows);
    }
}

/// Batches that hold more than a budget buys.
fn batches(resolved: &Resolved, warn: &mut dyn FnMut(String, String)) {
    let student = &resolved.world.student;
    let rows = student.batch_rows as u64;
    let short: Vec<u64> = resolved.budgets.iter().copied().filter(|&budget| student.read_of(budget) < rows).collect();
    if let Some(&least) = short.first() {
        let (read, all) = (student.read_of(least), resolved.budgets.len());
        let times = rows as f64 / read.max(1) as f64;
        let what = format!(
            "a batch of {rows} exchanges is more than the {read} that a student of {least} queries may read: every step reads each \
             {times:.1} times ({} of {all} budgets); lower it, or raise `queries.budgets`",
            short.len()
        );
        warn("student.batch_rows".into(), what);
    }
}

/// Answers that are not drawn, with marks that live in the draw.
fn greedy(resolved: &Resolved, warn: &mut dyn FnMut(String, String)) {
    let world = &resolved.world;
    let drawn: Vec<&str> = world.needs().filter(|(_, needs)| needs.lives_in_the_draw).map(|(name, _)| name.as_str()).collect();
    if drawn.is_empty() {
        return;
    }
    let marks = drawn.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let largest = resolved.largest_budget();
    for (index, channel) in resolved.channels.iter().enumerate() {
        let label = matches!(channel.surface, Surface::Label { .. });
        let (key, how) = match channel.surface.drawing() {
            Drawing::Greedy => (format!("distill[{index}].surface"), "take the most probable token"),
            _ if label => (format!("distill[{index}].surface"), "are the most probable label"),
            _ if world.queries.sampling.temperature == 0.0 => {
                ("queries.sampling.temperature".into(), "take the most probable token")
            }
            _ => continue,
        };
        let what = format!("its answers {how}, and {marks} changes how tokens are drawn: 0 of {largest} answers carry it");
        warn(key, what);
    }
    if world.audit.sampling.temperature == 0.0 {
        let prompts = world.audit.prompts;
        let what =
            format!("the teacher's own {prompts} answers are not drawn either, so {marks} is not shown on the positive control");
        warn("audit.sampling.temperature".into(), what);
    }
}
