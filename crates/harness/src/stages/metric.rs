//! Numbers about a suspect, as records without identity.

use results::{Kind, Record};
use stats::interval::mean_interval;

/// A metric without identity.
pub fn metric(name: &str, value: f64, unit: &str) -> Record {
    Record { kind: Kind::Metric, metric: Some(name.into()), value: Some(value), unit: Some(unit.into()), ..Record::default() }
}

/// A metric with the 95 % interval of a mean over `units` (documents, rows).
pub fn metric_with_interval(name: &str, value: f64, unit: &str, units: &[f64]) -> Record {
    let interval = mean_interval(units);
    Record { low: interval.map(|i| i.low), high: interval.map(|i| i.high), ..metric(name, value, unit) }
}

/// Held-out loss with its interval over documents.
pub fn held_out_loss(name: &str, held_out: &distill::HeldOut) -> Record {
    let per_document: Vec<f64> =
        held_out.rows.iter().filter(|row| row.tokens > 0).map(|row| row.nats / row.tokens as f64).collect();
    metric_with_interval(name, held_out.nats_per_token(), "nats/token", &per_document)
}

/// Held-out loss by the byte of text, which models of different tokenizers have in common.
pub fn held_out_loss_per_byte(held_out: &distill::HeldOut, bytes: &[u64]) -> Record {
    let rows = || held_out.rows.iter().zip(bytes).filter(|(_, bytes)| **bytes > 0);
    let mean = rows().map(|(row, _)| row.nats).sum::<f64>() / rows().map(|(_, bytes)| *bytes as f64).sum::<f64>();
    let per_document: Vec<f64> = rows().map(|(row, bytes)| row.nats / *bytes as f64).collect();
    metric_with_interval("held_out_loss_per_byte", mean, "nats/byte", &per_document)
}
