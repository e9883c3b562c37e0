use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;

use crate::again::Again;
use crate::arms::Arms;
use crate::family::over_students;
use crate::retention::retention_among;
use crate::{Arm, Kind, NStar, Record, SuspectKey, n_star, sort_records};

/// Metrics that always have a column, in this order; others follow by name.
const METRICS: [&str; 9] = [
    "held_out_loss",
    "agreement",
    "kl",
    "exact_match",
    "refusal_rate",
    "queries",
    "prompt_tokens",
    "answer_tokens",
    "train_flop",
];

type Column = (&'static str, fn(&Row<'_>) -> String);

/// Columns before the metrics.
const COLUMNS: [Column; 57] = [
    ("experiment", |r| r.record.experiment.clone()),
    ("experiment_hash", |r| r.record.experiment_hash.clone()),
    ("run_id", |r| r.record.run_id.clone()),
    ("seed", |r| r.record.seed.to_string()),
    ("arm", |r| r.record.arm.name().to_string()),
    ("role", |r| role(r.record).to_string()),
    ("surface", |r| r.record.surface.clone()),
    ("loss", |r| r.record.loss.clone()),
    ("compute", |r| r.record.compute.clone()),
    ("defence", |r| cell(r.record.defence.clone())),
    ("attack", |r| cell(r.record.attack.clone())),
    ("budget_queries", |r| cell(r.record.budget_queries)),
    ("steps", |r| cell(r.record.steps)),
    ("train_tokens", |r| cell(r.record.train_tokens)),
    ("exchanges_read", |r| cell(r.record.exchanges_read)),
    ("passes", |r| cell(r.record.passes)),
    ("distinct_prompts", |r| cell(r.record.distinct_prompts)),
    ("peak_lr", |r| cell(r.record.peak_lr)),
    ("device", |r| r.record.device.clone()),
    ("mark", |r| cell(r.record.mark.clone())),
    ("family", |r| word(r.record.family)),
    ("scheme", |r| cell(r.record.scheme.clone())),
    ("planted", |r| cell(r.record.planted)),
    ("claim", |r| word(r.record.claim)),
    ("account", |r| cell(r.record.account)),
    ("innocent", |r| cell(r.record.innocent)),
    ("commitment", |r| cell(r.record.commitment.clone())),
    ("view", |r| word(r.record.view)),
    ("access", |r| cell(r.record.access.clone())),
    ("audit_queries", |r| cell(r.record.audit_queries)),
    ("audit_tokens", |r| cell(r.record.audit_tokens)),
    ("n", |r| cell(r.record.n)),
    ("null", |r| cell(r.record.null.clone())),
    ("null_law", |r| word(r.record.null_law)),
    ("null_mean", |r| cell(r.record.null_mean)),
    ("null_sd", |r| cell(r.record.null_sd)),
    ("statistic", |r| cell(r.record.statistic)),
    ("effect", |r| cell(r.record.effect)),
    ("effect_low", |r| cell(r.record.effect_low)),
    ("effect_high", |r| cell(r.record.effect_high)),
    ("effect_unit", |r| cell(r.record.effect_unit.clone())),
    ("log10_p", |r| cell(r.record.log10_p)),
    ("log10_p_holm", |r| cell(r.record.log10_p_holm)),
    ("log10_p_holm_all_students", |r| cell(r.over_students)),
    ("log10_p_decoy", |r| cell(r.record.log10_p_decoy)),
    ("z_decoy", |r| cell(r.record.z_decoy)),
    ("log10_e", |r| cell(r.record.log10_e)),
    ("audit_queries_to_detect", |r| cell(r.record.audit_queries_to_detect)),
    ("verdict", |r| cell(r.record.verdict.map(|v| v.words()))),
    ("retention", |r| cell(r.retention)),
    ("proven_again", |r| cell(r.again)),
    ("proven_from", |r| cell(r.proven_from.clone())),
    ("n_star", |r| cell(r.n_star.clone())),
    ("detectable_effect", |r| cell(r.record.detectable_effect)),
    ("detail", |r| cell(r.record.detail.clone())),
    ("reason", |r| cell(r.record.reason.clone())),
    ("measured", |r| word(Some(r.record.measured))),
];

type OptionalColumn = (&'static str, fn(&Record) -> String);

/// Columns of reports in which some record fills them.
const OPTIONAL: [OptionalColumn; 3] =
    [("primary", |r| cell(r.primary)), ("lacks", |r| cell(r.lacks.clone())), ("model", |r| cell(r.model.clone()))];

struct Row<'a> {
    record: &'a Record,
    retention: Option<f64>,
    over_students: Option<f64>,
    again: Option<f64>,
    proven_from: Option<String>,
    n_star: Option<String>,
}

/// CSV text: one row for each mark and suspect, with a column for each axis of the grid (`axis.NAME`) and the suspect's metrics
/// joined, those of one mark in its own rows only; a suspect that has metrics only gets one row without a mark. `records` must have been
/// judged at `alpha`.
///
/// `role` says what an arm is to a mark: `question`, `positive control` or `negative`. In the students' rows, `proven_from` is what was
/// seen with their seed (">" and the largest budget run if the mark is never proven), `n_star` the range over seeds or why there is none,
/// and `log10_p_holm_all_students` is corrected over all tests of students in the report. `proven_again` is
/// [`proven_again`](crate::proven_again), behind a primary mark of both marks. Columns of reports that need them: `primary`,
/// `lacks`, the mark that the teacher of an arm `apart` lacked, and `model`, what a model from outside is called.
///
/// # Errors
/// When the CSV writer fails.
pub fn summary_csv(records: &[Record], alpha: f64) -> anyhow::Result<String> {
    let mut records = records.to_vec();
    sort_records(&mut records);
    let arms = Arms::of(&records);
    let stars = n_star(&records);
    let again = Again::of(&records, alpha);
    let over_students = over_students(&records);
    let metrics = metrics_by_suspect(&records);
    let names = metric_columns(&records);
    let axes: BTreeSet<&str> = records.iter().flat_map(|r| r.axes.keys()).map(String::as_str).collect();

    let mut writer = csv::Writer::from_writer(Vec::new());
    let of_axes = axes.iter().map(|axis| format!("axis.{axis}"));
    let optional: Vec<_> = OPTIONAL.iter().filter(|(_, show)| records.iter().any(|r| !show(r).is_empty())).collect();
    let fixed = COLUMNS.iter().map(|(name, _)| name.to_string());
    let fixed = fixed.chain(optional.iter().map(|(name, _)| name.to_string()));
    writer.write_record(fixed.chain(of_axes).chain(names.iter().map(|name| name.to_string())))?;
    for (i, record) in rows(&records) {
        let star = stars.iter().find(|star| star.is_of(record));
        let row = Row {
            record,
            retention: retention_among(record, &arms),
            over_students: over_students.get(i).copied().flatten(),
            again: again.p(record),
            proven_from: star.and_then(|star| proven_from(record, star)),
            n_star: star.map(NStar::cell),
        };
        let own = metrics.get(&record.suspect());
        let value = |name: &str| {
            let of = |mark: Option<&str>| own.and_then(|own| own.get(&(name, mark)).copied());
            of(None).or_else(|| record.mark.as_deref().and_then(|mark| of(Some(mark))))
        };
        let place = axes.iter().map(|axis| cell(record.axes.get(*axis)));
        let joined = names.iter().map(|name| cell(value(name)));
        let filled = optional.iter().map(|(_, show)| show(record));
        let cells = COLUMNS.iter().map(|(_, show)| show(&row)).chain(filled).chain(place).chain(joined);
        // a CSV file is shown on terminals too
        writer.write_record(cells.map(|cell| store::plain(&cell).into_owned()))?;
    }
    let bytes = writer.into_inner().map_err(|e| e.into_error()).context("writing CSV into memory")?;
    String::from_utf8(bytes).context("CSV of text fields")
}

/// Writes [`summary_csv`] to `path`, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_summary(path: &Path, records: &[Record], alpha: f64) -> anyhow::Result<()> {
    Ok(store::write_atomic(path, summary_csv(records, alpha)?.as_bytes())?)
}

/// Records that have a row, with their numbers.
fn rows(records: &[Record]) -> impl Iterator<Item = (usize, &Record)> {
    let mut seen: BTreeSet<SuspectKey> = records.iter().filter(|r| r.kind == Kind::Mark).map(Record::suspect).collect();
    records.iter().enumerate().filter(move |(_, r)| r.kind == Kind::Mark || seen.insert(r.suspect()))
}

/// What an arm is to a mark.
fn role(record: &Record) -> &'static str {
    match record.arm {
        _ if record.kind == Kind::Metric => "",
        _ if record.is_negative() => "negative",
        Arm::Student | Arm::Apart | Arm::Suspect => "question",
        _ => "positive control",
    }
}

/// Values by name and the mark they belong to.
type Metrics<'a> = BTreeMap<(&'a str, Option<&'a str>), f64>;

fn metrics_by_suspect(records: &[Record]) -> BTreeMap<SuspectKey, Metrics<'_>> {
    let mut metrics: BTreeMap<SuspectKey, Metrics<'_>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Metric) {
        if let (Some(name), Some(value)) = (record.metric.as_deref(), record.value) {
            metrics.entry(record.suspect()).or_default().insert((name, record.metric_of.as_deref()), value);
        }
    }
    metrics
}

fn metric_columns(records: &[Record]) -> Vec<&str> {
    let found: BTreeSet<&str> = records.iter().filter_map(|r| r.metric.as_deref()).collect();
    METRICS.into_iter().chain(found.into_iter().filter(|name| !METRICS.contains(name))).collect()
}

fn proven_from(record: &Record, star: &NStar) -> Option<String> {
    let (_, found) = star.by_seed.iter().find(|(seed, _)| *seed == record.seed)?;
    Some(found.map_or_else(|| format!(">{}", star.largest), |n| n.to_string()))
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// An enum's serialized name.
fn word(value: Option<impl serde::Serialize>) -> String {
    let value = value.and_then(|v| serde_json::to_value(v).ok());
    value.and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
}
