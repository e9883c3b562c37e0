//! What a heat map shows: evidence by mark and by kind of suspect.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{in_words, is_of_tests};
use crate::level::with_account;
use crate::setting::Names;
use crate::words::{median, queries};
use crate::{Arm, Family, Kind, Record, Setting, Verdict};

/// A mark, or one of a grid's alternatives of it, in all suspects of one kind, over all seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    /// -log10 p, the median over seeds; nothing where it could not be measured.
    pub(crate) evidence: Option<f64>,
    /// Whether it is proven in every seed.
    pub(crate) proven: bool,
    /// Whether its key fires in a suspect that must not show it.
    pub(crate) false_positive: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// By row; nothing where no such suspect was asked.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// Suspects of one surface, or those that were not distilled.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

#[derive(Debug, Clone)]
pub(crate) struct TableOfCells {
    pub(crate) rows: Vec<String>,
    pub(crate) groups: Vec<Group>,
    pub(crate) seeds: usize,
}

/// What a row is: a mark under one account's key, and what the grid makes of the marks.
type Row = (Option<Family>, String, Option<u32>, BTreeMap<String, String>);

/// What a group is: how suspects were made, apart from what the grid makes of the marks, and what the test saw of them.
type Of = (Setting, Option<String>);

/// How columns stand in a group.
type At = (Arm, Option<u64>);

impl TableOfCells {
    pub(crate) fn of(records: &[Record]) -> Self {
        let asked = |r: &&Record| {
            let shown = matches!(r.arm, Arm::Teacher | Arm::Student | Arm::Control | Arm::Rival | Arm::Base | Arm::Stranger);
            r.kind == Kind::Mark && r.mark.is_some() && r.innocent != Some(true) && shown
        };
        let all: Vec<&Record> = records.iter().filter(asked).collect();
        let rows: Vec<Row> = all.iter().map(|r| row(r)).collect::<BTreeSet<_>>().into_iter().collect();
        let row_names = named(&rows);
        // where the grid says of one mark how to test, all are told apart by what their test sees
        let tests = all.iter().any(|r| r.axes.keys().any(|axis| is_of_tests(axis)));
        let group = |r: &Record| group(r, tests);
        let students: BTreeSet<Of> = all.iter().filter(|r| r.arm == Arm::Student).map(|r| group(r)).collect();
        let settings: Vec<Setting> = students.iter().map(|(setting, _)| setting.clone()).collect();
        let names = Names::of(&settings);
        let seen: BTreeSet<&Option<String>> = students.iter().map(|(_, seen)| seen).collect();
        let mut groups = Vec::new();
        for of in &students {
            // the arms beside a student may lack what only students have, or be the same at every budget
            let beside: Vec<&Record> =
                all.iter().copied().filter(|r| group(r) == *of || is_teacher_of(r, &group(r), of)).collect();
            let asked: BTreeSet<Row> = beside.iter().filter(|r| r.arm != Arm::Teacher).map(|r| row(r)).collect();
            let largest = beside.iter().filter(|r| r.arm == Arm::Student).filter_map(|r| r.budget_queries).max();
            let shown = |r: &&Record| match r.arm {
                Arm::Control | Arm::Rival => r.budget_queries == largest,
                // the teacher of no such student stands where its students do
                Arm::Teacher => asked.contains(&row(r)),
                _ => true,
            };
            let beside: Vec<&Record> = beside.into_iter().filter(shown).collect();
            let name = names.curve(&of.0);
            let name = if seen.len() > 1 { format!("{name}{}", by_its(of.1.as_deref())) } else { name };
            groups.push(Group { name, columns: columns(&beside, &rows) });
        }
        let lone: Vec<&Record> = all.iter().copied().filter(|r| matches!(r.arm, Arm::Base | Arm::Stranger)).collect();
        for one in &seen {
            let of: Vec<&Record> = lone.iter().copied().filter(|r| seen_of(r, tests) == **one).collect();
            let name = if seen.len() > 1 { by_its(one.as_deref()).trim_start_matches(", ").to_string() } else { String::new() };
            groups.push(Group { name, columns: columns(&of, &rows) });
        }
        Self { rows: row_names, groups, seeds: all.iter().map(|r| r.seed).collect::<BTreeSet<_>>().len() }
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.groups.iter().flat_map(|group| &group.columns).flat_map(|column| column.cells.iter().flatten())
    }

    pub(crate) fn most_evidence(&self) -> f64 {
        self.cells().filter_map(|cell| cell.evidence).fold(0.0, f64::max)
    }

    pub(crate) fn has_unmeasured(&self) -> bool {
        self.cells().any(|cell| cell.evidence.is_none())
    }

    pub(crate) fn has_false_positives(&self) -> bool {
        self.cells().any(|cell| cell.false_positive)
    }
}

/// Whether an axis is about marks or how they are planted, but not about how they are tested.
fn is_of_marks(axis: &str) -> bool {
    (axis.starts_with("marks.") || axis.starts_with("planting.")) && !is_of_tests(axis)
}

fn row(r: &Record) -> Row {
    let axes = r.axes.iter().filter(|(axis, _)| is_of_marks(axis)).map(|(axis, value)| (axis.clone(), value.clone()));
    (r.family, r.mark.clone().unwrap_or_default(), r.account, axes.collect())
}

/// What the test saw, where a grid says how to test.
fn seen_of(r: &Record, tests: bool) -> Option<String> {
    tests.then(|| r.access.clone().unwrap_or_default())
}

fn group(r: &Record, tests: bool) -> Of {
    let mut setting = r.setting();
    setting.axes.retain(|axis, _| !is_of_marks(axis) && !is_of_tests(axis));
    (setting, seen_of(r, tests))
}

/// A teacher has the surface of its students, if any, and nothing else that only students have.
fn is_teacher_of(r: &Record, of: &Of, (setting, seen): &Of) -> bool {
    r.arm == Arm::Teacher
        && (of.0.surface == setting.surface || of.0.surface == "-")
        && of.0.defence == setting.defence
        && of.0.axes == setting.axes
        && of.1 == *seen
}

fn by_its(seen: Option<&str>) -> String {
    seen.map_or(String::new(), |access| format!(", by its {}", in_words(access)))
}

fn columns(of: &[&Record], rows: &[Row]) -> Vec<Column> {
    let mut by: BTreeMap<At, Vec<&Record>> = BTreeMap::new();
    for &r in of {
        let budget = r.budget_queries.filter(|_| r.arm == Arm::Student);
        by.entry((r.arm, budget)).or_default().push(r);
    }
    let columns = by.into_iter().map(|((arm, budget), records)| {
        let name = budget.map_or(arm.name().to_string(), |budget| format!("student, {}", queries(budget)));
        let cell = |row_of: &Row| cell(&records.iter().copied().filter(|r| row(r) == *row_of).collect::<Vec<_>>());
        Column { name, cells: rows.iter().map(cell).collect() }
    });
    columns.filter(|column| column.cells.iter().flatten().any(|cell| cell.evidence.is_some())).collect()
}

fn cell(records: &[&Record]) -> Option<Cell> {
    let evidence: Vec<f64> = records.iter().filter_map(|r| r.evidence()).collect();
    (!records.is_empty()).then(|| Cell {
        evidence: median(&evidence),
        proven: records.iter().all(|r| r.verdict == Some(Verdict::Proven)),
        false_positive: records.iter().any(|r| r.verdict == Some(Verdict::FalsePositive)),
    })
}

/// Rows by what tells them apart: the mark that the grid puts in the place of another, or the mark and its place on the grid.
fn named(rows: &[Row]) -> Vec<String> {
    let replaced = |row: &Row| {
        let whole = |axis: &str| axis.starts_with("marks.") && axis.split('.').count() == 2;
        let mut words = row.3.iter().filter(|(axis, _)| whole(axis)).map(|(_, value)| value.clone());
        words.next().filter(|_| words.next().is_none())
    };
    let words: Vec<Option<String>> = rows.iter().map(replaced).collect();
    let marks: BTreeSet<&str> = rows.iter().map(|row| row.1.as_str()).collect();
    if marks.len() == 1 && words.iter().flatten().collect::<BTreeSet<_>>().len() == rows.len() {
        return words.into_iter().flatten().collect();
    }
    let places: Vec<Setting> = rows.iter().map(|row| Setting { axes: row.3.clone(), ..Setting::default() }).collect();
    let names = Names::of(&places);
    let name = |(row, place): (&Row, &Setting)| {
        let (mark, point) = (with_account(&row.1, row.2), names.point(place, true));
        if point.is_empty() { mark } else { format!("{mark}, {point}") }
    };
    rows.iter().zip(&places).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(arm: Arm, seed: u64, axes: &[(&str, &str)], log10_p: f64) -> Record {
        let distilled = arm.is_distilled();
        Record {
            arm,
            seed,
            mark: Some("m".into()),
            surface: if distilled { "text".into() } else { "-".into() },
            loss: "kd".into(),
            budget_queries: distilled.then_some(100),
            axes: axes.iter().map(|(axis, value)| (axis.to_string(), value.to_string())).collect(),
            access: Some(if axes.iter().any(|(_, value)| *value == "laws") { "logprobs" } else { "text" }.into()),
            log10_p: Some(log10_p),
            verdict: Some(if log10_p < -3.0 { Verdict::Proven } else { Verdict::NotShown }),
            ..Record::default()
        }
    }

    #[test]
    fn alternatives_of_a_mark_are_rows_and_seeds_become_one_cell() {
        let mut records = Vec::new();
        for (kind, p) in [("kgw", -10.0), ("gumbel", -1.0)] {
            for seed in [1, 2, 3] {
                let axes = [("marks.m", kind)];
                records.push(record(Arm::Teacher, seed, &axes, -50.0));
                records.push(record(Arm::Student, seed, &axes, p - f64::from(seed as u32)));
                records.push(record(Arm::Base, seed, &axes, 0.0));
            }
        }
        let table = TableOfCells::of(&records);
        assert_eq!(table.rows, ["gumbel", "kgw"]);
        assert_eq!(table.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["text", ""]);
        let names: Vec<&str> = table.groups[0].columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["teacher", "student, 100"]);
        let cells = &table.groups[0].columns[1].cells;
        assert_eq!(cells[1], Some(Cell { evidence: Some(12.0), proven: true, false_positive: false }));
        // one of three seeds passes
        assert_eq!(cells[0], Some(Cell { evidence: Some(3.0), proven: false, false_positive: false }));
        assert_eq!((table.seeds, table.most_evidence()), (3, 50.0));
    }

    #[test]
    fn how_a_mark_is_tested_is_a_column() {
        let axes = |test: &'static str| [("marks.m.kgw.test", test)];
        let of = |test| [record(Arm::Teacher, 1, &axes(test), -9.0), record(Arm::Student, 1, &axes(test), -4.0)];
        let records: Vec<Record> = ["score", "laws"].into_iter().flat_map(of).collect();
        let table = TableOfCells::of(&records);
        assert_eq!(table.rows, ["m"]);
        let names: Vec<&str> = table.groups.iter().filter(|g| !g.columns.is_empty()).map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["text, by its laws", "text, by its answers"]);
        // of a joined report: another mark, of which no grid says how it is tested, on a surface of its own
        let alone = |arm, surface: &str| Record { mark: Some("n".into()), surface: surface.into(), ..record(arm, 1, &[], -5.0) };
        let more = [alone(Arm::Teacher, "-"), alone(Arm::Student, "text"), alone(Arm::Student, "logits")];
        let table = TableOfCells::of(&[records, more.to_vec()].concat());
        assert_eq!(table.rows, ["m", "n"]);
        let columns: Vec<(&str, Vec<bool>)> = table
            .groups
            .iter()
            .filter(|g| !g.columns.is_empty())
            .map(|g| (g.name.as_str(), g.columns[0].cells.iter().map(Option::is_some).collect()))
            .collect();
        // teachers, each where its own students are
        let (both, one) = (vec![true, true], vec![false, true]);
        let expected =
            [("logits, by its answers", one), ("text, by its laws", vec![true, false]), ("text, by its answers", both)];
        assert_eq!(columns, expected);
    }
}
