//! From records to summary, figures and table.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::Context as _;
use results::{Arm, Caption, LossSeries, Record};
use serde::{Deserialize, Serialize};
use store::write_atomic;

use super::job::Outcome;
use super::point::Found;
use crate::exit::UsageError;
use crate::progress::count;
use crate::resolve::{Grid, Point, Resolved};
use crate::stages::{load_json, save_json};

/// What the points of a figure are, and what its rings.
const POINTS: &str = "points: p of one test; rings and N*: verdicts";
/// Columns of the table when its width is not known.
const TABLE_WIDTH: u16 = 160;
/// Points of a grid whose loss curves are drawn: more would hide each other.
const MOST_DRAWN: usize = 12;

const RECORDS: &str = "records.jsonl";
const REPORT: &str = "report.json";

/// What a report needs beside the records, kept in `report.json` of a results directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportInputs {
    alpha: f64,
    caption: Caption,
    /// Of an experiment without a grid.
    curves: Vec<LossSeries>,
    /// Likewise.
    samples: Vec<String>,
    /// What `curves` and `samples` are, point by point of a grid, as far as it was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    points: Vec<PointInputs>,
}

/// The same of one point.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointInputs {
    /// The point's own hash, which its records carry.
    hash: String,
    axes: BTreeMap<String, String>,
    curves: Vec<LossSeries>,
    samples: Vec<String>,
}

/// What is known of a grid's points: found now, or left by an earlier run of other points.
pub(super) struct Collected<'a> {
    grid: &'a Grid,
    directory: &'a Path,
    found: BTreeMap<String, Found>,
}

impl<'a> Collected<'a> {
    /// With what an earlier run left in `directory`; of an experiment without a grid everything is found again anyway.
    pub fn open(grid: &'a Grid, directory: &'a Path) -> Self {
        let mut collected = Self { grid, directory, found: BTreeMap::new() };
        if grid.is_grid() {
            collected.read();
        }
        collected
    }

    /// Records that cannot be read are those of another version: their points are run again when somebody asks for them.
    fn read(&mut self) {
        let Ok(records) = results::read_records(&self.directory.join(RECORDS)) else { return };
        let Ok(inputs) = load_json::<ReportInputs>(&self.directory.join(REPORT)) else { return };
        let known: HashSet<String> = self.grid.points.iter().map(|point| point.hash.hex()).collect();
        for point in inputs.points.into_iter().filter(|point| known.contains(&point.hash)) {
            self.found.insert(point.hash, Found { curves: point.curves, samples: point.samples, ..Found::default() });
        }
        for record in records {
            if let Some(found) = self.found.get_mut(&record.experiment_hash) {
                found.records.push(record);
            }
        }
        self.found.retain(|_, found| !found.records.is_empty());
    }

    /// Puts what a point found in the place of what was there.
    pub fn put(&mut self, point: &Point, found: Found) {
        self.found.insert(point.hash.hex(), found);
    }

    /// Records that are there of `point`.
    pub fn records_of(&self, point: &Point) -> usize {
        self.found.get(&point.hash.hex()).map_or(0, |found| found.records.len())
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Judges everything together and writes the report.
    pub fn write(self) -> anyhow::Result<Outcome> {
        let Self { grid, directory, mut found } = self;
        let experiment = grid.first();
        let mut inputs = ReportInputs {
            alpha: experiment.alpha,
            caption: caption(grid),
            curves: Vec::new(),
            samples: Vec::new(),
            points: Vec::new(),
        };
        let mut records = Vec::new();
        for point in &grid.points {
            let Some(Found { records: own, curves, samples, .. }) = found.remove(&point.hash.hex()) else { continue };
            records.extend(own);
            if grid.is_grid() {
                inputs.points.push(PointInputs { hash: point.hash.hex(), axes: point.axes.clone(), curves, samples });
            } else {
                (inputs.curves, inputs.samples) = (curves, samples);
            }
        }
        results::judge(&mut records, experiment.alpha)?;
        results::sort_records(&mut records);
        save_json(&directory.join(REPORT), &inputs)?;
        write(directory, &records, &inputs)
    }
}

fn caption(grid: &Grid) -> Caption {
    let words = |of: &dyn Fn(&Resolved) -> String| {
        let all: BTreeSet<String> = grid.points.iter().map(|point| of(&point.resolved)).collect();
        match all.len() {
            1 => all.into_iter().next().unwrap_or_default(),
            _ => "by point".to_string(),
        }
    };
    Caption {
        title: grid.first().question.clone(),
        compute: words(&compute_in_words),
        audit: words(&|experiment| {
            let audit = &experiment.world.audit;
            format!("{} prompts x {} tokens", audit.prompts, audit.max_new_tokens)
        }),
        // figures name the primary mark themselves
        statistics: match grid.first().primary {
            Some(_) => POINTS.to_string(),
            None => format!("{POINTS}, Holm over all marks of a student"),
        },
    }
}

/// Makes summary, figures and table again from the records in a results directory; loads no model.
///
/// # Errors
/// When it is not a results directory, or cannot be written.
pub fn report(directory: &Path) -> anyhow::Result<Outcome> {
    let path = directory.join(RECORDS);
    if !path.is_file() {
        let remedy = "name a directory that `birthmark run` printed, results/<experiment>/<hash>";
        return Err(UsageError(format!("{} has no records.jsonl; {remedy}", directory.display())).into());
    }
    let unusable = |error: anyhow::Error| UsageError(format!("{error:#}"));
    let inputs: ReportInputs = load_json(&directory.join(REPORT)).map_err(unusable)?;
    let mut records = results::read_records(&path).map_err(unusable)?;
    results::judge(&mut records, inputs.alpha)?;
    write(directory, &records, &inputs)
}

/// Writes everything that follows from records.
fn write(directory: &Path, records: &[Record], inputs: &ReportInputs) -> anyhow::Result<Outcome> {
    let drawn = inputs.points.iter().take(MOST_DRAWN).flat_map(|point| &point.curves);
    let curves: Vec<LossSeries> = inputs.curves.iter().chain(drawn).cloned().collect();
    results::write_report(directory, records, &curves, &inputs.caption, inputs.alpha)?;
    let mut table = said_by_the_teacher(inputs);
    table.push_str(&teacher_in_words(records, inputs));
    table.push_str(&results::survival_table(records, inputs.alpha, Some(TABLE_WIDTH)));
    write_atomic(&directory.join("table.txt"), format!("{table}\n").as_bytes())?;
    let lines = records.iter().map(serde_json::to_value).collect::<Result<_, _>>().context("records as JSON")?;
    Ok(Outcome { directory: directory.to_path_buf(), table, lines, failures: Vec::new() })
}

/// What the served teacher says, at the first point of a grid.
fn said_by_the_teacher(inputs: &ReportInputs) -> String {
    let first = inputs.points.iter().find(|point| !point.samples.is_empty());
    let (samples, place) = match first {
        Some(point) => (&point.samples, format!(", at {}", in_words(&point.axes))),
        None => (&inputs.samples, String::new()),
    };
    if samples.is_empty() {
        return String::new();
    }
    let mut text = format!("What the served teacher says (prompt and answer){place}\n");
    for sample in samples {
        text.push_str(&format!("  | {}\n", sample.trim().replace('\n', "\n  | ")));
    }
    text.push('\n');
    text
}

/// A place on the grid: `queries.max_new_tokens=16, marks.wm=kgw`.
pub fn in_words(axes: &BTreeMap<String, String>) -> String {
    axes.iter().map(|(key, label)| format!("{key}={label}")).collect::<Vec<_>>().join(", ")
}

/// What marking cost the teacher, and whether it models its corpus at all: a line for each repetition, and for each point of a
/// grid where that is another teacher.
fn teacher_in_words(records: &[Record], inputs: &ReportInputs) -> String {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    let teachers: BTreeSet<(u64, &str)> = records.iter().map(|record| (record.seed, record.experiment_hash.as_str())).collect();
    for (seed, hash) in teachers {
        let loss = |metric: &str| {
            let is = |r: &&Record| {
                (r.seed, r.experiment_hash.as_str(), r.arm) == (seed, hash, Arm::Teacher) && r.metric.as_deref() == Some(metric)
            };
            records.iter().find(is).and_then(|record| record.value).map(|value| format!("{value:.3}"))
        };
        let parts = [
            ("clean twin", loss("held_out_loss_clean_twin")),
            ("with canaries", loss("held_out_loss_before_implant")),
            ("and with keys", loss("held_out_loss")),
            ("interpolated trigrams on the same text", loss("trigram_loss")),
        ];
        let said: Vec<String> = parts.into_iter().filter_map(|(name, loss)| Some(format!("{name} {}", loss?))).collect();
        let line = format!("Held-out loss of the teacher, nats/token (seed {seed}): {}", said.join(", "));
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, points)) => points.push(hash),
            None => lines.push((line, vec![hash])),
        }
    }
    let several = lines.iter().map(|(_, points)| points.len()).max() < Some(inputs.points.len());
    let mut text = String::new();
    for (line, points) in lines {
        text.push_str(&line);
        for point in inputs.points.iter().filter(|point| several && points.contains(&point.hash.as_str())) {
            text.push_str(&format!("\n  at {}", in_words(&point.axes)));
        }
        text.push_str("\n\n");
    }
    text
}

fn compute_in_words(experiment: &Resolved) -> String {
    let student = &experiment.world.student;
    let row = experiment.world.queries.row_tokens();
    let largest = experiment.largest_budget();
    let steps = student.steps_of_recipes(largest, row).into_iter().max().unwrap_or(0);
    let tokens = count((steps * (student.batch_rows * row) as u64) as f64);
    match student.compute.name() {
        "fixed_steps" => format!("fixed steps, at most {tokens} tokens for each student"),
        "chosen" => {
            let trials = student.choosing().map_or(0, |choosing| choosing.trials.len());
            format!("the best of {trials} trainings on held-out answers, each at most {tokens} tokens at the largest budget")
        }
        name => format!("{}, at most {tokens} tokens at the largest budget", name.replace('_', " ")),
    }
}
