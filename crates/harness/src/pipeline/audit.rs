//! The marks of an experiment on models from outside, in a results directory of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context as _;
use lm::{ComputePath, Runtime};
use results::{Arm, AuditOutcome, Record, audit_outcome, audit_table, negative_in_words, negatives_of, of_suspect};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Hash, Journal};

use super::files::{make_directory, manifest, write_plan, write_table, write_timings};
use super::job::{JOURNAL, Outcome, RunOptions};
use super::point::open_store;
use super::seal::{MANIFEST, RECORDS, Seal, save_manifest, seal};
use crate::exit::UsageError;
use crate::found::Origin;
use crate::progress::{Predicted, Progress};
use crate::resolve::Grid;
use crate::stages::{
    Brought, Context, Identity, Imports, Sources, Timings, Vocabulary, check_labels, examine, load_json, save_json,
};

/// What makes a results directory that of an audit.
pub(super) const AUDIT: &str = "audit.json";

/// Whose marks are looked for, and where.
#[derive(Debug)]
pub struct AuditJob<'a> {
    /// Every point of the experiment.
    pub grid: &'a Grid,
    /// The point whose marks they are, as a position in [`Grid::points`].
    pub number: usize,
    /// The repetition: each seed is an owner with models and keys of its own.
    pub seed: u64,
    /// The suspect, then the negatives.
    pub brought: Vec<Brought>,
}

/// What an audit found.
#[derive(Debug)]
pub struct Audited {
    /// What it says of the suspect as a whole.
    pub outcome: AuditOutcome,
    /// Mark by mark, in words.
    pub table: String,
    /// The same for programs, one object.
    pub line: Value,
    /// The results directory.
    pub directory: PathBuf,
}

/// What an audit was of, kept in [`AUDIT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    experiment: String,
    experiment_hash: String,
    /// Of the grid, where there is one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    axes: BTreeMap<String, String>,
    seed: u64,
    alpha: f64,
    suspect: Named,
    negatives: Vec<Named>,
}

/// A model from outside, as far as that is no matter of this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    /// Hash of its files.
    hash: String,
}

impl Named {
    fn of(brought: &Brought) -> anyhow::Result<Self> {
        Ok(Self { name: brought.name.clone(), hash: brought.directory.hash()?.hex() })
    }
}

/// Asks the suspect and all beside it, judges, and writes a results directory: `<results>/<experiment>/audit-<hash8>/`, apart from the
/// experiment's own. Artifacts of the experiment are found where they are, and made where they are not; no student is made.
///
/// # Errors
/// When a model cannot be read or does not fit, a stage fails or the work is cancelled; finished stages are kept and found again.
pub fn audit(
    job: &AuditJob<'_>,
    options: &RunOptions,
    progress: &Progress,
    cancelled: &Arc<AtomicBool>,
) -> anyhow::Result<Audited> {
    let started = Instant::now();
    let point = &job.grid.points[job.number];
    let mut resolved = point.resolved.clone();
    // tasks say what a student is worth, and are no mark's; teachers that lack a mark have students only
    resolved.world.measure.tasks = None;
    resolved.marks_apart.clear();
    let about = job.about()?;
    let directory = options.results.join(&resolved.name).join(format!("audit-{}", about.name()?.short()));
    make_directory("--results", &options.results, &directory)?;
    let mut journal = Journal::begin(&directory.join(JOURNAL))?;
    store::remove_temporaries(&directory)?;

    let store = open_store(options)?.cancelled_by(cancelled.clone());
    resolved.world.files().into_iter().for_each(|(path, seen)| store.watch(path, seen));
    let outside = job.brought.iter().flat_map(|brought| brought.directory.all_files());
    outside.for_each(|file| store.watch(&file.path, &file.seen));
    let mut rt = Runtime::new(options.threads, ComputePath::Fused, cancelled.clone())?.with_device(resolved.device.clone());
    if let Some(rows) = options.decode_rows {
        rt = rt.with_decode_rows(rows);
    }
    let rt = Arc::new(rt);
    let sources = Sources::open(&resolved.world.corpus, &rt).context("`corpus.file`")?;
    let asked = if resolved.world.transcript.is_some() { 0 } else { resolved.largest_budget() };
    sources.check(resolved.world.measure.held_out_documents, asked)?;
    let vocabulary = Vocabulary::open(&resolved.world, &sources, &store, &rt, progress)?;
    check_labels(&resolved, &vocabulary)?;
    let student_vocabulary = Vocabulary::of_student(&resolved, &vocabulary, &sources, &store, &rt, progress)?;
    let imports = Imports::open(&resolved, (&vocabulary, student_vocabulary.as_ref()), &store, &rt, progress)?;
    let timings = Timings::default();
    let ctx = Context {
        resolved: &resolved,
        seed: job.seed,
        store: &store,
        rt: &rt,
        checkpoint_every: options.checkpoint_every,
        progress,
        timings: &timings,
        sources: &sources,
        vocabulary: &vocabulary,
        student_vocabulary: student_vocabulary.as_ref(),
        imports: imports.as_ref(),
        predicted: Predicted::default(),
    };
    let identity = Identity { experiment: resolved.name.clone(), experiment_hash: point.hash.hex(), axes: point.axes.clone() };
    let noted = &mut |found: &[Record]| -> anyhow::Result<()> { found.iter().try_for_each(|record| Ok(journal.append(record)?)) };
    let records = examine(&ctx, &identity, &job.brought, noted);
    let worked = write_timings(&timings, &directory)?;
    // that something was changed while it was in use comes before whatever else that led to
    let records = match store.check() {
        Err(changed) if rt.check_cancelled().is_ok() => return Err(changed.into()),
        _ => records?,
    };

    save_json(&directory.join(AUDIT), &about)?;
    write_plan(job.grid, &directory)?;
    if worked || !directory.join(MANIFEST).exists() {
        save_manifest(&directory, job.manifest(options, started))?;
    }
    let audited = write(&directory, records, &about)?;
    seal(&directory)?;
    let _ = std::fs::remove_file(journal.path());
    Ok(audited)
}

impl AuditJob<'_> {
    fn about(&self) -> anyhow::Result<About> {
        let point = &self.grid.points[self.number];
        let of = |arm: Arm| self.brought.iter().filter(move |brought| brought.arm == arm).map(Named::of);
        let suspect = of(Arm::Suspect).next().ok_or_else(|| anyhow::anyhow!("an audit has a suspect"))??;
        Ok(About {
            experiment: point.resolved.name.clone(),
            experiment_hash: point.hash.hex(),
            axes: point.axes.clone(),
            seed: self.seed,
            alpha: point.resolved.alpha,
            suspect,
            negatives: of(Arm::Negative).collect::<anyhow::Result<_>>()?,
        })
    }

    /// That of the experiment, and where the models from outside were found.
    fn manifest(&self, options: &RunOptions, started: Instant) -> Value {
        let mut manifest = manifest(self.grid, options, started);
        let from = |brought: &Brought| {
            let origin: Option<&Origin> = brought.directory.origin.as_ref();
            json!({ "name": brought.name, "arm": brought.arm.name(), "path": brought.directory.path, "origin": origin })
        };
        manifest["audited"] = json!(self.brought.iter().map(from).collect::<Vec<_>>());
        manifest
    }
}

impl About {
    /// Names the audit: the same models under other names are the same audit.
    fn name(&self) -> anyhow::Result<Hash> {
        let mut negatives: Vec<&str> = self.negatives.iter().map(|negative| &*negative.hash).collect();
        negatives.sort_unstable();
        Ok(store::hash_json(&json!([self.experiment_hash, self.seed, self.suspect.hash, negatives]))?)
    }

    /// What was audited, for people.
    fn heading(&self) -> String {
        let who = |named: &Named| format!("{} ({})", named.name, named.hash.get(..8).unwrap_or_default());
        let negatives: Vec<String> = self.negatives.iter().map(who).collect();
        let negatives = if negatives.is_empty() { "none named".to_string() } else { negatives.join(", ") };
        let place = self.axes.iter().map(|(key, label)| format!(", {key}={label}")).collect::<String>();
        format!(
            "Audit of {} for the marks of {}{place}, seed {}\nModels that never met the teacher: {negatives}",
            who(&self.suspect),
            self.experiment,
            self.seed
        )
    }
}

/// Makes the table of an audit again from its records.
///
/// # Errors
/// When the directory does not hold an audit, or cannot be written.
pub(super) fn report(directory: &Path) -> anyhow::Result<Outcome> {
    let unusable = |error: anyhow::Error| UsageError(format!("{error:#}"));
    let about: About = load_json(&directory.join(AUDIT)).map_err(unusable)?;
    let mut records = results::read_records(&directory.join(RECORDS)).map_err(unusable)?;
    results::judge(&mut records, about.alpha).map_err(|error| unusable(error.into()))?;
    let found = Seal::of(directory);
    let Audited { mut table, line, .. } = write(directory, records, &about)?;
    match found {
        Seal::Whole => seal(directory)?,
        Seal::Broken => {
            table = format!("CHANGED: {}\n\n{table}", found.words().unwrap_or_default());
            write_table(directory, &table)?;
        }
        Seal::Absent => {}
    }
    Ok(Outcome { table, lines: vec![line], seal: found, ..Outcome::nothing(directory.to_path_buf(), Vec::new()) })
}

/// Judges `records` and writes everything that follows from them.
fn write(directory: &Path, mut records: Vec<Record>, about: &About) -> anyhow::Result<Audited> {
    results::judge(&mut records, about.alpha)?;
    results::sort_records(&mut records);
    results::write_records(&directory.join(RECORDS), &records)?;
    results::write_summary(&directory.join("summary.csv"), &records, about.alpha)?;
    results::write_metrics(&directory.join("metrics.csv"), &records)?;
    let table = format!("{}\n\n{}", about.heading(), audit_table(&records, about.alpha));
    write_table(directory, &table)?;
    let outcome = audit_outcome(&records, about.alpha);
    let mut marks = Vec::new();
    for record in of_suspect(&records) {
        let mut mark = serde_json::to_value(record).context("a record as JSON")?;
        let said = |negative: &Record| {
            json!({
                "model": negative_in_words(negative),
                "named": negative.arm == Arm::Negative,
                "log10_p": negative.log10_p,
                "verdict": negative.verdict,
            })
        };
        mark["negatives"] = json!(negatives_of(&records, record).into_iter().map(said).collect::<Vec<_>>());
        marks.push(mark);
    }
    let mut line = serde_json::to_value(about).context("an audit as JSON")?;
    line["verdict"] = json!(outcome.words());
    line["results"] = json!(directory);
    line["marks"] = json!(marks);
    Ok(Audited { outcome, table, line, directory: directory.to_path_buf() })
}
