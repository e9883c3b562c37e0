use std::collections::BTreeMap;

use serde::Serialize;
use stats::interval::clustered_proportion;

use crate::{Kind, Record, SuspectKey};

/// Below this many negative models a false-positive rate speaks about keys, not about models (DESIGN 6).
pub const MIN_MODELS_FOR_A_RATE: usize = 20;

/// Measured false-positive rate of one keyed mark: over (negative model, decoy key) pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FalsePositiveRate {
    /// Name of the mark.
    pub mark: String,
    /// Nominal rate.
    pub alpha: f64,
    /// Pairs with p at most alpha.
    pub hits: u64,
    /// Pairs tried.
    pub pairs: u64,
    /// Negative models among them.
    pub models: usize,
    /// hits / pairs.
    pub rate: f64,
    /// Lower end of the 95 % interval, clustered by model; absent where the models are too few to have one.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// One rate for each keyed mark whose records count decoys at `alpha` (`decoys_at_alpha`), by name.
///
/// The true key is not among the keys: a true key that fires on a negative arm is reported by the verdicts. Grid points of one
/// arm, seed and budget count as one model, since an axis need not touch it: that may count too few models, never too many.
pub fn false_positive_rates(records: &[Record], alpha: f64) -> Vec<FalsePositiveRate> {
    let mut marks: BTreeMap<&str, BTreeMap<SuspectKey, (u64, u64)>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Mark && r.arm.is_negative(r.planted == Some(true))) {
        if let (Some(mark), Some(hits), Some(keys @ 1..)) = (record.mark.as_deref(), record.decoys_at_alpha, record.decoys) {
            let mut model = record.suspect();
            model.setting.axes.clear();
            let model = marks.entry(mark).or_default().entry(model).or_default();
            *model = (model.0 + hits, model.1 + keys);
        }
    }
    let rate = |(mark, models): (&str, BTreeMap<SuspectKey, (u64, u64)>)| {
        let clusters: Vec<(u64, u64)> = models.into_values().collect();
        let (hits, pairs) = clusters.iter().fold((0, 0), |sum, cluster| (sum.0 + cluster.0, sum.1 + cluster.1));
        let interval = clustered_proportion(&clusters, 0.95).map(|found| found.interval);
        FalsePositiveRate {
            mark: mark.to_string(),
            alpha,
            hits,
            pairs,
            models: clusters.len(),
            rate: hits as f64 / pairs as f64,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
        }
    };
    marks.into_iter().map(rate).collect()
}

impl FalsePositiveRate {
    /// The rate in a sentence, which says what it is a rate over.
    pub fn sentence(&self) -> String {
        let percent = |x: f64| format!("{} %", crate::words::number(100.0 * x));
        let interval = match (self.low, self.high) {
            (Some(low), Some(high)) => format!(", 95 % interval {} to {} clustered by model", percent(low), percent(high)),
            _ => String::new(),
        };
        let Self { hits, pairs, models, .. } = self;
        let plural = if *models == 1 { "" } else { "s" };
        let over = if *models < MIN_MODELS_FOR_A_RATE { "; a rate over keys, not models" } else { "" };
        format!(
            "{}: {hits} of {pairs} (negative model, decoy key) pairs at p <= {}: observed {} against nominal {}{interval} \
             ({models} negative model{plural}{over})",
            self.mark,
            self.alpha,
            percent(self.rate),
            percent(self.alpha),
        )
    }
}
