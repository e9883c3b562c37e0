//! `summary.csv` and `metrics.csv`: the records of marks and of metrics, a line each.

use std::path::Path;

use crate::again::Again;
use crate::columns::{Column, Last, SUSPECT, cell, csv, star_cells, star_names, word};
use crate::counted::{judged_by_count, n_star_by_count};
use crate::family::over_students;
use crate::query_budget::Reached;
use crate::retention::{Retained, Retention};
use crate::{Arm, Kind, NStar, Record, n_star, sort_records};

/// What was tested and found.
const MARK: [Column; 34] = [
    ("mark", |r| cell(r.mark.clone())),
    ("family", |r| word(r.family)),
    ("scheme", |r| cell(r.scheme.clone())),
    ("planted", |r| cell(r.planted)),
    ("claim", |r| word(r.claim)),
    ("account", |r| cell(r.account)),
    ("innocent", |r| cell(r.innocent)),
    ("role", |r| role(r).to_string()),
    ("commitment", |r| cell(r.commitment.clone())),
    ("view", |r| word(r.view)),
    ("access", |r| cell(r.access.clone())),
    ("audit_queries", |r| cell(r.audit_queries)),
    ("audit_tokens", |r| cell(r.audit_tokens)),
    ("n", |r| cell(r.n)),
    ("null", |r| cell(r.null.clone())),
    ("null_law", |r| word(r.null_law)),
    ("null_mean", |r| cell(r.null_mean)),
    ("null_sd", |r| cell(r.null_sd)),
    ("statistic", |r| cell(r.statistic)),
    ("effect", |r| cell(r.effect)),
    ("effect_low", |r| cell(r.effect_low)),
    ("effect_high", |r| cell(r.effect_high)),
    ("effect_unit", |r| cell(r.effect_unit.clone())),
    ("log10_p", |r| cell(r.log10_p)),
    ("log10_p_holm", |r| cell(r.log10_p_holm)),
    ("log10_p_decoy", |r| cell(r.log10_p_decoy)),
    ("z_decoy", |r| cell(r.z_decoy)),
    ("log10_e", |r| cell(r.log10_e)),
    ("audit_queries_to_detect", |r| cell(r.audit_queries_to_detect)),
    ("verdict", |r| cell(r.verdict.map(|v| v.words()))),
    ("detectable_effect", |r| cell(r.detectable_effect)),
    ("detail", |r| cell(r.detail.clone())),
    ("reason", |r| cell(r.reason.clone())),
    ("measured", |r| word(Some(r.measured))),
];

/// A metric.
const METRIC: [Column; 7] = [
    ("metric", |r| cell(r.metric.clone())),
    ("metric_of", |r| cell(r.metric_of.clone())),
    ("value", |r| cell(r.value)),
    ("low", |r| cell(r.low)),
    ("high", |r| cell(r.high)),
    ("unit", |r| cell(r.unit.clone())),
    ("measured", |r| word(Some(r.measured))),
];

/// The count of distinct units.
const BY_COUNT: &str = "_by_count";

/// CSV text: one row for each mark and suspect, with a column for each axis of the grid (`axis.NAME`). `records` must have been judged at
/// `alpha`.
///
/// `role` says what an arm is to a mark: `question`, `positive control` or `negative`. In the students' rows, `proven_from` is the budget
/// from which the mark is proven with their seed; where it is never, it is the largest budget run, and `proven_from_censored` is `true`.
/// `n_star` is the median over seeds, censored likewise, where an N* is claimed; `n_star_claim` says where there is none. Both again by the
/// count of distinct units. `retention` is the share of the teacher's effect that is left, with its interval over answers, and `retention_over_seeds`
/// that of all seeds together, with its interval over both. `log10_p_holm_all_students` is corrected over all tests of students in the report. `proven_again` is
/// [`proven_again`](crate::proven_again), behind a primary mark of both marks. Columns of reports that need them: `primary`, `lacks`, the
/// mark that the teacher of an arm `apart` lacked, `model`, what a model from outside is called, and `source`, the results directory that a joined record is from.
///
/// # Errors
/// When the CSV writer fails.
pub fn summary_csv(records: &[Record], alpha: f64) -> anyhow::Result<String> {
    let mut records = records.to_vec();
    sort_records(&mut records);
    let retention = Retention::of(&records);
    let stars = n_star(&records);
    let counted = n_star_by_count(&judged_by_count(&records, alpha), &records);
    let again = Again::of(&records, alpha);
    let over_students = over_students(&records);
    let last = Last::of(&records);
    let primary = records.iter().any(|r| r.primary.is_some());
    let header = SUSPECT.iter().chain(&MARK).map(|(name, _)| name.to_string());
    let derived = ["log10_p_holm_all_students", "proven_again"].map(str::to_string).into_iter();
    let kept = ["", "_over_seeds"].map(|over| ["", "_low", "_high"].map(|end| format!("retention{over}{end}")));
    let derived = derived.chain(kept.into_iter().flatten());
    let seeds = ["", BY_COUNT].map(|by| ["", "_censored"].map(|end| format!("proven_from{by}{end}"))).into_iter().flatten();
    let header = header.chain(derived).chain(seeds).chain(star_names("")).chain(star_names(BY_COUNT));
    let header = header.chain(primary.then(|| "primary".to_string())).chain(last.names());
    let line = |(i, record): (usize, &Record)| {
        let of = |stars: &[NStar]| stars.iter().find(|star| star.is_of(record)).cloned();
        let (star, count) = (of(&stars), of(&counted));
        let from = |star: &Option<NStar>| {
            let reached: Option<Reached> = star.as_ref().and_then(|star| star.of_seed(record.seed));
            [cell(reached.map(|reached| reached.queries)), cell(reached.map(|reached| reached.censored))]
        };
        let derived = [over_students.get(i).copied().flatten(), again.p(record)].map(cell).into_iter();
        let derived = derived.chain(shares(retention.of_seed(record))).chain(shares(retention.over_seeds(record)));
        let fixed = SUSPECT.iter().chain(&MARK).map(|(_, show)| show(record));
        let fixed = fixed.chain(derived).chain(from(&star)).chain(from(&count));
        let fixed = fixed.chain(star_cells(star.map(|star| star.numbers()))).chain(star_cells(count.map(|star| star.numbers())));
        fixed.chain(primary.then(|| cell(record.primary))).chain(last.cells(record)).collect()
    };
    let marks = records.iter().enumerate().filter(|(_, r)| r.kind == Kind::Mark);
    csv(std::iter::once(header.collect()).chain(marks.map(line)))
}

/// CSV text: one row for each metric and suspect, in the long form. `run_id` names the suspect here and in [`summary_csv`].
///
/// # Errors
/// When the CSV writer fails.
pub fn metrics_csv(records: &[Record]) -> anyhow::Result<String> {
    let mut records = records.to_vec();
    sort_records(&mut records);
    let last = Last::of(&records);
    let columns = || SUSPECT.iter().chain(&METRIC);
    let header = columns().map(|(name, _)| name.to_string()).chain(last.names()).collect();
    let metrics = records.iter().filter(|r| r.kind == Kind::Metric);
    let line = |record: &Record| columns().map(|(_, show)| show(record)).chain(last.cells(record)).collect();
    csv(std::iter::once(header).chain(metrics.map(line)))
}

/// Writes [`summary_csv`] to `path`, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_summary(path: &Path, records: &[Record], alpha: f64) -> anyhow::Result<()> {
    Ok(store::write_atomic(path, summary_csv(records, alpha)?.as_bytes())?)
}

/// Writes [`metrics_csv`] to `path`, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_metrics(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    Ok(store::write_atomic(path, metrics_csv(records)?.as_bytes())?)
}

/// A share, and the ends of its interval.
fn shares(kept: Option<Retained>) -> [String; 3] {
    let (low, high) = kept.and_then(|kept| kept.interval).map(|interval| (interval.low, interval.high)).unzip();
    [kept.map(|kept| kept.share), low, high].map(cell)
}

/// What an arm is to a mark.
fn role(record: &Record) -> &'static str {
    match record.arm {
        _ if record.is_negative() => "negative",
        Arm::Student | Arm::Apart | Arm::Suspect => "question",
        _ => "positive control",
    }
}
