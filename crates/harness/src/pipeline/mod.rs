//! From resolved points to their records, and one summary, figures and table of all.

mod audit;
mod files;
mod inputs;
mod job;
mod joined;
mod machine;
mod point;
mod report;
mod seal;
mod students;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::estimate::{Means, Stages, estimate};
use crate::progress::{Predicted, Progress};
use crate::resolve::Grid;
use crate::sharing::sharing;

pub use audit::{AuditJob, Audited, audit};
pub use files::make_directory;
pub use job::{Failure, Job, Outcome, RunOptions};
use point::Workshop;
use report::Collected;
pub use report::{ReportJob, TABLE, in_words, report};
pub use seal::Seal;
use seal::{MANIFEST, save_manifest};

/// The results directory of `grid`.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn results_directory(results: &Path, grid: &Grid) -> Result<PathBuf, store::StoreError> {
    Ok(results.join(grid.name()).join(grid.hash()?.short()))
}

/// For every point, how many records of it are in the results directory of `grid`.
///
/// # Errors
/// When a parameter has no canonical JSON (a number that is not finite).
pub fn records_there(results: &Path, grid: &Grid) -> Result<Vec<usize>, store::StoreError> {
    let directory = results_directory(results, grid)?;
    if !grid.is_grid() {
        return Ok(vec![results::read_records(&directory.join("records.jsonl")).map_or(0, |records| records.len())]);
    }
    let collected = Collected::open(grid, &directory);
    Ok(grid.points.iter().map(|point| collected.records_of(point)).collect())
}

/// Runs every stage of the chosen points that is not done yet, and reports them with what earlier runs found at the others.
///
/// A point of a grid that fails leaves the others alone, and what was found at it before.
///
/// # Errors
/// What stopped it: of an experiment without a grid any failure, of a grid a signal or a full disk. Everything finished before is
/// kept and found again.
pub fn run(job: &Job<'_>, options: &RunOptions, progress: &Progress, cancelled: &Arc<AtomicBool>) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let grid = job.grid;
    let directory = results_directory(&options.results, grid)?;
    make_directory("--results", &options.results, &directory)?;
    let mut workshop = Workshop::open(&directory, grid.first().device.clone(), options, progress, cancelled)?;
    files::write_plan(grid, &directory)?;
    let mut collected = Collected::open(grid, &directory);
    if let Some(why) = collected.left_out() {
        progress.warn(why);
    }
    let predicted = predicted(job, options)?;
    predicted.iter().for_each(|predicted| progress.plan(predicted));
    let (mut failures, mut rows) = (Vec::new(), Vec::new());
    for (place, &number) in job.chosen.iter().enumerate() {
        let point = &grid.points[number];
        if grid.is_grid() {
            progress.note(&format!("point {} of {}: {}", place + 1, job.chosen.len(), in_words(&point.axes)));
        }
        match workshop.run(point, &predicted[place]) {
            Ok(mut found) => {
                rows.append(&mut found.suspects);
                collected.put(point, found);
            }
            Err(error) if !grid.is_grid() || workshop.is_cancelled() || is_full(&error) => return Err(error),
            Err(error) => {
                progress.note(&format!("this point failed: {error:#}"));
                failures.push(Failure { number, error });
                if job.fail_fast {
                    break;
                }
            }
        }
    }
    // a run that found everything says nothing about who made it and how long that took
    if workshop.worked || !directory.join(MANIFEST).exists() {
        save_manifest(&directory, files::manifest(grid, options, started))?;
    }
    students::write(&directory, rows)?;
    let outcome = match collected.is_empty() {
        true => Outcome::nothing(directory.clone(), failures),
        false => Outcome { failures, ..collected.write()? },
    };
    workshop.close();
    Ok(outcome)
}

/// What each of the chosen points was predicted to take, at assumed rates: only the proportions count.
fn predicted(job: &Job<'_>, options: &RunOptions) -> anyhow::Result<Vec<Predicted>> {
    let new = sharing(job.grid, job.chosen)?.new;
    let of = |(&number, new): (&usize, Stages)| {
        let point = &job.grid.points[number];
        let seconds = estimate(&point.resolved, &point.shapes, &Means { threads: options.threads, rehearsal: None, new }).stages;
        Predicted { models: seconds.models, students: seconds.asking + seconds.students, measuring: seconds.measuring }
    };
    Ok(job.chosen.iter().zip(new).map(of).collect())
}

/// Whether no other point could be run either.
fn is_full(error: &anyhow::Error) -> bool {
    store::trouble(error.as_ref()) == Some(store::Trouble::Full)
}
