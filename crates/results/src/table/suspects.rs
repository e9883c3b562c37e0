//! The table of suspects: what each is worth, and what it cost.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, TableComponent, Width};

use super::sheet::Sheet;
use super::style::empty;
use crate::setting::Names;
use crate::words::{compact, median, number, queries, who};
use crate::{Arm, Kind, Record, Setting, SuspectKey};

/// Metrics shown: name, heading.
const SHOWN: [(&str, &str); 13] = [
    (PASSES, "passes"),
    (RATE, "peak\nrate"),
    ("held_out_loss", "held-out loss"),
    ("held_out_loss_per_byte", "by byte"),
    ("aligned_tokens", "aligned"),
    ("agreement", "agreement"),
    ("kl", "KL"),
    ("label_agreement", "labels\nalike"),
    ("exact_match", "exact\nmatch"),
    ("refusal_rate", "refusals"),
    ("queries", "queries"),
    ("answer_tokens", "answer\ntokens"),
    ("train_flop", "FLOP"),
];

/// How often a student read each exchange: no metric, but told beside them where it differs.
const PASSES: &str = "passes";
/// Its highest learning rate, likewise.
const RATE: &str = "peak_lr";

/// A value and its interval.
type Measured = (f64, Option<(f64, f64)>);

/// One row for each suspect that has metrics; several seeds in one, with their range.
pub(super) fn table(records: &[Record], width: Option<u16>) -> String {
    let Some(Sheet { header, rows, note }) = sheet(records) else { return String::new() };
    let mut table = empty(width);
    // rows of one line need no rules between them
    use TableComponent::{HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections};
    for part in [HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections] {
        table.remove_style(part);
    }
    table.set_header(header.iter().map(|(name, _)| name));
    // no number is broken in two; an interval may stand below its value
    let widest = |i: usize| {
        let cells = rows.iter().map(|row| row[i].as_str()).chain([header[i].0.as_str()]);
        cells.flat_map(|cell| cell.split([' ', '\n'])).map(|word| word.chars().count()).max().unwrap_or(0)
    };
    for (i, width) in (0..header.len()).map(widest).enumerate() {
        if let Some(column) = table.column_mut(i) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed((width + 2) as u16)));
        }
    }
    for row in rows {
        let aligned = |(text, (_, right)): (String, &(String, bool))| {
            let cell = Cell::new(text);
            if *right { cell.set_alignment(CellAlignment::Right) } else { cell }
        };
        table.add_row(row.into_iter().zip(&header).map(aligned));
    }
    let note = if note.is_empty() { note } else { format!("\n{note}") };
    table.trim_fmt() + &note
}

/// The same as plain cells, if there are metrics to show.
pub(super) fn sheet(records: &[Record]) -> Option<Sheet> {
    let mut suspects: BTreeMap<SuspectKey, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Metric && r.metric_of.is_none()) {
        suspects.entry(record.suspect()).or_default().push(record);
    }
    let settings: Vec<Setting> = suspects.keys().filter(|s| s.arm.is_distilled()).map(|s| s.setting.clone()).collect();
    let names = Names::of(&settings);
    let mut rows: BTreeMap<Row, BTreeMap<&str, Vec<Measured>>> = BTreeMap::new();
    let mut units: BTreeMap<&str, &str> = BTreeMap::new();
    for (suspect, metrics) in &suspects {
        let row = rows.entry(row_of(suspect, &names)).or_default();
        for metric in metrics {
            if let (Some(name), Some(value)) = (metric.metric.as_deref(), metric.value) {
                row.entry(name).or_default().push((value, metric.low.zip(metric.high)));
                units.entry(name).or_insert(metric.unit.as_deref().unwrap_or_default());
            }
        }
        let training = metrics.first().map(|metric| [(PASSES, metric.passes), (RATE, metric.peak_lr)]);
        for (name, value) in training.into_iter().flatten() {
            row.entry(name).or_default().extend(value.map(|value| (value, None)));
        }
    }
    let told = |name: &str| match name {
        "queries" => !said_by_budget(&rows),
        PASSES | RATE => differs(&rows, name),
        _ => true,
    };
    let told = |name: &str| rows.values().any(|row| row.contains_key(name)) && told(name);
    let shown: Vec<_> = SHOWN.into_iter().filter(|(name, _)| told(name)).collect();
    if shown.is_empty() {
        return None;
    }
    let unit = |name: &str| units.get(name).copied().unwrap_or_default();
    let headings = shown.iter().map(|(name, heading)| match unit(name) {
        "1" => format!("{heading}, %"),
        "" | "queries" | "tokens" | "FLOP" => heading.to_string(),
        unit => format!("{heading},\n{unit}"),
    });
    let header =
        ["suspect", "surface"].into_iter().chain(names.has_points().then_some("setting")).map(|name| (name.to_string(), false));
    let header = header.chain([("budget,\nqueries".to_string(), true)]).chain(headings.map(|heading| (heading, true))).collect();
    let mut lines = Vec::new();
    for ((_, setting, label, budget, arm, lacks), metrics) in &rows {
        let name = if lacks.is_some() { who(*arm, lacks.as_deref()) } else { arm.name().replace('_', " ") };
        let mut cells = vec![name, setting.surface.clone()];
        if names.has_points() {
            cells.push(if label.is_empty() { "-".to_string() } else { label.clone() });
        }
        cells.push(budget.map_or("-".to_string(), queries));
        for (name, _) in &shown {
            let text = metrics.get(name).and_then(|values| cell(values, unit(name)));
            cells.push(text.unwrap_or_else(|| "-".to_string()).replace(' ', "\u{a0}").replace("\u{a0}(", " ("));
        }
        lines.push(cells);
    }
    let several = rows.values().flat_map(BTreeMap::values).any(|values| values.len() > 1);
    let intervals = rows.values().flat_map(BTreeMap::values).flatten().any(|(_, interval)| interval.is_some());
    let note = match (several, intervals) {
        (true, _) => "median over seeds; in brackets smallest to largest, which holds no error of a single measurement",
        (false, true) => "in brackets: 95 % interval over held-out texts and tasks, without any spread between seeds",
        (false, false) => "",
    };
    Some(Sheet { header, rows: lines, note: note.to_string() })
}

/// Whether the number of queries is the budget wherever it is told.
fn said_by_budget(rows: &BTreeMap<Row, BTreeMap<&str, Vec<Measured>>>) -> bool {
    rows.iter().all(|((_, _, _, budget, ..), metrics)| {
        metrics.get("queries").is_none_or(|values| values.iter().all(|(value, _)| budget.map(|n| n as f64) == Some(*value)))
    })
}

/// Whether a number is another for some suspects, by more than rounding up to whole batches makes of it.
fn differs(rows: &BTreeMap<Row, BTreeMap<&str, Vec<Measured>>>, name: &str) -> bool {
    let all = rows.values().filter_map(|metrics| metrics.get(name)).flatten().map(|(value, _)| *value);
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    high > 1.2 * low
}

fn cell(values: &[Measured], unit: &str) -> Option<String> {
    let scale = if unit == "1" { 100.0 } else { 1.0 };
    let all: Vec<f64> = values.iter().map(|(value, _)| scale * value).collect();
    let middle = median(&all)?;
    if matches!(unit, "queries" | "tokens") && middle >= 0.0 {
        return Some(queries(middle.round() as u64));
    }
    let ends = match values {
        [(_, interval)] => interval.map(|(low, high)| (scale * low, scale * high)),
        _ => {
            let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
            Some((low, high))
        }
    };
    // floating point puts 4.000000001 beside 4
    Some(if ends.is_some_and(|(low, high)| high - low > 1e-9 * high.abs()) { compact(middle, ends) } else { number(middle) })
}

/// Group, setting, its label, budget, arm, and the mark that its teacher lacked.
type Row = (usize, Setting, String, Option<u64>, Arm, Option<String>);

/// Models that were not distilled come first, as in DESIGN 6's list. Only what has a name tells rows apart.
fn row_of(suspect: &SuspectKey, names: &Names) -> Row {
    let group = match suspect.arm {
        Arm::Teacher => 0,
        Arm::CleanTeacher => 1,
        Arm::Stranger => 2,
        Arm::Base => 3,
        Arm::Student | Arm::Control | Arm::Apart | Arm::Rival | Arm::Suspect | Arm::Negative => 4,
    };
    let label = names.point(&suspect.setting, suspect.arm.is_distilled());
    let mut setting = Setting { compute: String::new(), ..suspect.setting.clone() };
    if !suspect.arm.is_distilled() {
        setting.attack = None;
    }
    (group, setting, label, suspect.budget_queries, suspect.arm, suspect.lacks.clone())
}
