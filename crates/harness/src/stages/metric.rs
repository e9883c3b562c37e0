//! Numbers about a suspect, as records without identity.

use results::{Kind, Record};
use stats::interval::ratio_interval;

/// A metric without identity.
pub fn metric(name: &str, value: f64, unit: &str) -> Record {
    Record { kind: Kind::Metric, metric: Some(name.into()), value: Some(value), unit: Some(unit.into()), ..Record::default() }
}

/// A number that a mark found beside its evidence.
pub fn further(found: &marks::Metric) -> Record {
    let (low, high) = found.interval.map(|interval| (interval.low, interval.high)).unzip();
    Record { low, high, ..metric(&found.name, found.value, &found.unit) }
}

/// A value pooled over tokens (or bytes) with its 95 % interval over units (documents, rows): each unit's sum and how many it is
/// over. The value is the ratio of the sums, and the interval is centred on it.
pub fn pooled_metric(name: &str, unit: &str, units: impl IntoIterator<Item = (f64, f64)>) -> Record {
    let (sums, counts): (Vec<f64>, Vec<f64>) = units.into_iter().unzip();
    let interval = ratio_interval(&sums, &counts);
    let value = sums.iter().sum::<f64>() / counts.iter().sum::<f64>();
    Record { low: interval.map(|i| i.low), high: interval.map(|i| i.high), ..metric(name, value, unit) }
}

/// Held-out loss with its interval over documents.
pub fn held_out_loss(name: &str, held_out: &distill::HeldOut) -> Record {
    pooled_metric(name, "nats/token", held_out.rows.iter().map(|row| (row.nats, row.tokens as f64)))
}

/// Held-out loss by the byte of text, which models of different tokenizers have in common.
pub fn held_out_loss_per_byte(held_out: &distill::HeldOut, bytes: &[u64]) -> Record {
    // a document without bytes has no loss either
    let rows = held_out.rows.iter().zip(bytes).filter(|(_, bytes)| **bytes > 0);
    pooled_metric("held_out_loss_per_byte", "nats/byte", rows.map(|(row, bytes)| (row.nats, *bytes as f64)))
}
