//! Hits of unequal weight.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::{Interval, saddlepoint::Saddlepoint};

/// Scores `w x` of independent hits x at a known rate, each unit with a weight w of its own that the hits have no part in.
///
/// p is Chernoff's bound with the exact cumulant, never below the true tail. Effect: weighted share of hits minus the rate; its interval is
/// Hoeffding's, valid for independent units of any law on \[0, w\].
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedHits {
    rate: f64,
    /// Weights, and the number of units that have them.
    weights: Vec<(f64, f64)>,
    sum: f64,
    squares: f64,
}

impl WeightedHits {
    /// Units that hit at `rate`, with `weights` in any order. Equal weights are computed with once.
    ///
    /// # Panics
    /// When the rate is outside (0, 1), or a weight is negative or no number.
    pub fn new(rate: f64, weights: &[f64]) -> WeightedHits {
        assert!(rate > 0.0 && rate < 1.0, "a rate of {rate}");
        assert!(weights.iter().all(|w| *w >= 0.0 && w.is_finite()), "a weight is negative or no number");
        let mut sorted = weights.to_vec();
        sorted.sort_by(f64::total_cmp);
        let equal: Vec<(f64, f64)> = sorted.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as f64)).collect();
        let sum = equal.iter().map(|(w, count)| w * count).sum();
        let squares = equal.iter().map(|(w, count)| w * w * count).sum();
        WeightedHits { rate, weights: equal, sum, squares }
    }

    /// K(a) of the total, and its derivatives.
    fn cumulants(&self, a: f64) -> [f64; 3] {
        let (stay, hit) = (libm::log(1.0 - self.rate), libm::log(self.rate));
        self.weights.iter().fold([0.0; 3], |sum, &(w, count)| {
            let hit = hit + a * w;
            let larger = stay.max(hit);
            let k = larger + libm::log(libm::exp(stay - larger) + libm::exp(hit - larger));
            let tilted = libm::exp(hit - k);
            let one = [k, w * tilted, w * w * tilted * (1.0 - tilted)];
            std::array::from_fn(|order| sum[order] + count * one[order])
        })
    }

    /// log10 of the probability that every unit hits.
    fn log10_all(&self) -> f64 {
        let units: f64 = self.weights.iter().filter(|(w, _)| *w > 0.0).map(|(_, count)| count).sum();
        units * libm::log10(self.rate)
    }

    /// Standard deviations of the total `statistic` above its mean, as authors of weighted counts state them; 0 where nothing has a weight.
    pub fn z(&self, statistic: f64) -> f64 {
        let variance = self.rate * (1.0 - self.rate) * self.squares;
        if variance > 0.0 { (statistic - self.rate * self.sum) / variance.sqrt() } else { 0.0 }
    }
}

impl Null for WeightedHits {
    fn law(&self, n: u64) -> NullLaw {
        let (units, spread) = (n.max(1) as f64, self.rate * (1.0 - self.rate));
        let words = format!("Chernoff's bound of {n} weighted hits at the rate {}", self.rate);
        NullLaw::new(NullKind::Chernoff, words).with_unit(self.rate * self.sum / units, (spread * self.squares / units).sqrt())
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        if self.squares == 0.0 {
            return 0.0;
        }
        // at the largest total the bound's two parts are large and cancel; no tail is below the probability that all hit
        Saddlepoint::new(|a| self.cumulants(a)).log10_bound(self.statistic(scores)).max(self.log10_all())
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (low, high) = (-self.rate, 1.0 - self.rate);
        if self.sum == 0.0 {
            return (0.0, Interval { low, high });
        }
        let effect = self.statistic(scores) / self.sum - self.rate;
        let half = (0.5 * libm::log(2.0 / (1.0 - LEVEL)) * self.squares).sqrt() / self.sum;
        (effect, Interval { low: (effect - half).max(low.min(effect)), high: (effect + half).min(high.max(effect)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::Bernoulli;

    /// Exact P[total >= t] by listing all patterns of hits.
    fn exact(rate: f64, weights: &[f64], t: f64) -> f64 {
        let one = |pattern: u32| {
            let hit = |i: usize| pattern >> i & 1 == 1;
            let total: f64 = (0..weights.len()).filter(|i| hit(*i)).map(|i| weights[i]).sum();
            let p: f64 = (0..weights.len()).map(|i| if hit(i) { rate } else { 1.0 - rate }).product();
            if total >= t - 1e-12 { p } else { 0.0 }
        };
        (0..1u32 << weights.len()).map(one).sum()
    }

    #[test]
    fn the_bound_holds_and_is_not_loose() {
        let weights = [1.0, 0.5, 0.5, 0.25, 0.9, 0.1, 0.7, 0.7, 0.3, 1.0];
        let null = WeightedHits::new(0.25, &weights);
        for t in [2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 5.95] {
            let (bound, tail) = (libm::pow(10f64, null.log10_p(&[t])), exact(0.25, &weights, t));
            assert!(bound >= tail * (1.0 - 1e-9), "{t}: {bound} below {tail}");
            assert!(bound <= 12.0 * tail, "{t}: {bound} far above {tail}");
        }
        assert_eq!((null.log10_p(&[1.0]), null.log10_p(&[0.0])), (0.0, 0.0));
        // all hit: the largest value has its own probability
        assert!((null.log10_p(&[5.95]) - 10.0 * libm::log10(0.25_f64)).abs() < 1e-12);
    }

    #[test]
    fn equal_weights_count_hits_and_have_their_z() {
        let null = WeightedHits::new(0.25, &[1.0; 200]);
        let scores: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 8 < 3))).collect();
        // methods, appendix A: 75 of 200 at 1/4
        assert!((null.z(null.statistic(&scores)) - 4.082_482_905).abs() < 1e-9);
        let exact = Bernoulli { rate: 0.25 }.log10_p(&scores);
        let bound = null.log10_p(&scores);
        assert!(bound > exact && bound < exact + 1.2, "{bound} for {exact}");
        let (effect, interval) = null.effect(&scores);
        assert!((effect - 0.125).abs() < 1e-12 && interval.low > 0.0 && interval.contains(effect));
        // per unit, as records keep it
        let law = null.law(200);
        assert_eq!((law.mean, law.sd), (Some(0.25), Some(0.1875_f64.sqrt())));
    }

    #[test]
    fn nothing_weighed_is_no_evidence() {
        for weights in [&[][..], &[0.0, 0.0]] {
            let null = WeightedHits::new(0.5, weights);
            assert_eq!((null.log10_p(&[0.0]), null.z(0.0)), (0.0, 0.0));
            assert_eq!(null.effect(&[0.0]), (0.0, Interval { low: -0.5, high: 0.5 }));
        }
    }
}
