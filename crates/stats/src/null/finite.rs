//! Scores that take few values.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::{Interval, saddlepoint::Saddlepoint};

/// Independent scores of one law on few values.
///
/// p is Chernoff's bound with the exact cumulant, never below the true tail. Effect: mean score above the law's mean; its interval is
/// Hoeffding's, valid for independent units of any law between the least and the largest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Finite {
    /// Values with their probabilities.
    law: Vec<(f64, f64)>,
    mean: f64,
    variance: f64,
    least: f64,
    largest: f64,
}

impl Finite {
    /// Scores with these (value, probability).
    ///
    /// # Panics
    /// When a value is not finite, a probability is not above 0, or they do not add up to 1 within 1e-9.
    pub fn new(law: Vec<(f64, f64)>) -> Finite {
        assert!(law.iter().all(|(value, p)| value.is_finite() && *p > 0.0), "no law on values: {law:?}");
        let total: f64 = law.iter().map(|(_, p)| p).sum();
        assert!((total - 1.0).abs() < 1e-9, "probabilities add up to {total}");
        let mean = law.iter().map(|(value, p)| value * p).sum();
        let variance = law.iter().map(|(value, p)| p * (value - mean) * (value - mean)).sum();
        let least = law.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
        let largest = law.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
        Finite { law, mean, variance, least, largest }
    }

    /// ln E e^(a score) of one score, with its first two derivatives by a.
    pub fn cumulants(&self, a: f64) -> [f64; 3] {
        let exponent = |value: f64, p: f64| a * value + libm::log(p);
        let larger = self.law.iter().map(|&(value, p)| exponent(value, p)).fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
        for &(value, p) in &self.law {
            let tilted = libm::exp(exponent(value, p) - larger);
            total += tilted;
            first += tilted * value;
            second += tilted * value * value;
        }
        let mean = first / total;
        [larger + libm::log(total), mean, (second / total - mean * mean).max(0.0)]
    }
}

impl Null for Finite {
    fn law(&self, n: u64) -> NullLaw {
        let words = format!("Chernoff's bound of {n} scores of {} values", self.law.len());
        NullLaw::new(NullKind::Chernoff, words).with_unit(self.mean, self.variance.sqrt())
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        if scores.is_empty() {
            return 0.0;
        }
        let n = scores.len() as f64;
        Saddlepoint::new(|a| self.cumulants(a).map(|one| n * one)).log10_bound(self.statistic(scores))
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (low, high) = (self.least - self.mean, self.largest - self.mean);
        if scores.is_empty() {
            return (0.0, Interval { low, high });
        }
        let n = scores.len() as f64;
        let effect = self.statistic(scores) / n - self.mean;
        let half = (self.largest - self.least) * (libm::log(2.0 / (1.0 - LEVEL)) / (2.0 * n)).sqrt();
        (effect, Interval { low: (effect - half).max(low.min(effect)), high: (effect + half).min(high.max(effect)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::Bernoulli;

    #[test]
    fn the_bound_holds_for_three_values() {
        let null = Finite::new(vec![(0.0, 0.2), (1.0, 0.6), (2.0, 0.2)]);
        // the exact law of a total of six
        let mut exact = vec![1.0];
        for _ in 0..6 {
            let mut next = vec![0.0; exact.len() + 2];
            for (total, p) in exact.iter().enumerate() {
                for (value, chance) in [(0, 0.2), (1, 0.6), (2, 0.2)] {
                    next[total + value] += p * chance;
                }
            }
            exact = next;
        }
        for total in 7..=12 {
            let tail: f64 = exact[total..].iter().sum();
            let bound = libm::pow(10f64, null.log10_p(&[total as f64 / 6.0; 6]));
            assert!(bound >= tail * (1.0 - 1e-6) && bound < 6.0 * tail, "{total}: {bound} for {tail}");
        }
        // the mean of six is 1, up to rounding
        assert!(null.log10_p(&[1.0; 6]) > -1e-15 && null.log10_p(&[]) == 0.0);
        assert_eq!((null.law(6).mean, null.effect(&[]).0), (Some(1.0), 0.0));
        assert!((null.law(6).sd.unwrap() - 0.4_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn two_values_are_hits() {
        let null = Finite::new(vec![(0.0, 0.75), (1.0, 0.25)]);
        let scores: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 8 < 3))).collect();
        let (bound, exact) = (null.log10_p(&scores), Bernoulli { rate: 0.25 }.log10_p(&scores));
        assert!(bound > exact && bound < exact + 1.2, "{bound} for {exact}");
        let (effect, interval) = null.effect(&scores);
        assert!((effect - 0.125).abs() < 1e-12 && interval.contains(effect) && interval.low > 0.0);
    }

    #[test]
    fn derivatives_are_those_of_the_cumulant() {
        let null = Finite::new(vec![(0.0, 0.3), (1.0, 0.4), (2.0, 0.3)]);
        for a in [-2.0, 0.0, 0.7, 30.0] {
            let [low, at, high] = [a - 1e-4, a, a + 1e-4].map(|a| null.cumulants(a));
            assert!((at[1] - (high[0] - low[0]) / 2e-4).abs() < 1e-6 && (at[2] - (high[1] - low[1]) / 2e-4).abs() < 1e-6);
        }
    }
}
