//! Weighted sums of two exponential scores.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::{
    Interval,
    evalue::{EProcess, TwoGammaEProcess},
    special::gamma_quantile,
    tail::log10_two_gamma_sf,
};

/// Scores (1 - alpha) X + alpha Y with X, Y ~ Exp(1), as those of Gumbel watermarks with two keys: the total of n units is that of two
/// Gamma(n, 1) variables, its upper tail exact. Fitting one gamma law to mean and variance instead is wrong in the tail: 351 times at
/// 1e-51 (served watermarks, section 3).
///
/// Effect: mean score minus 1. Its interval is that of a mean of gamma scores with the same variance: a few hundredths of its width are
/// approximate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoGamma {
    /// Weight of the second key, 0, 1 or inside \[0.001, 0.999\].
    pub alpha: f64,
}

/// Interval of no units. A mean has no upper limit, which no file can hold: 1 stands for it.
const NOTHING: Interval = Interval { low: -1.0, high: 1.0 };

impl TwoGamma {
    /// Variance of one unit.
    fn variance(self) -> f64 {
        self.alpha * self.alpha + (1.0 - self.alpha) * (1.0 - self.alpha)
    }
}

impl Null for TwoGamma {
    fn law(&self, n: u64) -> NullLaw {
        let words = format!("{} Gamma({n}, 1) + {} Gamma({n}, 1)", 1.0 - self.alpha, self.alpha);
        NullLaw::new(NullKind::TwoGamma, words).with_unit(1.0, self.variance().sqrt())
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        log10_two_gamma_sf(scores.len() as u64, self.alpha, self.statistic(scores))
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        if scores.is_empty() {
            return (0.0, NOTHING);
        }
        let (total, n) = (self.statistic(scores), scores.len() as f64);
        let shape = n / self.variance();
        let mean = |quantile: f64| total / n * shape / gamma_quantile(shape, quantile) - 1.0;
        let tail = 0.5 * (1.0 - LEVEL);
        (total / n - 1.0, Interval { low: mean(1.0 - tail), high: mean(tail) })
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        let other = 1.0 - self.alpha;
        Some(Box::new(TwoGammaEProcess::new(self.alpha.min(other), self.alpha.max(other))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::Exponential;

    #[test]
    fn one_key_alone_is_exponential() {
        let scores: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 0.9 } else { 1.9 }).collect();
        for alpha in [0.0, 1.0] {
            let two = TwoGamma { alpha };
            assert_eq!((two.log10_p(&scores), two.effect(&scores)), (Exponential.log10_p(&scores), Exponential.effect(&scores)));
        }
        let law = TwoGamma { alpha: 0.25 }.law(7);
        assert_eq!((law.words.as_str(), law.mean), ("0.75 Gamma(7, 1) + 0.25 Gamma(7, 1)", Some(1.0)));
        assert!((law.sd.unwrap() - 0.625_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_interval_holds_what_the_exact_tail_allows() {
        let null = TwoGamma { alpha: 0.1 };
        let scores = [1.4; 64];
        let (effect, interval) = null.effect(&scores);
        assert!((effect - 0.4).abs() < 1e-12 && interval.low > 0.1 && interval.high < 0.9, "{interval:?}");
        // at each end of the interval the exact probability of so small or so large a total is near 2.5 %
        let beyond = |mean: f64| libm::pow(10f64, null.log10_p(&scores.map(|score| score / (1.0 + mean))));
        assert!((beyond(interval.low) - 0.025).abs() < 0.002, "{}", beyond(interval.low));
        assert!((1.0 - beyond(interval.high) - 0.025).abs() < 0.002, "{}", beyond(interval.high));
    }

    #[test]
    fn no_units_are_no_evidence_and_there_is_a_bet() {
        let null = TwoGamma { alpha: 0.1 };
        assert_eq!((null.log10_p(&[]), null.effect(&[])), (0.0, (0.0, NOTHING)));
        let mut bet = null.bet().unwrap();
        (0..60).for_each(|_| bet.push(2.0));
        assert!(bet.log10_e() > 3.0 && bet.first_crossing(0.05).is_some());
    }
}
