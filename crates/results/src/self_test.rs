use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stats::NullKind;
use stats::interval::clustered_proportion;
use stats::repeat::attained_size;

use crate::effective::Together;
use crate::words::number;
use crate::{Arm, Kind, Record, SuspectKey};

/// Below this many independently trained models a rate speaks about keys, not about models (DESIGN 6).
pub const MIN_MODELS_FOR_A_RATE: usize = 20;

/// How often decoy keys fire on negative models: a test of the pseudo-random function and of the removal of repeated units, which must
/// bring the rate to the size that the null promises. It is no false-positive rate over models: the true key is not among the keys, and
/// one model tried with a thousand keys is one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelfTest {
    /// Name of the mark.
    pub mark: String,
    /// Nominal size.
    pub alpha: f64,
    /// Smallest and largest size that the exact tests on these models attain at `alpha`; absent where the null has no such law.
    pub attained: Option<(f64, f64)>,
    /// (Model, decoy key) pairs with p at most alpha.
    pub hits: u64,
    /// Pairs tried.
    pub pairs: u64,
    /// Negative models among them.
    pub models: usize,
    /// Seeds they come from.
    pub seeds: usize,
    /// Models trained on their own that all of them come from: a seed's clean twin, stranger and base. Models of one share its answers.
    pub trainings: usize,
    /// Negative models whose scores under the decoy keys are known and vary.
    pub scored: usize,
    /// Mean correlation over keys of two of those of one seed; absent without a pair.
    pub correlation: Option<f64>,
    /// Independent models that these tell as much as; absent where no scores are known.
    pub effective: Option<f64>,
    /// hits / pairs.
    pub rate: f64,
    /// Lower end of the 95 % interval: clustered by seed where all models of one are tried with the same keys, else by training.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// One self-test for each keyed mark whose records count decoys at `alpha` (`decoys_at_alpha`), by name.
///
/// A true key that fires on a negative arm is reported by the verdicts. Grid points of one arm, seed and budget count as one model, since
/// an axis need not touch it: that may count too few models, never too many.
///
/// Models do not count in full. All controls learned from one clean twin and all models saw the same prompts, so that their scores under
/// one key go together. With a mean correlation r over keys, n models tell as much as n / (1 + (n - 1) r) independent ones (Kish 1965). r
/// comes from the records' `decoy_z`; those of earlier versions lack it, and then `trainings` alone counts what is independent by
/// construction.
pub fn self_tests(records: &[Record], alpha: f64) -> Vec<SelfTest> {
    let mut marks: BTreeMap<&str, Tried> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Mark && r.cannot_carry()) {
        if let (Some(mark), Some(hits), Some(keys @ 1..)) = (record.mark.as_deref(), record.decoys_at_alpha, record.decoys) {
            marks.entry(mark).or_default().add(record, hits, keys, alpha);
        }
    }
    marks.into_iter().map(|(mark, tried)| tried.summed(mark, alpha)).collect()
}

/// What was tried with one mark.
#[derive(Default)]
struct Tried {
    models: BTreeSet<SuspectKey>,
    /// Hits and pairs by training.
    trainings: BTreeMap<(u64, Arm), (u64, u64)>,
    /// Scores under the decoy keys of a seed, by model.
    scores: BTreeMap<u64, BTreeMap<SuspectKey, Vec<f64>>>,
    sizes: Vec<f64>,
}

impl Tried {
    fn add(&mut self, record: &Record, hits: u64, keys: u64, alpha: f64) {
        let mut model = record.suspect();
        model.setting.axes.clear();
        if let Some(z) = &record.decoy_z {
            self.scores.entry(record.seed).or_default().entry(model.clone()).or_insert_with(|| z.clone());
        }
        self.models.insert(model);
        let teacher = match record.arm {
            // what a student learned of the other marks says nothing of this one's keys
            Arm::Control | Arm::Apart => Arm::CleanTeacher,
            Arm::Rival => Arm::Stranger,
            arm => arm,
        };
        let training = self.trainings.entry((record.seed, teacher)).or_default();
        *training = (training.0 + hits, training.1 + keys);
        if let (Some(n), Some(NullKind::Binomial), Some(rate)) = (record.n, record.null_law, record.null_mean)
            && rate > 0.0
            && rate < 1.0
        {
            self.sizes.push(attained_size(n, rate, alpha));
        }
    }

    fn summed(self, mark: &str, alpha: f64) -> SelfTest {
        let trainings = self.trainings.len();
        let mut clusters: Vec<(u64, u64)> = self.trainings.values().copied().collect();
        let (hits, pairs) = clusters.iter().fold((0, 0), |sum, cluster| (sum.0 + cluster.0, sum.1 + cluster.1));
        let of_seed = |models: &BTreeMap<SuspectKey, Vec<f64>>| Together::of(models.values().map(Vec::as_slice));
        let together = Together::sum(&self.scores.values().filter_map(of_seed).collect::<Vec<_>>());
        if together.is_some() {
            let mut seeds: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            for ((seed, _), training) in &self.trainings {
                let sum = seeds.entry(*seed).or_default();
                *sum = (sum.0 + training.0, sum.1 + training.1);
            }
            clusters = seeds.into_values().collect();
        }
        // of one cluster nobody knows how it differs from others
        let shared = together.is_some() && clusters.len() == 1;
        let interval = clustered_proportion(&clusters, 0.95).filter(|_| !shared).map(|found| found.interval);
        let end = |pick: fn(f64, f64) -> f64| self.sizes.iter().copied().reduce(pick);
        SelfTest {
            mark: mark.to_string(),
            alpha,
            attained: end(f64::min).zip(end(f64::max)),
            hits,
            pairs,
            models: self.models.len(),
            seeds: self.trainings.keys().map(|(seed, _)| seed).collect::<BTreeSet<_>>().len(),
            trainings,
            scored: together.map_or(0, |together| together.models),
            correlation: together.and_then(|together| together.correlation),
            effective: together.map(|together| together.effective),
            rate: hits as f64 / pairs as f64,
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
        }
    }
}

impl SelfTest {
    /// In words: what was counted, what the null promises, and how little the models are.
    pub fn sentence(&self) -> String {
        let Self { mark, alpha, hits, pairs, models, seeds, trainings, .. } = self;
        let counted = |n: usize, name: &str| if n == 1 { format!("1 {name}") } else { format!("{n} {name}s") };
        let size = |x: f64| if x > 0.0 { format!("{x:.1e}") } else { "0".to_string() };
        let promised = match self.attained {
            Some((low, high)) if size(low) == size(high) => format!("{} (nominal {alpha})", size(low)),
            Some((low, high)) => format!("{} to {} (nominal {alpha})", size(low), size(high)),
            None => format!("at most {alpha}"),
        };
        let interval = match (self.low, self.high) {
            (Some(low), Some(high)) => {
                let by = if self.effective.is_some() { "seed" } else { "training" };
                format!(", 95 % interval {} to {} clustered by {by}", size(low), size(high))
            }
            _ => String::new(),
        };
        let over = match (self.correlation, self.effective) {
            (Some(r), Some(effective)) => {
                let those = if self.scored == *models { String::new() } else { format!(" of the {} that vary", self.scored) };
                format!("; scores{those} correlate {r:.2} over keys and tell as much as {effective:.1} independent models")
            }
            _ if trainings < models => {
                format!("; they share teachers, prompts and base, and count for fewer than {models}")
            }
            _ => String::new(),
        };
        let keys = if *trainings < MIN_MODELS_FOR_A_RATE { "; a rate over keys, not over models" } else { "" };
        format!(
            "{mark}: {hits} of {} (model, decoy key) pairs at p <= {alpha}: {}{interval}; the null's own size is {promised}. {} from {} of \
             {}{over}{keys}",
            number(*pairs as f64),
            size(self.rate),
            counted(*models, "negative model"),
            counted(*trainings, "training"),
            counted(*seeds, "seed"),
        )
    }
}
