//! `separation.csv`: how far students and models that cannot carry a mark are told apart by its p.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stats::calibration::Separation;
use stats::combine::{cauchy, fisher};

use crate::columns::{cell, csv};
use crate::level::at_most;
use crate::{Arm, Kind, Record, Setting};

/// Levels of the nominal rates, those of [`Separation`].
const LEVELS: [f64; 2] = [0.01, 0.001];

/// Mark, account, setting and budget of some students.
type Point<'a> = (&'a str, Option<u32>, Setting, Option<u64>);

/// CSV text: one row for each mark, account, setting and budget, its students of all seeds against all negatives of the mark at that place of the
/// grid, whatever their arm, budget and seed (methods 0.9). The score is -log10 p.
///
/// `auroc` is the probability that a student scores above a negative, ties counting half. `tpr_at_fpr_0.01` is the share of students above a
/// threshold that at most a hundredth of the negatives exceed, `..._low` and `..._high` its exact 95 % interval, and `allowed_at_fpr_0.01` how many
/// negatives that is: with 0 a student must exceed them all, and the rate itself is not tested by so few. `students_at_0.01` and
/// `negatives_at_0.01` are those whose p is at most 0.01; all again for 0.001. Suspects without p are left out.
///
/// `students_log10_p` is that of no student carrying the mark: by Fisher, as each seed has an owner and a key of its own; empty where a seed has
/// several students there, or there is one seed only. `negatives_log10_p` says the same of the negatives, which share keys and prompts: by Cauchy
/// (methods 0.8).
///
/// # Errors
/// When the CSV writer fails.
pub fn separation_csv(records: &[Record]) -> anyhow::Result<String> {
    let axes: BTreeSet<&str> = records.iter().flat_map(|r| r.axes.keys()).map(String::as_str).collect();
    let mut students: BTreeMap<Point<'_>, Vec<&Record>> = BTreeMap::new();
    let tested = || records.iter().filter(|r| r.kind == Kind::Mark && r.log10_p.is_some_and(|p| p.is_finite() && p <= 0.0));
    for student in tested().filter(|r| r.arm == Arm::Student && !r.is_negative()) {
        let mark = student.mark.as_deref().unwrap_or_default();
        students.entry((mark, student.account, student.setting(), student.budget_queries)).or_default().push(student);
    }
    let own = ["mark", "account", "surface", "loss", "compute", "defence", "attack", "budget_queries"];
    let counts = ["students", "negatives", "students_log10_p", "negatives_log10_p", "auroc"];
    let of_level = |level: f64| {
        let tpr = ["", "_low", "_high"].map(|end| format!("tpr_at_fpr_{level}{end}"));
        let counts = ["allowed_at_fpr_", "students_at_", "negatives_at_"].map(|name| format!("{name}{level}"));
        tpr.into_iter().chain(counts)
    };
    let header = own.into_iter().chain(counts).map(str::to_string);
    let header = header.chain(LEVELS.into_iter().flat_map(of_level)).chain(axes.iter().map(|axis| format!("axis.{axis}")));
    let mut lines = vec![header.collect::<Vec<_>>()];
    for ((mark, account, setting, budget), students) in &students {
        let beside = |r: &&Record| r.mark.as_deref() == Some(*mark) && r.account == *account && r.axes == setting.axes;
        let negatives: Vec<&Record> = tested().filter(beside).filter(|r| r.is_negative()).collect();
        let scores = |of: &[&Record]| of.iter().filter_map(|r| Some(-r.log10_p?)).collect::<Vec<f64>>();
        let Some(found) = Separation::of(&scores(students), &scores(&negatives)) else { continue };
        let mut line = vec![mark.to_string(), cell(*account), setting.surface.clone(), setting.loss.clone()];
        line.extend([setting.compute.clone(), cell(setting.defence.clone()), cell(setting.attack.clone()), cell(*budget)]);
        line.extend([students.len().to_string(), negatives.len().to_string()]);
        let log10_ps = |of: &[&Record]| of.iter().filter_map(|r| r.log10_p).collect::<Vec<f64>>();
        let seeds: BTreeSet<u64> = students.iter().map(|r| r.seed).collect();
        let apart = seeds.len() > 1 && seeds.len() == students.len();
        // 1 to all digits that matter: a cell of ninety would say no more
        let short = |log10_p: f64| if log10_p > -1e-12 { 0.0 } else { log10_p };
        line.push(cell(apart.then(|| short(fisher(&log10_ps(students))))));
        line.extend([short(cauchy(&log10_ps(&negatives))), found.auroc].map(|x| x.to_string()));
        for (at, level) in found.found.iter().zip(LEVELS) {
            let rate = &at.true_positives;
            line.extend([rate.rate, rate.interval.low, rate.interval.high].map(|x| x.to_string()));
            let reached = |of: &[&Record]| of.iter().filter_map(|r| r.log10_p).filter(|p| at_most(*p, level)).count();
            line.extend([at.allowed as usize, reached(students), reached(&negatives)].map(|x| x.to_string()));
        }
        line.extend(axes.iter().map(|axis| cell(setting.axes.get(*axis))));
        lines.push(line);
    }
    csv(lines.into_iter())
}

/// Writes [`separation_csv`] to `path`, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_separation(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    Ok(store::write_atomic(path, separation_csv(records)?.as_bytes())?)
}
