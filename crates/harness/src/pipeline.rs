//! From a resolved experiment to its records, summary, figures and table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lm::{ComputePath, Runtime};
use results::{Arm, Caption, LossSeries, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Journal, Store, write_atomic};

use crate::exit::UsageError;
use crate::progress::{Progress, count};
use crate::resolve::Resolved;
use crate::stages::{Context, Identity, Sources, Timings, Vocabulary, load_json, repeat, save_json};

/// What the points and the verdicts of a figure are.
const STATISTICS: &str = "points: p of one test; rings and N*: verdicts, Holm over all marks of a student";
/// Records as they come, while a run is under way.
const JOURNAL: &str = "records.partial.jsonl";
/// Columns of the table when its width is not known.
const TABLE_WIDTH: u16 = 150;

/// Where and how an experiment runs: nothing here changes a result.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Results go to `<results>/<experiment>/<hash8>/`.
    pub results: PathBuf,
    /// Artifacts by hash.
    pub artifacts: PathBuf,
    /// Make no artifact: one that is missing or damaged ends the run.
    pub offline_artifacts: bool,
    /// Wall time between two checkpoints of a training; zero saves one after every step.
    pub checkpoint_every: Duration,
    /// Worker threads.
    pub threads: usize,
    /// Answers a worker samples together; `None` leaves it to the runtime.
    pub decode_rows: Option<usize>,
    /// Revision of the source that the program was built from, for the manifest.
    pub revision: &'static str,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The results directory.
    pub directory: PathBuf,
    /// The table that says in words what survived.
    pub table: String,
    /// The same for programs: one JSON object per line.
    pub lines: Vec<Value>,
}

/// What a report needs beside the records, kept in `report.json` of a results directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportInputs {
    alpha: f64,
    caption: Caption,
    curves: Vec<LossSeries>,
    samples: Vec<String>,
}

/// Runs every stage that is not done yet.
///
/// # Errors
/// What stopped it; everything finished before is kept and found again.
pub fn run(
    experiment: &Resolved,
    options: &RunOptions,
    progress: &Progress,
    cancelled: &Arc<AtomicBool>,
) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let hash = experiment.hash()?;
    let directory = options.results.join(&experiment.name).join(hash.short());
    make_directory("--results", &options.results, &directory)?;
    // what an earlier run left there is found again by its artifacts; the lock keeps a second process away
    let (mut journal, _) = Journal::open::<Value>(&directory.join(JOURNAL))?;
    journal.clear()?;
    store::remove_temporaries(&directory)?;
    save_json(&directory.join("experiment.json"), experiment)?;
    write_runs(experiment, &directory)?;

    let store = open_store(options)?.cancelled_by(cancelled.clone());
    let device = experiment.device.clone();
    let mut rt = Runtime::new(options.threads, ComputePath::Fused, cancelled.clone())?.with_device(device);
    if let Some(rows) = options.decode_rows {
        rt = rt.with_decode_rows(rows);
    }
    let rt = Arc::new(rt);
    let sources = Sources::open(&experiment.world.corpus).context("`corpus.file.path`")?;
    sources.check(experiment.world.measure.held_out_documents, experiment.largest_budget())?;
    let vocabulary = Vocabulary::open(&experiment.world, &sources, &store, &rt, progress)?;
    let student_vocabulary = Vocabulary::of_student(experiment, &vocabulary, &sources, &store, &rt, progress)?;
    let timings = Timings::default();
    let identity = Identity { experiment: experiment.name.clone(), experiment_hash: hash.hex() };

    let (mut records, mut curves, mut samples, mut worked) = (Vec::new(), Vec::new(), Vec::new(), false);
    for &seed in &experiment.seeds {
        let ctx = Context {
            resolved: experiment,
            seed,
            store: &store,
            rt: &rt,
            checkpoint_every: options.checkpoint_every,
            progress,
            timings: &timings,
            sources: &sources,
            vocabulary: &vocabulary,
            student_vocabulary: student_vocabulary.as_ref(),
        };
        let found =
            &mut |found: &[Record]| -> anyhow::Result<()> { found.iter().try_for_each(|record| Ok(journal.append(record)?)) };
        let repetition = repeat(&ctx, &identity, found);
        // also of a run that was stopped: what it finished will not be done again
        worked |= write_timings(&timings, &directory)?;
        let repetition = repetition?;
        records.extend(repetition.records);
        curves.extend(repetition.curves);
        samples.extend(repetition.samples);
    }
    results::judge(&mut records, experiment.alpha)?;
    results::sort_records(&mut records);
    let audit = &experiment.world.audit;
    let caption = Caption {
        title: experiment.question.clone(),
        compute: compute_in_words(experiment),
        audit: format!("{} prompts x {} tokens", audit.prompts, audit.max_new_tokens),
        statistics: STATISTICS.to_string(),
    };
    let inputs = ReportInputs { alpha: experiment.alpha, caption, curves, samples };
    save_json(&directory.join("report.json"), &inputs)?;
    // a run that found everything says nothing about who made it and how long that took
    if worked || !directory.join("manifest.json").exists() {
        save_json(&directory.join("manifest.json"), &manifest(experiment, options, started))?;
    }
    let outcome = write(&directory, &records, &inputs)?;
    let _ = std::fs::remove_file(journal.path());
    Ok(outcome)
}

fn open_store(options: &RunOptions) -> anyhow::Result<Store> {
    if options.offline_artifacts {
        return Ok(Store::offline(&options.artifacts));
    }
    make_directory("--artifacts", &options.artifacts, &options.artifacts)?;
    Ok(Store::open(&options.artifacts)?)
}

/// Makes a directory that a flag asks for; that it cannot be made is a mistake in the flag, unless the disk is full.
fn make_directory(flag: &str, given: &Path, directory: &Path) -> anyhow::Result<()> {
    let Err(error) = std::fs::create_dir_all(directory) else { return Ok(()) };
    let error = store::StoreError::io(directory, "make the directory", error);
    if store::trouble(&error) == Some(store::Trouble::Full) {
        return Err(error.into());
    }
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let place = directory.display();
    let mend = "name a directory that can be written";
    Err(UsageError(format!("{flag} {}: cannot make the directory {place}: {why}; {mend}", given.display())).into())
}

/// Makes summary, figures and table again from the records in a results directory; loads no model.
///
/// # Errors
/// When it is not a results directory, or cannot be written.
pub fn report(directory: &Path) -> anyhow::Result<Outcome> {
    let path = directory.join("records.jsonl");
    if !path.is_file() {
        let mend = "name a directory that `birthmark run` printed, results/<experiment>/<hash>";
        return Err(UsageError(format!("{} has no records.jsonl; {mend}", directory.display())).into());
    }
    let unusable = |error: anyhow::Error| UsageError(format!("{error:#}"));
    let inputs: ReportInputs = load_json(&directory.join("report.json")).map_err(unusable)?;
    let mut records = results::read_records(&path).map_err(unusable)?;
    results::judge(&mut records, inputs.alpha)?;
    write(directory, &records, &inputs)
}

/// Writes everything that follows from records.
fn write(directory: &Path, records: &[Record], inputs: &ReportInputs) -> anyhow::Result<Outcome> {
    results::write_report(directory, records, &inputs.curves, &inputs.caption, inputs.alpha)?;
    let mut table = String::new();
    if !inputs.samples.is_empty() {
        table.push_str("What the served teacher says (prompt and answer)\n");
        for sample in &inputs.samples {
            table.push_str(&format!("  | {}\n", sample.trim().replace('\n', "\n  | ")));
        }
        table.push('\n');
    }
    table.push_str(&teacher_in_words(records));
    table.push_str(&results::survival_table(records, inputs.alpha, Some(TABLE_WIDTH)));
    write_atomic(&directory.join("table.txt"), format!("{table}\n").as_bytes())?;
    let lines = records.iter().map(serde_json::to_value).collect::<Result<_, _>>().context("records as JSON")?;
    Ok(Outcome { directory: directory.to_path_buf(), table, lines })
}

/// What marking cost the teacher, and whether it models its corpus at all: a line for each repetition.
fn teacher_in_words(records: &[Record]) -> String {
    let mut text = String::new();
    let seeds: BTreeSet<u64> = records.iter().map(|record| record.seed).collect();
    for seed in seeds {
        let loss = |metric: &str| {
            let is = |r: &&Record| r.seed == seed && r.arm == Arm::Teacher && r.metric.as_deref() == Some(metric);
            records.iter().find(is).and_then(|record| record.value).map(|value| format!("{value:.3}"))
        };
        let parts = [
            ("clean twin", loss("held_out_loss_clean_twin")),
            ("with canaries", loss("held_out_loss_before_implant")),
            ("and with keys", loss("held_out_loss")),
            ("interpolated trigrams on the same text", loss("trigram_loss")),
        ];
        let said: Vec<String> = parts.into_iter().filter_map(|(name, loss)| Some(format!("{name} {}", loss?))).collect();
        text.push_str(&format!("Held-out loss of the teacher, nats/token (seed {seed}): {}\n\n", said.join(", ")));
    }
    text
}

fn compute_in_words(experiment: &Resolved) -> String {
    let student = &experiment.world.student;
    let row = experiment.world.queries.prompt_tokens + experiment.world.queries.max_new_tokens;
    let tokens = |budget| count((student.steps(budget, row) * (student.batch_rows * row) as u64) as f64);
    let largest = experiment.largest_budget();
    match student.compute.name() {
        "fixed_steps" => format!("fixed steps, at most {} tokens for each student", tokens(largest)),
        name => format!("{}, at most {} tokens at the largest budget", name.replace('_', " "), tokens(largest)),
    }
}

/// The grid, one resolved run per line with its id.
fn write_runs(experiment: &Resolved, directory: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for run in experiment.runs() {
        lines.extend(store::canonical_json(&json!({ "run_id": experiment.run_id(&run)?.hex(), "run": run }))?);
        lines.push(b'\n');
    }
    Ok(write_atomic(&directory.join("runs.jsonl"), &lines)?)
}

/// Adds the stages that were really run to `timings.jsonl`, and says whether there were any: a second run finds everything.
fn write_timings(timings: &Timings, directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join("timings.jsonl");
    let mut text = std::fs::read(&path).unwrap_or_default();
    let timings = timings.take();
    for timing in &timings {
        text.extend(store::canonical_json(timing)?);
        text.push(b'\n');
    }
    write_atomic(&path, &text)?;
    Ok(!timings.is_empty())
}

/// Who made these results, where and how: everything that records leave out because it must not change them.
fn manifest(experiment: &Resolved, options: &RunOptions, started: Instant) -> Value {
    let models: BTreeMap<_, _> = experiment.world.origins().into_iter().collect();
    json!({
        "birthmark": env!("CARGO_PKG_VERSION"),
        "revision": options.revision,
        "experiment": experiment.name,
        "question": experiment.question,
        "hypothesis": experiment.hypothesis,
        "models": models,
        "device": experiment.device.name().to_string(),
        "threads": options.threads,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "wall_seconds": started.elapsed().as_secs_f64(),
        "peak_memory_bytes": crate::memory::peak_bytes(),
    })
}
