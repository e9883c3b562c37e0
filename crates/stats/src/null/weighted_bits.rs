//! Bits of unequal weight.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::{Interval, special::ln_to_log10_p};

/// Scores `sum of w_l b_l` of fair bits b_l with fixed positive weights w_l: SynthID's weighted mean.
///
/// p is Chernoff's bound with the exact cumulant: with the total t above its null mean, `inf over a > 0 of exp(n sum of
/// ln cosh(a w_l / 2) - a t)`. It is never below the true tail, for any number of units. Effect: mean score minus its null mean, in
/// the units of the score; its interval is Hoeffding's, valid for independent units of any law on \[0, sum of weights\].
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedBits {
    weights: Vec<f64>,
    /// Probability of a one.
    rate: f64,
}

impl WeightedBits {
    /// # Panics
    /// When there is no weight, or one is not positive and finite.
    pub fn new(weights: Vec<f64>) -> WeightedBits {
        WeightedBits::with_rate(weights, 0.5)
    }

    /// The same of bits that are 1 with probability `rate`, for which the cumulant of a centred bit is
    /// `ln(1 - rate + rate exp(a w)) - rate a w`.
    ///
    /// # Panics
    /// As [`new`](Self::new), and when `rate` is outside (0, 1).
    pub fn with_rate(weights: Vec<f64>, rate: f64) -> WeightedBits {
        assert!(!weights.is_empty(), "no weight");
        assert!(weights.iter().all(|w| *w > 0.0 && w.is_finite()), "weights {weights:?} are not all positive");
        assert!(rate > 0.0 && rate < 1.0, "rate {rate} is outside (0, 1)");
        WeightedBits { weights, rate }
    }

    /// Largest score of a unit; `rate` of it is the null mean.
    fn largest(&self) -> f64 {
        self.weights.iter().sum()
    }

    /// Sum of the cumulants of the centred bits, and its derivative by a.
    fn cumulant(&self, a: f64) -> (f64, f64) {
        let rate = self.rate;
        let one = |w: &f64| {
            if rate != 0.5 {
                // ln(1 - r + r e^x) - r x = (1 - r) x + ln(r + (1 - r) e^-x) for x >= 0
                let (x, zero) = (a * w, (1.0 - rate) * libm::exp(-a * w));
                return ((1.0 - rate) * x + libm::log(rate + zero), w * (rate / (rate + zero) - rate));
            }
            let half = 0.5 * a * w;
            // ln cosh x = x + ln(1 + e^-2x) - ln 2 for x >= 0
            (half + libm::log1p(libm::exp(-2.0 * half)) - std::f64::consts::LN_2, 0.5 * w * libm::tanh(half))
        };
        self.weights.iter().map(one).fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1))
    }

    /// ln of the bound for one unit of a mean score `above` the null mean. Every `a` gives a valid bound, so a root that is not quite
    /// found only makes p larger.
    fn ln_bound(&self, above: f64) -> f64 {
        if above <= 0.0 {
            return 0.0;
        }
        let mut high = 1.0 / self.largest();
        // beyond 2^60 every bit is 1 and the bound no longer falls
        for _ in 0..60 {
            if self.cumulant(high).1 >= above {
                break;
            }
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if self.cumulant(middle).1 < above { low = middle } else { high = middle }
        }
        let bound = |a: f64| self.cumulant(a).0 - a * above;
        bound(low).min(bound(high)).min(0.0)
    }
}

impl Null for WeightedBits {
    fn law(&self, n: u64) -> NullLaw {
        let squares: f64 = self.weights.iter().map(|w| w * w).sum();
        let (bits, rate) = (self.weights.len(), self.rate);
        let words = match rate {
            0.5 => format!("Chernoff's bound of {n} sums of {bits} weighted fair bits"),
            rate => format!("Chernoff's bound of {n} sums of {bits} weighted bits of rate {rate}"),
        };
        let sd = (rate * (1.0 - rate)).sqrt() * squares.sqrt();
        NullLaw::new(NullKind::Chernoff, words).with_unit(rate * self.largest(), sd)
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        if scores.is_empty() {
            return 0.0;
        }
        let n = scores.len() as f64;
        ln_to_log10_p(n * self.ln_bound(self.effect(scores).0))
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (mean, above) = (self.rate * self.largest(), (1.0 - self.rate) * self.largest());
        if scores.is_empty() {
            return (0.0, Interval { low: -mean, high: above });
        }
        let n = scores.len() as f64;
        let effect = self.statistic(scores) / n - mean;
        let half = self.largest() * (libm::log(2.0 / (1.0 - LEVEL)) / (2.0 * n)).sqrt();
        let inside = |x: f64| x.clamp(-mean.max(-effect), above.max(effect));
        (effect, Interval { low: inside(effect - half), high: inside(effect + half) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::{Bits, Null};

    /// Exact P[total >= t] of `n` units by listing all bit patterns.
    fn exact(weights: &[f64], n: usize, t: f64) -> f64 {
        let all: Vec<f64> = (0..n).flat_map(|_| weights.iter().copied()).collect();
        let patterns = 1u32 << all.len();
        let total = |bits: u32| all.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, w)| w).sum::<f64>();
        (0..patterns).filter(|&bits| total(bits) >= t - 1e-12).count() as f64 / f64::from(patterns)
    }

    #[test]
    fn the_bound_holds_and_is_not_loose() {
        let weights = [1.0, 0.7, 0.3];
        let null = WeightedBits::new(weights.to_vec());
        for mean in [0.9, 1.0, 1.2, 1.5, 1.7, 1.9, 2.0] {
            let bound = libm::pow(10f64, null.log10_p(&[mean; 5]));
            let tail = exact(&weights, 5, 5.0 * mean);
            assert!(bound >= tail * (1.0 - 1e-12), "{mean}: {bound} below {tail}");
            assert!(bound <= 12.0 * tail, "{mean}: {bound} far above {tail}");
        }
    }

    #[test]
    fn bits_of_another_rate_have_their_own_bound() {
        // equal weights: n D(share || rate) nats, here 20 of 24 bits at 0.3
        let null = WeightedBits::with_rate(vec![1.0; 4], 0.3);
        let scores = [4.0, 3.0, 3.0, 4.0, 2.0, 4.0];
        let share = 5.0_f64 / 6.0;
        let entropy = share * libm::log(share / 0.3) + (1.0 - share) * libm::log((1.0 - share) / 0.7);
        assert!((null.log10_p(&scores) + 24.0 * entropy / std::f64::consts::LN_10).abs() < 1e-9);
        assert!((null.law(6).mean.unwrap() - 1.2).abs() < 1e-15 && (null.law(6).sd.unwrap() - (0.84_f64).sqrt()).abs() < 1e-15);
        // near one half it is that of fair bits
        let (near, fair) = (WeightedBits::with_rate(vec![1.0, 0.7], 0.5 + 1e-12), WeightedBits::new(vec![1.0, 0.7]));
        assert!((near.log10_p(&[1.5; 9]) - fair.log10_p(&[1.5; 9])).abs() < 1e-9);
        assert_eq!(WeightedBits::with_rate(vec![1.0], 0.25).effect(&[]), (0.0, Interval { low: -0.25, high: 0.75 }));
    }

    #[test]
    fn all_ones_have_their_exact_probability() {
        let null = WeightedBits::new(vec![1.0, 0.5, 0.25]);
        let log10_p = null.log10_p(&[1.75; 4]);
        assert!((log10_p - 12.0 * libm::log10(0.5_f64)).abs() < 1e-9, "{log10_p}");
        assert_eq!(null.log10_p(&[0.875; 4]), 0.0);
        assert_eq!(null.log10_p(&[0.1; 4]), 0.0);
    }

    #[test]
    fn equal_weights_give_the_relative_entropy_of_a_coin() {
        // 20 of 24 bits: n D(5/6 || 1/2) nats
        let null = WeightedBits::new(vec![1.0; 4]);
        let scores = [4.0, 3.0, 3.0, 4.0, 2.0, 4.0];
        let share = 5.0_f64 / 6.0;
        let entropy = share * libm::log(2.0 * share) + (1.0 - share) * libm::log(2.0 * (1.0 - share));
        let log10_p = null.log10_p(&scores);
        assert!((log10_p + 24.0 * entropy / std::f64::consts::LN_10).abs() < 1e-9, "{log10_p}");
        assert!(log10_p > Bits { per_unit: 4 }.log10_p(&scores), "a bound lies above the exact tail");
        assert_eq!((null.law(6).mean, null.law(6).sd), (Some(2.0), Some(1.0)));
        assert!(null.log10_p(&[3.5; 1_000_000]) < -100_000.0);
    }

    #[test]
    fn effects_come_with_hoeffdings_interval() {
        let null = WeightedBits::new(vec![0.6, 0.4]);
        let (effect, interval) = null.effect(&[0.6; 800]);
        assert!((effect - 0.1).abs() < 1e-12);
        let half = (libm::log(40.0_f64) / 1600.0).sqrt();
        assert!((interval.high - effect - half).abs() < 1e-12 && (effect - interval.low - half).abs() < 1e-12);
        assert_eq!(null.effect(&[1.0]).1.high, 0.5);
        assert_eq!((null.log10_p(&[]), null.effect(&[])), (0.0, (0.0, Interval { low: -0.5, high: 0.5 })));
    }
}
