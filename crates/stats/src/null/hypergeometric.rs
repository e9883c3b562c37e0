//! Hits among distinct items of a known population.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null, hits};
use crate::{
    interval::{Interval, clopper_pearson},
    tail::log10_hypergeometric_sf,
};

/// Scores 0 or 1 of n different items out of a population with `successes` hits in it: Unigram on distinct tokens. The total is
/// hypergeometric, its upper tail exact.
///
/// Effect: rate of hits minus `successes / population`. Its interval is Clopper and Pearson's, as if items were drawn with
/// replacement: wider than drawing without, so on the safe side. There is no e-process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hypergeometric {
    /// Items there are.
    pub population: u64,
    /// Items among them that are hits, at most `population`.
    pub successes: u64,
}

impl Hypergeometric {
    fn rate(&self) -> f64 {
        self.successes as f64 / self.population as f64
    }
}

impl Null for Hypergeometric {
    fn law(&self, n: u64) -> NullLaw {
        let Self { population, successes } = self;
        let rate = self.rate();
        NullLaw::new(NullKind::Hypergeometric, format!("Hypergeometric({n} of {population}, {successes} hits)"))
            .with_unit(rate, (rate * (1.0 - rate)).sqrt())
    }

    /// # Panics
    /// When there are more scores than items, or more hits than successes.
    fn log10_p(&self, scores: &[f64]) -> f64 {
        log10_hypergeometric_sf(hits(scores), self.population, self.successes, scores.len() as u64)
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let (hits, n) = (hits(scores), scores.len() as u64);
        let effect = if n == 0 { 0.0 } else { hits as f64 / n as f64 - self.rate() };
        (effect, clopper_pearson(hits, n, LEVEL).shifted(-self.rate()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(hits: usize, n: usize) -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i < hits))).collect()
    }

    #[test]
    fn tail_of_a_small_urn() {
        // 4 of 8 are hits; all 4 of 4 draws hit: 1 in C(8, 4) = 70; at least 3: 17 in 70
        let null = Hypergeometric { population: 8, successes: 4 };
        assert!((libm::pow(10f64, null.log10_p(&scores(4, 4))) - 1.0 / 70.0).abs() < 1e-13);
        assert!((libm::pow(10f64, null.log10_p(&scores(3, 4))) - 17.0 / 70.0).abs() < 1e-13);
        assert_eq!(null.statistic(&scores(3, 4)), 3.0);
        // the whole population says nothing
        assert_eq!(null.log10_p(&scores(4, 8)), 0.0);
        assert_eq!(null.effect(&scores(4, 8)).0, 0.0);
    }

    #[test]
    fn a_large_population_is_drawn_as_with_replacement() {
        let null = Hypergeometric { population: 1 << 40, successes: 1 << 38 };
        let binomial = crate::null::Bernoulli { rate: 0.25 };
        let (own, other) = (null.log10_p(&scores(75, 200)), binomial.log10_p(&scores(75, 200)));
        assert!((own - other).abs() < 1e-6, "{own} {other}");
        assert_eq!(null.effect(&scores(75, 200)), binomial.effect(&scores(75, 200)));
        assert_eq!((null.law(3).mean, null.law(3).kind), (Some(0.25), NullKind::Hypergeometric));
    }

    #[test]
    fn the_interval_holds_what_exact_tails_allow() {
        // every number of successes that the exact two-sided test at 5 % keeps lies in the interval
        let (population, hits, n) = (60, 14, 20);
        let null = Hypergeometric { population, successes: 30 };
        let (_, interval) = null.effect(&scores(hits, n));
        for successes in hits as u64..=population - (n - hits) as u64 {
            let (at_least, fewer) = (
                log10_hypergeometric_sf(hits as u64, population, successes, n as u64),
                log10_hypergeometric_sf((n - hits) as u64, population, population - successes, n as u64),
            );
            if at_least.min(fewer) > libm::log10(0.025_f64) {
                assert!(interval.contains(successes as f64 / population as f64 - 0.5), "{successes}: {interval:?}");
            }
        }
    }

    #[test]
    fn no_units_are_no_evidence() {
        let null = Hypergeometric { population: 8, successes: 2 };
        assert_eq!((null.log10_p(&[]), null.effect(&[])), (0.0, (0.0, Interval { low: -0.25, high: 0.75 })));
        assert!(null.bet().is_none());
    }
}
