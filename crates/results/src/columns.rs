//! Columns that the CSV files share. A column holds one type: numbers, `true` and `false`, or words; an empty cell says that there is none.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::Record;
use crate::query_budget::{Reached, StarNumbers};

/// Name of a column, and what stands in it.
pub(crate) type Column = (&'static str, fn(&Record) -> String);

/// Who the suspect is, and how it was made.
pub(crate) const SUSPECT: [Column; 18] = [
    ("experiment", |r| r.experiment.clone()),
    ("experiment_hash", |r| r.experiment_hash.clone()),
    ("run_id", |r| r.run_id.clone()),
    ("seed", |r| r.seed.to_string()),
    ("arm", |r| r.arm.name().to_string()),
    ("surface", |r| r.surface.clone()),
    ("loss", |r| r.loss.clone()),
    ("compute", |r| r.compute.clone()),
    ("defence", |r| cell(r.defence.clone())),
    ("attack", |r| cell(r.attack.clone())),
    ("budget_queries", |r| cell(r.budget_queries)),
    ("steps", |r| cell(r.steps)),
    ("train_tokens", |r| cell(r.train_tokens)),
    ("exchanges_read", |r| cell(r.exchanges_read)),
    ("passes", |r| cell(r.passes)),
    ("distinct_prompts", |r| cell(r.distinct_prompts)),
    ("peak_lr", |r| cell(r.peak_lr)),
    ("device", |r| r.device.clone()),
];

/// More of the same, in reports in which some record fills them.
const SOMETIMES: [Column; 3] =
    [("lacks", |r| cell(r.lacks.clone())), ("model", |r| cell(r.model.clone())), ("source", |r| cell(r.source.clone()))];

/// The columns of `records` that come last: those that only some reports have, and one for each axis of a grid.
pub(crate) struct Last<'a> {
    sometimes: Vec<Column>,
    axes: Vec<&'a str>,
}

impl<'a> Last<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let filled = |column: &Column| records.iter().any(|r| !(column.1)(r).is_empty());
        let axes: BTreeSet<&str> = records.iter().flat_map(|r| r.axes.keys()).map(String::as_str).collect();
        Self { sometimes: SOMETIMES.into_iter().filter(filled).collect(), axes: axes.into_iter().collect() }
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let sometimes = self.sometimes.iter().map(|(name, _)| name.to_string());
        sometimes.chain(self.axes.iter().map(|axis| format!("axis.{axis}")))
    }

    /// What stands in them.
    pub(crate) fn cells(&self, record: &Record) -> impl Iterator<Item = String> {
        let axis = |axis: &&str| cell(record.axes.get(*axis));
        self.sometimes.iter().map(|(_, show)| show(record)).chain(self.axes.iter().map(axis))
    }
}

/// Names of the columns of an N*; `by` is put behind "n_star".
pub(crate) fn star_names(by: &str) -> [String; 7] {
    ["", "_censored", "_low", "_high", "_seeds", "_seeds_proven", "_claim"].map(|end| format!("n_star{by}{end}"))
}

/// What stands in them.
pub(crate) fn star_cells(star: Option<StarNumbers>) -> [String; 7] {
    let Some(StarNumbers { claim, median, low, high, seeds }) = star else { return Default::default() };
    let number = |reached: Option<Reached>| cell(reached.map(|reached| reached.queries));
    let censored = cell(median.map(|reached| reached.censored));
    [number(median), censored, number(low), number(high), seeds.0.to_string(), seeds.1.to_string(), claim.words()]
}

/// A value as it stands in a cell.
pub(crate) fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// An enum's serialized name.
pub(crate) fn word(value: Option<impl serde::Serialize>) -> String {
    let value = value.and_then(|v| serde_json::to_value(v).ok());
    value.and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
}

/// CSV text of a line of names and lines of cells.
///
/// # Errors
/// When the CSV writer fails.
pub(crate) fn csv(lines: impl Iterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // a CSV file is shown on terminals too
        writer.write_record(line.iter().map(|cell| store::plain(cell).into_owned()))?;
    }
    let bytes = writer.into_inner().map_err(|e| e.into_error()).context("writing CSV into memory")?;
    String::from_utf8(bytes).context("CSV of text fields")
}
