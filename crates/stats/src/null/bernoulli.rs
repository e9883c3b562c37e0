//! Hits at a known rate.

use super::law::NullLaw;
use super::scores::{LEVEL, Null, hits};
use crate::{
    evalue::{BinomialEProcess, EProcess},
    interval::{Interval, clopper_pearson},
    tail::log10_binomial_sf,
};

/// Scores 0 or 1, each 1 with probability `rate`: the total is Binomial(n, rate). Exact tail (methods 0.3); effect: rate of hits
/// minus `rate`, with its Clopper-Pearson interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bernoulli {
    /// Probability of a hit, inside (0, 1).
    pub rate: f64,
}

impl Null for Bernoulli {
    fn law(&self, n: u64) -> NullLaw {
        NullLaw::binomial(n, self.rate)
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        log10_binomial_sf(hits(scores), scores.len() as u64, self.rate)
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (hits, n) = (hits(scores), scores.len() as u64);
        let effect = if n == 0 { 0.0 } else { hits as f64 / n as f64 - self.rate };
        (effect, clopper_pearson(hits, n, LEVEL).shifted(-self.rate))
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        Some(Box::new(BinomialEProcess::new(self.rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evidence;

    #[test]
    fn numbers_are_those_of_binomial_evidence() {
        let null = Bernoulli { rate: 0.25 };
        let scores: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 8 < 3))).collect();
        let evidence = Evidence::of_scores(&null, &scores).unwrap();
        assert_eq!(evidence, Evidence::binomial(75, 200, 0.25));
        // methods, appendix A
        assert!((libm::pow(10f64, evidence.log10_p) / 6.152_707_236e-5 - 1.0).abs() < 1e-9);
        assert_eq!(evidence.null, NullLaw::binomial(200, 0.25));
        let nothing = Evidence::of_scores(&null, &[]).unwrap();
        assert_eq!(nothing, Evidence::binomial(0, 0, 0.25));
        assert!(nothing.statistic.is_sign_positive());
    }

    #[test]
    fn the_bet_is_the_binomial_one() {
        let mut bet = Bernoulli { rate: 0.25 }.bet().unwrap();
        let mut process = BinomialEProcess::new(0.25);
        for i in 0..60 {
            bet.push(f64::from(i % 2));
            process.push(i % 2 == 1);
        }
        assert_eq!((bet.log10_e(), bet.max_log10_e()), (process.log10_e(), process.max_log10_e()));
        assert_eq!(bet.first_crossing(0.1), process.first_crossing(0.1));
        assert!(bet.first_crossing(0.1).is_some());
    }

    #[test]
    #[should_panic(expected = "no number of hits")]
    fn half_a_hit_is_a_defect() {
        Bernoulli { rate: 0.5 }.log10_p(&[0.5]);
    }
}
