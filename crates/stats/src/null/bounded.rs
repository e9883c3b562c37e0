//! Scores between 0 and 1 of which nothing is known but the mean.

use super::law::{NullKind, NullLaw};
use super::scores::{LEVEL, Null};
use crate::Interval;
use crate::evalue::{BoundedEProcess, EProcess};

/// Scores in \[0, 1\], each of at most this mean given those before it: green mass under a random key (methods f5).
///
/// p is the inverse of the largest value of a betting e-process ([`BoundedEProcess`]), which by Ville's inequality is at most alpha with
/// probability at most alpha, whenever one stops and whatever the scores depend on. Effect: mean score minus the mean; its interval is
/// Maurer and Pontil's empirical Bernstein bound (*Empirical Bernstein bounds and sample variance penalization*, COLT 2009, theorem 4), 2.5 % on either side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// Inside (0, 1).
    pub mean: f64,
}

impl Bounded {
    fn process(self, scores: &[f64]) -> BoundedEProcess {
        let mut process = BoundedEProcess::new(self.mean);
        scores.iter().for_each(|&score| process.push(score));
        process
    }
}

impl Null for Bounded {
    fn law(&self, n: u64) -> NullLaw {
        let words = format!("bets on {n} scores between 0 and 1 of mean {}", self.mean);
        NullLaw { mean: Some(self.mean), ..NullLaw::new(NullKind::Betting, words) }
    }

    fn log10_p(&self, scores: &[f64]) -> f64 {
        // not the negative of 0
        0.0 - self.process(scores).max_log10_e()
    }

    fn effect(&self, scores: &[f64]) -> (f64, Interval) {
        let all = Interval { low: -self.mean, high: 1.0 - self.mean };
        if scores.is_empty() {
            return (0.0, all);
        }
        let n = scores.len() as f64;
        let mean = self.statistic(scores) / n;
        let effect = mean - self.mean;
        if scores.len() == 1 {
            return (effect, all);
        }
        let variance = scores.iter().map(|score| (score - mean) * (score - mean)).sum::<f64>() / (n - 1.0);
        let ln = libm::log(4.0 / (1.0 - LEVEL));
        let half = (2.0 * variance * ln / n).sqrt() + 7.0 * ln / (3.0 * (n - 1.0));
        (effect, Interval { low: (effect - half).max(all.low), high: (effect + half).min(all.high) })
    }

    fn bet(&self) -> Option<Box<dyn EProcess>> {
        Some(Box::new(BoundedEProcess::new(self.mean)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::Evidence;
    use crate::null::Bernoulli;
    use crate::random::unit;
    use crate::tail::log10_hoeffding;

    /// `n` scores of a mean of `mean` within `spread` of it.
    fn scores(n: usize, mean: f64, spread: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..n).map(|_| mean + spread * (2.0 * unit(rng) - 1.0)).collect()
    }

    #[test]
    fn it_is_tighter_than_hoeffding_where_scores_vary_little_and_never_much_looser() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let null = Bounded { mean: 0.25 };
        let little = scores(1_000, 0.3, 0.1, &mut rng);
        let mean = little.iter().sum::<f64>() / 1e3;
        let (bet, hoeffding) = (null.log10_p(&little), log10_hoeffding(1_000, mean, 0.25));
        // the boldest bet, lambda 3, earns 3 x .05 - 9 x (.0033 + .0025) / 2 = .124 nats a score, 54 decades; Hoeffding 2
        assert!(bet < -45.0 && hoeffding > -3.0, "{bet} {hoeffding}");
        // hits are the largest variance that there is: the exact tail is the measure there
        let hits: Vec<f64> = (0..1_000).map(|i| f64::from(u8::from(i * 7 % 20 < 7))).collect();
        let (bet, exact) = (null.log10_p(&hits), Bernoulli { rate: 0.25 }.log10_p(&hits));
        assert!(exact < bet && bet < 0.6 * exact, "{bet} for {exact}");
    }

    #[test]
    fn p_keeps_its_level_and_the_interval_its_coverage() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let null = Bounded { mean: 0.25 };
        let (mut small, mut outside) = (0, 0);
        for _ in 0..2_000 {
            let scores = scores(60, 0.25, 0.25, &mut rng);
            small += u32::from(null.log10_p(&scores) <= libm::log10(0.05));
            outside += u32::from(!null.effect(&scores).1.contains(0.0));
        }
        // Binomial(2000, 0.05) exceeds 132 with probability below 1e-3
        assert!(small <= 132 && outside <= 132, "{small} {outside}");
    }

    #[test]
    fn nothing_and_one_score_are_little_evidence() {
        let null = Bounded { mean: 0.25 };
        let nothing = Evidence::of_scores(&null, &[]).unwrap();
        assert_eq!((nothing.log10_p, nothing.effect, nothing.n), (0.0, 0.0, 0));
        assert!(nothing.log10_p.is_sign_positive());
        let one = Evidence::of_scores(&null, &[1.0]).unwrap();
        assert!(one.log10_p > -0.6 && one.effect == 0.75 && one.interval.low == -0.25, "{one:?}");
        assert_eq!((one.null.kind, one.null.mean, one.null.sd), (NullKind::Betting, Some(0.25), None));
    }
}
