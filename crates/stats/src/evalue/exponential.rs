//! E-process of exponential scores.

use super::process::EProcess;
use super::trajectory::Trajectory;
use crate::special::{ln_sum_exp, ln_to_log10_p};

/// Evidence that scores are larger than Exp(1), unit by unit: Gumbel watermarks (methods 0.5, a3).
///
/// E_n = Σ_j w_j Π_i λ_j e^((1 - λ_j) s_i): a mixture of the likelihood ratios of Exp(λ_j) over Exp(1), mean 1 / λ_j over mean 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialEProcess {
    /// Of each rate: its logarithm, and 1 less it.
    bets: Vec<[f64; 2]>,
    ln_ratios: Vec<f64>,
    /// Logarithms of 0, 1, ... up to the number of rates.
    ln_counts: Vec<f64>,
    path: Trajectory,
}

/// Terms so far below the largest, in nats, are less than a thousandth of it together, of up to a thousand rates.
const FAR: f64 = 14.0;

/// ln of what they and rounding may add to a sum of others.
const NEARLY: f64 = 1e-3;

impl Default for ExponentialEProcess {
    fn default() -> ExponentialEProcess {
        ExponentialEProcess::new()
    }
}

impl ExponentialEProcess {
    /// With equal weights on 1 - λ = 7/8, 3/4, 1/2, 1/4, ... 1/128: geometric in the effect, because students show effects of
    /// a percent as well as of a factor, and each extra rate costs little (ln 9 nats in all).
    pub fn new() -> ExponentialEProcess {
        let halvings = (1..=7).map(|j| 1.0 - 0.5_f64.powi(j));
        ExponentialEProcess::with_rates([0.125, 0.25].into_iter().chain(halvings).collect())
    }

    /// With equal weights on the given rates.
    ///
    /// # Panics
    /// When there is no rate, or one is outside (0, 1).
    pub fn with_rates(rates: Vec<f64>) -> ExponentialEProcess {
        assert!(!rates.is_empty(), "no rate to bet on");
        assert!(rates.iter().all(|&rate| rate > 0.0 && rate < 1.0), "rates {rates:?} are not all inside (0, 1)");
        let ln_weight = -libm::log(rates.len() as f64);
        let bets: Vec<[f64; 2]> = rates.into_iter().map(|rate| [libm::log(rate), 1.0 - rate]).collect();
        let ln_counts = (0..=bets.len()).map(|count| libm::log(count as f64)).collect();
        ExponentialEProcess { ln_ratios: vec![ln_weight; bets.len()], bets, ln_counts, path: Trajectory::default() }
    }

    /// Takes one score.
    ///
    /// # Panics
    /// When `score` is negative or not finite.
    pub fn push(&mut self, score: f64) {
        assert!(score >= 0.0 && score.is_finite(), "exponential score {score}");
        let mut largest = f64::NEG_INFINITY;
        for (ln_ratio, [ln_rate, less]) in self.ln_ratios.iter_mut().zip(&self.bets) {
            *ln_ratio += ln_rate + less * score;
            largest = if *ln_ratio > largest { *ln_ratio } else { largest };
        }
        // what is far below the largest adds next to nothing, and most sums in unmarked text are no new maximum
        let near = self.ln_ratios.iter().filter(|ln_ratio| **ln_ratio > largest - FAR).count();
        if self.path.is_below_maximum(largest + self.ln_counts[near] + NEARLY) {
            self.path.pass(1);
        } else {
            self.path.advance(1, ln_sum_exp(&self.ln_ratios));
        }
    }

    /// Units taken so far.
    pub fn units(&self) -> u64 {
        self.path.units()
    }

    /// log10 of the e-value after all units so far; 0 before the first.
    pub fn log10_e(&self) -> f64 {
        if self.units() == 0 { 0.0 } else { Trajectory::log10_of(ln_sum_exp(&self.ln_ratios)) }
    }

    /// Largest log10 e-value so far, at least 0. Not itself an e-value; its inverse is the sequential p-value.
    pub fn max_log10_e(&self) -> f64 {
        self.path.max_log10_e()
    }

    /// log10 of the sequential p-value min(1, 1 / max E): valid whenever one chooses to stop.
    pub fn log10_p(&self) -> f64 {
        ln_to_log10_p(-self.max_log10_e() * std::f64::consts::LN_10)
    }

    /// Number of units after which the e-value first was at least 1 / alpha.
    ///
    /// # Panics
    /// When `alpha` is outside (0, 1).
    pub fn first_crossing(&self, alpha: f64) -> Option<u64> {
        self.path.first_crossing(alpha)
    }
}

impl EProcess for ExponentialEProcess {
    fn push(&mut self, score: f64) {
        ExponentialEProcess::push(self, score);
    }

    fn log10_e(&self) -> f64 {
        ExponentialEProcess::log10_e(self)
    }

    fn max_log10_e(&self) -> f64 {
        ExponentialEProcess::max_log10_e(self)
    }

    fn first_crossing(&self, alpha: f64) -> Option<u64> {
        ExponentialEProcess::first_crossing(self, alpha)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random::unit;

    #[test]
    fn one_step_is_fair() {
        let mut now = ExponentialEProcess::new();
        [0.2, 3.0, 1.1].into_iter().for_each(|score| now.push(score));
        // ∫ e^-s E(now, s) ds / E(now), midpoint rule; the slowest term decays like e^(-s/8).
        let (panels, end) = (40_000, 400.0);
        let width = end / f64::from(panels);
        let mean: f64 = (0..panels)
            .map(|i| (f64::from(i) + 0.5) * width)
            .map(|score| {
                let mut next = now.clone();
                next.push(score);
                libm::exp((next.log10_e() - now.log10_e()) * std::f64::consts::LN_10 - score) * width
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    }

    /// What is skipped changes nothing: values, maximum and crossings are those of every sum.
    #[test]
    fn sums_that_are_skipped_are_no_maximum() {
        for mean in [0.5, 1.0, 1.05, 1.5, 4.0] {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut process = ExponentialEProcess::new();
            let mut every = Trajectory::default();
            for _ in 0..3_000 {
                process.push(-mean * libm::log(unit(&mut rng)));
                every.advance(1, ln_sum_exp(&process.ln_ratios));
                assert_eq!((process.log10_e(), process.max_log10_e()), (every.log10_e(), every.max_log10_e()), "mean {mean}");
            }
            assert_eq!(process.units(), every.units());
            for alpha in [0.5, 0.1, 0.01, 0.001] {
                assert_eq!(process.first_crossing(alpha), every.first_crossing(alpha), "mean {mean}");
            }
        }
    }

    #[test]
    fn null_paths_cross_no_more_often_than_alpha() {
        let (paths, steps, alpha) = (3000, 400, 0.05);
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        let mut crossed = 0;
        for _ in 0..paths {
            let mut process = ExponentialEProcess::new();
            (0..steps).for_each(|_| process.push(-libm::log(unit(&mut rng))));
            crossed += i32::from(process.first_crossing(alpha).is_some());
        }
        // Three standard errors above alpha; fixed seed, a valid process fails one seed in 700.
        let share = f64::from(crossed) / f64::from(paths);
        assert!(share <= alpha + 3.0 * (alpha * (1.0 - alpha) / f64::from(paths)).sqrt(), "{share}");
        assert!(crossed > 0);
    }

    #[test]
    fn larger_scores_are_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(13);
        let mut process = ExponentialEProcess::new();
        (0..2000).for_each(|_| process.push(-1.25 * libm::log(unit(&mut rng))));
        // KL(Exp(0.8) || Exp(1)) = 0.25 - ln 1.25 = 0.027 nats a unit: 23 decades, less the mixture; sd of a path is about 5.
        assert!(process.log10_e() > 5.0, "{}", process.log10_e());
        assert!(process.first_crossing(1e-3).is_some_and(|units| units < 1500));
        assert_eq!((process.units(), process.log10_p()), (2000, -process.max_log10_e()));
    }

    #[test]
    fn far_evidence_stays_finite() {
        let mut process = ExponentialEProcess::new();
        (0..100_000).for_each(|_| process.push(20.0));
        assert!(process.log10_e() > 500_000.0 && process.log10_e().is_finite());
        let mut process = ExponentialEProcess::default();
        (0..100_000).for_each(|_| process.push(0.0));
        assert!(process.log10_e() < -300.0 && process.log10_e().is_finite());
        assert_eq!(process.log10_p(), 0.0);
    }
}
