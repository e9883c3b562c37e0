use std::cmp::Ordering;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use stats::NullLaw;
use store::{canonical_json, write_atomic};

use crate::sound::impossible;
use crate::{RECORD_SCHEMA, Record};

/// Sorts by a total key: suspects together, marks before metrics, and what is left by the whole record, so that the
/// order of arrival does not show.
pub fn sort_records(records: &mut [Record]) {
    records.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| whole(a, b)));
}

fn order(record: &Record) -> impl Ord + '_ {
    (
        (&record.experiment, &record.experiment_hash, record.seed, &record.surface, &record.loss, &record.compute),
        (&record.defence, &record.attack, &record.axes),
        (
            record.budget_queries,
            record.arm,
            &record.model,
            record.kind,
            record.family,
            &record.mark,
            record.account,
            record.view,
            &record.access,
            &record.metric,
            &record.metric_of,
        ),
    )
}

/// Equal keys are rare (the same point measured with two audits), so writing both out costs nothing.
fn whole(a: &Record, b: &Record) -> Ordering {
    let text = |record: &Record| canonical_json(record).unwrap_or_default();
    text(a).cmp(&text(b))
}

/// Writes `records` as JSON lines, sorted, atomically. Equal records give equal bytes, in whatever order they come.
///
/// # Errors
/// When a number is not finite, or the file cannot be written.
pub fn write_records(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    let mut sorted = records.to_vec();
    sort_records(&mut sorted);
    let mut bytes = Vec::new();
    for record in &sorted {
        // the check for NaN; the line itself keeps the order of the struct, which reads better than the alphabet
        canonical_json(record).with_context(|| format!("record of {:?} / {:?}", record.mark, record.metric))?;
        serde_json::to_writer(&mut bytes, record)?;
        bytes.push(b'\n');
    }
    Ok(write_atomic(path, &bytes)?)
}

/// Reads JSON lines written by [`write_records`], in the order of the file. Lines of schema 1 become records of this schema.
///
/// # Errors
/// Naming file and line, when the file cannot be read or is empty, a line does not parse, its schema is another, or no run writes such a
/// record.
pub fn read_records(path: &Path) -> anyhow::Result<Vec<Record>> {
    let place = path.display();
    if let Some(why) = store::not_a_file(path).filter(|_| path.symlink_metadata().is_ok()) {
        bail!("{place}: {why}");
    }
    let file =
        std::fs::File::open(path).with_context(|| format!("{place}: cannot open the records; is this a results directory?"))?;
    let mut records = Vec::new();
    for (i, line) in BufReader::new(file).lines().enumerate() {
        let n = i + 1;
        let line = line.with_context(|| format!("{place}:{n}: cannot read the line"))?;
        let value: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("{place}:{n}: not a JSON record"))?;
        let Some(schema) = value.get("schema").and_then(serde_json::Value::as_u64) else {
            bail!("{place}:{n}: a record without `schema`");
        };
        // looked at before the rest: another version may have other fields
        ensure!(
            (1..=u64::from(RECORD_SCHEMA)).contains(&schema),
            "{place}:{n}: records of schema {schema}, but this program reads schemas 1 and {RECORD_SCHEMA}; run the experiment again"
        );
        let record: Record = serde_json::from_str(&line).with_context(|| format!("{place}:{n}: not a record of this program"))?;
        if let Some(why) = impossible(&record) {
            bail!("{place}:{n}: no run writes this record: {why}; run the experiment again");
        }
        records.push(if schema == 1 { of_schema_1(record) } else { record });
    }
    ensure!(!records.is_empty(), "{place}: holds no record; run the experiment again");
    Ok(records)
}

/// A record of schema 1 in the present schema. It gave the null in words only: the numbers of "Binomial(T, 0.25)" are read out of them
/// here, and nowhere else.
fn of_schema_1(record: Record) -> Record {
    let rate = record.null.as_deref().and_then(|null| {
        let (_, rate) = null.strip_prefix("Binomial(")?.strip_suffix(')')?.split_once(',')?;
        rate.trim().parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate < 1.0)
    });
    let law = rate.map(|rate| NullLaw::binomial(record.n.unwrap_or_default(), rate));
    Record {
        schema: RECORD_SCHEMA,
        null_law: law.as_ref().map(|law| law.kind),
        null_mean: law.as_ref().and_then(|law| law.mean),
        null_sd: law.as_ref().and_then(|law| law.sd),
        ..record
    }
}
