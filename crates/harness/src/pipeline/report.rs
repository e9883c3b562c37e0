//! From records to summary, figures and table.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use results::{Arm, Caption, LossSeries, Record, TableFormat};

use super::audit;
use super::files::{make_directory, write_table};
use super::inputs::{self, Elsewhere, PointInputs, REPORT, ReportInputs};
use super::job::Outcome;
use super::joined;
use super::point::Found;
use super::seal::{RECORDS, Seal, seal};
use crate::exit::UsageError;
use crate::progress::count;
use crate::resolve::{Grid, Point, Resolved};
use crate::stages::{load_json, save_json};

/// What the points of a figure are, and what its rings.
const POINTS: &str = "points: p of one test; rings and N*: verdicts";
/// The table in `table.txt`, as wide as a terminal whose width is not known.
pub const TABLE: TableFormat = TableFormat::Text(160);
/// Points of a grid whose loss curves are drawn: more would hide each other.
const MOST_DRAWN: usize = 12;

/// What is known of a grid's points: found now, or left by an earlier run of other points.
pub(super) struct Collected<'a> {
    grid: &'a Grid,
    directory: &'a Path,
    found: BTreeMap<String, Found>,
    left_out: Option<&'static str>,
}

impl<'a> Collected<'a> {
    /// With what an earlier run left in `directory`; of an experiment without a grid everything is found again anyway.
    pub fn open(grid: &'a Grid, directory: &'a Path) -> Self {
        let mut collected = Self { grid, directory, found: BTreeMap::new(), left_out: None };
        if grid.is_grid() {
            collected.read();
        }
        collected
    }

    /// Why what an earlier run found at other points is left out of the report, if it is.
    pub fn left_out(&self) -> Option<&'static str> {
        self.left_out
    }

    /// Records that cannot be read are those of another version: their points are run again when somebody asks for them.
    fn read(&mut self) {
        if self.directory.join(RECORDS).exists() && Seal::of(self.directory) == Seal::Broken {
            // nothing that was changed by hand gets a new seal
            self.left_out = Some(
                "records.jsonl is not what an earlier run wrote; its points are left out until they are run again, which finds their artifacts",
            );
            return;
        }
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
        let Self { grid, directory, mut found, .. } = self;
        let experiment = grid.first();
        let mut inputs = ReportInputs {
            alpha: experiment.alpha,
            caption: caption(grid),
            expect: experiment.expect.clone(),
            curves: Vec::new(),
            samples: Vec::new(),
            points: Vec::new(),
            sources: Vec::new(),
            elsewhere: None,
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
        write_sealed(directory, &records)?;
        write(directory, &records, &inputs, TABLE)
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

/// What is to be reported, where to, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct ReportJob<'a> {
    /// Results directories, at least one.
    pub directories: &'a [PathBuf],
    /// Where the report goes; `None` leaves it where the records are, which only one directory allows.
    pub out: Option<&'a Path>,
    /// Headline of figures in place of the experiment's question.
    pub title: Option<&'a str>,
    /// The form of the table that comes back.
    pub format: TableFormat,
}

/// Makes summary, figures and table again from the records in results directories; loads no model. Of several directories it is one report
/// of all their records ([`results::join`]); of an audit it is its table.
///
/// # Errors
/// When one is not a results directory, several do not go together, or the report cannot be written.
pub fn report(job: &ReportJob<'_>) -> anyhow::Result<Outcome> {
    if let [one] = job.directories
        && one.join(audit::AUDIT).is_file()
    {
        if job.out.is_some() || job.format != TABLE {
            let what = format!("{} is an audit, whose report is its table, beside it", one.display());
            return Err(UsageError(format!("{what}; leave out --out and --format")).into());
        }
        return audit::report(one);
    }
    let (mut records, mut inputs, found) = match job.directories {
        [one] => inputs::read(one)?,
        several => joined::read(several)?,
    };
    if let Some(title) = job.title {
        inputs.caption.title = title.to_string();
    }
    let directory = match (job.out, job.directories) {
        (Some(out), directories) => {
            joined::refuse_results(out, directories)?;
            make_directory("--out", out, out)?;
            out
        }
        (None, [one]) => one,
        (None, _) => {
            let what = "a report of several results directories needs a place of its own; name it with --out DIR";
            return Err(UsageError(what.to_string()).into());
        }
    };
    results::judge(&mut records, inputs.alpha).map_err(|error| UsageError(format!("{error:#}")))?;
    results::sort_records(&mut records);
    // this version may judge and write otherwise than the one that ran
    if job.out.is_some() || inputs.elsewhere.is_some() {
        results::write_records(&directory.join(RECORDS), &records)?;
        // once broken it stays so: what was changed here is written again as it is
        inputs.elsewhere = Some(Elsewhere::of(directory, found)?);
        save_json(&directory.join(REPORT), &inputs)?;
    } else if found == Seal::Whole {
        write_sealed(directory, &records)?;
    }
    let mut outcome = write(directory, &records, &inputs, job.format)?;
    match found {
        Seal::Broken => {
            let changed = |table: &str| format!("CHANGED: {}\n\n{table}", found.words().unwrap_or_default());
            if job.format == TABLE {
                outcome.table = changed(&outcome.table);
                write_table(directory, &outcome.table)?;
            } else {
                // what is printed goes into a file as it is, and the one beside the records is for people
                write_table(directory, &changed(&table_in_words(&records, &inputs)?))?;
            }
        }
        Seal::Whole | Seal::Absent => {}
    }
    Ok(Outcome { seal: found, ..outcome })
}

/// Writes records and their seal, before the figures: these take seconds, and records without their seal look as if somebody had changed them.
fn write_sealed(directory: &Path, records: &[Record]) -> anyhow::Result<()> {
    results::write_records(&directory.join(RECORDS), records)?;
    seal(directory)
}

/// Writes everything that follows from records.
fn write(directory: &Path, records: &[Record], inputs: &ReportInputs, format: TableFormat) -> anyhow::Result<Outcome> {
    let drawn = inputs.points.iter().take(MOST_DRAWN).flat_map(|point| &point.curves);
    let curves: Vec<LossSeries> = inputs.curves.iter().chain(drawn).cloned().collect();
    results::write_report(directory, records, &curves, &inputs.caption, inputs.alpha)?;
    let mut table = table_in_words(records, inputs)?;
    let broken = results::broken(&inputs.expect, records);
    write_table(directory, &table)?;
    if format != TABLE {
        table = results::table_as(format, records, inputs.alpha)?;
    }
    let lines = records.iter().map(serde_json::to_value).collect::<Result<_, _>>().context("records as JSON")?;
    let false_positives = results::false_positives(records);
    let (directory, failures) = (directory.to_path_buf(), Vec::new());
    Ok(Outcome { directory, table, lines, false_positives, broken, failures, seal: Seal::Whole })
}

/// What became of the conditions of `[expect]`; nothing where there are none.
fn expected_in_words(conditions: usize, broken: &[String]) -> String {
    match (conditions, broken.len()) {
        (0, _) => String::new(),
        (1, 0) => "\n\nThe one condition of [expect] holds".to_string(),
        (n, 0) => format!("\n\nAll {n} conditions of [expect] hold"),
        (n, gone) => format!("\n\n{gone} of {n} conditions of [expect] broken\n  {}", broken.join("\n  ")),
    }
}

/// What `table.txt` holds.
fn table_in_words(records: &[Record], inputs: &ReportInputs) -> anyhow::Result<String> {
    let mut table = joined_from(inputs);
    table.push_str(&said_by_the_teacher(inputs));
    table.push_str(&teacher_in_words(records, inputs));
    table.push_str(&results::table_as(TABLE, records, inputs.alpha)?);
    table.push_str(&expected_in_words(inputs.expect.len(), &results::broken(&inputs.expect, records)));
    Ok(table)
}

/// Where the records of a joined report are from.
fn joined_from(inputs: &ReportInputs) -> String {
    if inputs.sources.is_empty() {
        return String::new();
    }
    let lines: String = inputs.sources.iter().map(|source| format!("  {source}\n")).collect();
    format!("Joined from\n{lines}\n")
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
        // the same where nothing is implanted into a finished teacher
        let before = loss("held_out_loss_before_implant").filter(|before| Some(before) != loss("held_out_loss").as_ref());
        let parts = [
            ("clean twin", loss("held_out_loss_clean_twin")),
            ("before keys were implanted", before),
            ("teacher", loss("held_out_loss")),
            ("interpolated trigrams on the same text", loss("trigram_loss")),
        ];
        let said: Vec<String> = parts.into_iter().filter_map(|(name, loss)| Some(format!("{name} {}", loss?))).collect();
        let line = format!("Held-out loss, nats/token (seed {seed}): {}", said.join(", "));
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
