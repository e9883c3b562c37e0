//! E-process of bounded scores.

use super::process::EProcess;
use super::trajectory::Trajectory;
use crate::special::ln_sum_exp;

/// Evidence that scores in \[0, 1\] are larger than `mean` on average, unit by unit.
///
/// E_n = 1/J Σ_j Π_i (1 + λ_j (s_i - mean)): a bettor who starts with 1 and puts the same share of his wealth on every score, for each of J
/// shares (Waudby-Smith and Ramdas 2024, *Estimating means of bounded random variables by betting*, JRSS B, section 4). Scores need be
/// neither of one law nor independent: it is enough that each has at most this mean given those before it. Where scores vary little it is far
/// tighter than Hoeffding's bound, which supposes the largest variance that there can be.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundedEProcess {
    mean: f64,
    bets: Vec<f64>,
    ln_wealth: Vec<f64>,
    path: Trajectory,
}

/// Number of bets.
const BETS: i32 = 18;

/// Share of the wealth that the boldest bet can lose with one score of 0.
const BOLDEST: f64 = 0.75;

impl BoundedEProcess {
    /// Against `mean`. A score of 0 costs the j-th bettor 0.75 / 2^(j / 2) of his wealth, j from 0 to 17: the best λ is effect over
    /// mean square, which may be anything, one within a factor of 2^(1 / 4) of it earns 97 % of what it earns, and 18 bettors cost 1.3 decades at
    /// most.
    ///
    /// # Panics
    /// When `mean` is outside (0, 1).
    pub fn new(mean: f64) -> BoundedEProcess {
        assert!(mean > 0.0 && mean < 1.0, "mean {mean} is outside (0, 1)");
        let bets = (0..BETS).map(|j| BOLDEST / mean * libm::exp2(-0.5 * f64::from(j))).collect();
        let ln_wealth = vec![-libm::log(f64::from(BETS)); BETS as usize];
        BoundedEProcess { mean, bets, ln_wealth, path: Trajectory::default() }
    }
}

impl EProcess for BoundedEProcess {
    fn push(&mut self, score: f64) {
        assert!((0.0..=1.0).contains(&score), "bounded score {score}");
        for (ln_wealth, bet) in self.ln_wealth.iter_mut().zip(&self.bets) {
            *ln_wealth += libm::log1p(bet * (score - self.mean));
        }
        self.path.advance(1, ln_sum_exp(&self.ln_wealth));
    }

    fn log10_e(&self) -> f64 {
        self.path.log10_e()
    }

    fn max_log10_e(&self) -> f64 {
        self.path.max_log10_e()
    }

    fn first_crossing(&self, alpha: f64) -> Option<u64> {
        self.path.first_crossing(alpha)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random::unit;

    /// A score of mean 1/4 whose spread depends on the one before: 0 or 1, or between 0.2 and 0.3.
    fn next(rng: &mut ChaCha8Rng, last: f64) -> f64 {
        let drawn = unit(rng);
        if last < 0.25 { f64::from(u8::from(drawn < 0.25)) } else { 0.2 + 0.1 * drawn }
    }

    #[test]
    fn one_step_is_fair_whatever_came_before() {
        let mut now = BoundedEProcess::new(0.25);
        [0.0, 0.3, 1.0, 0.26].into_iter().for_each(|score| now.push(score));
        for law in [[(0.0, 0.75), (1.0, 0.25)], [(0.2, 0.5), (0.3, 0.5)], [(0.1, 0.75), (0.7, 0.25)]] {
            let mean: f64 = law
                .into_iter()
                .map(|(score, p)| {
                    let mut next = now.clone();
                    next.push(score);
                    p * libm::exp((next.log10_e() - now.log10_e()) * std::f64::consts::LN_10)
                })
                .sum();
            assert!((mean - 1.0).abs() < 1e-12, "{law:?}: {mean}");
        }
    }

    #[test]
    fn null_paths_cross_no_more_often_than_alpha() {
        let (paths, steps, alpha) = (3000, 400, 0.05);
        let mut rng = ChaCha8Rng::seed_from_u64(14);
        let mut crossed = 0;
        for _ in 0..paths {
            let (mut process, mut score) = (BoundedEProcess::new(0.25), 0.25);
            for _ in 0..steps {
                score = next(&mut rng, score);
                process.push(score);
            }
            crossed += i32::from(process.first_crossing(alpha).is_some());
        }
        // Three standard errors above alpha; fixed seed, a valid process fails one seed in 700.
        let share = f64::from(crossed) / f64::from(paths);
        assert!(share <= alpha + 3.0 * (alpha * (1.0 - alpha) / f64::from(paths)).sqrt(), "{share}");
        assert!(crossed > 0);
    }

    #[test]
    fn evidence_stays_finite_and_no_bet_loses_all() {
        let mut process = BoundedEProcess::new(0.25);
        (0..100_000).for_each(|_| process.push(1.0));
        assert!(process.log10_e() > 50_000.0 && process.log10_e().is_finite());
        let mut process = BoundedEProcess::new(0.9);
        (0..100_000).for_each(|_| process.push(0.0));
        assert!(process.log10_e() < -50.0 && process.log10_e().is_finite() && process.max_log10_e() == 0.0);
    }

    #[test]
    #[should_panic(expected = "bounded score")]
    fn a_score_above_one_is_a_defect() {
        BoundedEProcess::new(0.5).push(1.5);
    }
}
