//! What a results directory holds beside records and their report.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use store::write_atomic;

use super::job::RunOptions;
use super::machine;
use crate::exit::UsageError;
use crate::places::{PLACES, Places};
use crate::resolve::{Grid, Resolved};
use crate::stages::{Timings, save_json};

/// Writes what is run, fully resolved: `experiment.json`, which can be run again, and `runs.jsonl` with one run per line; and where it was
/// made from, which no result depends on: `places.json`.
pub(super) fn write_plan(grid: &Grid, directory: &Path) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct PointOf<'a> {
        axes: &'a BTreeMap<String, String>,
        experiment: &'a Resolved,
    }
    let path = directory.join("experiment.json");
    if grid.is_grid() {
        let of = |point: &'_ crate::resolve::Point| json!(PointOf { axes: &point.axes, experiment: &point.resolved });
        let points: Vec<Value> = grid.points.iter().map(of).collect();
        save_json(&path, &json!({ "name": grid.name(), "points": points }))?;
    } else {
        save_json(&path, grid.first())?;
    }
    let places: Vec<Places> = grid.points.iter().map(|point| point.resolved.places().seen_from(directory)).collect();
    save_json(&directory.join(PLACES), &places)?;
    let mut lines = Vec::new();
    for point in &grid.points {
        for run in point.resolved.runs() {
            let mut line = json!({ "run_id": point.resolved.run_id(&run)?.hex(), "run": run });
            if grid.is_grid() {
                line["axes"] = json!(point.axes);
            }
            lines.extend(store::canonical_json(&line)?);
            lines.push(b'\n');
        }
    }
    Ok(write_atomic(&directory.join("runs.jsonl"), &lines)?)
}

/// Adds the stages that were really run to `timings.jsonl`, and says whether there were any: a second run finds everything.
pub(super) fn write_timings(timings: &Timings, directory: &Path) -> anyhow::Result<bool> {
    let path = directory.join("timings.jsonl");
    // what a link leads to is not copied here
    let is_ours = path.symlink_metadata().is_ok_and(|there| there.is_file());
    let mut text = if is_ours { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
    let timings = timings.take();
    for timing in &timings {
        text.extend(store::canonical_json(timing)?);
        text.push(b'\n');
    }
    write_atomic(&path, &text)?;
    Ok(!timings.is_empty())
}

/// Who made these results, where and how: everything that records leave out because it must not change them.
pub(super) fn manifest(grid: &Grid, options: &RunOptions, started: Instant) -> Value {
    let models: BTreeMap<_, _> = grid.points.iter().flat_map(|point| point.resolved.world.origins()).collect();
    let experiment = grid.first();
    let shown = |words: &[String]| words.iter().map(|word| machine::without_secret(word, grid)).collect::<Vec<_>>();
    json!({
        "birthmark": env!("CARGO_PKG_VERSION"),
        "revision": options.revision,
        "date": machine::date_before(started.elapsed()),
        "command": shown(&options.command),
        "sets": shown(&options.sets),
        "cpu": machine::cpu(),
        "vectors": kernels::vectors::in_use(),
        "paths": machine::paths(grid),
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

/// Makes a directory that a flag asks for; that it cannot be made is a mistake in the flag, unless the disk is full.
///
/// # Errors
/// As [`UsageError`] naming flag and directory, or as [`store::StoreError`] when the disk is full.
pub fn make_directory(flag: &str, given: &Path, directory: &Path) -> anyhow::Result<()> {
    let Err(error) = std::fs::create_dir_all(directory) else { return Ok(()) };
    let error = store::StoreError::io(directory, "make the directory", error);
    if store::trouble(&error) == Some(store::Trouble::Full) {
        return Err(error.into());
    }
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let place = directory.display();
    let remedy = "name a directory that can be written";
    Err(UsageError(format!("{flag} {}: cannot make the directory {place}: {why}; {remedy}", given.display())).into())
}

/// Writes the table of a results directory.
pub(super) fn write_table(directory: &Path, table: &str) -> anyhow::Result<()> {
    Ok(write_atomic(&directory.join("table.txt"), format!("{}\n", store::plain(table)).as_bytes())?)
}
