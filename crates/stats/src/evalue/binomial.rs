//! E-process of a count.

use super::process::EProcess;
use super::trajectory::Trajectory;
use crate::special::{ln_beta_tails, ln_binomial_term, ln_to_log10_p};

/// Evidence that hits come more often than at rate gamma, unit by unit (methods 0.5).
///
/// E_n = ∫ over (γ, 1\] of θ^g (1-θ)^(n-g) / (γ^g (1-γ)^(n-g)) dπ(θ), with π a Beta prior truncated to (γ, 1\]: in closed form a
/// ratio of truncated beta integrals, kept in log space. Null: each unit is a hit with probability gamma (or less) given those before.
#[derive(Debug, Clone, PartialEq)]
pub struct BinomialEProcess {
    gamma: f64,
    a: f64,
    b: f64,
    hits: u64,
    ln_prior: f64,
    /// ln of the truncated ratio after all units so far.
    ln_ratio: f64,
    /// Estimate of its error, which single steps add to and may multiply.
    error: f64,
    path: Trajectory,
}

/// Error of `ln_ratio`, absolute and relative, beyond which it is computed whole again: far below what anyone reads off an
/// e-value.
const MAX_ERROR: f64 = 1e-10;

/// Longest block that is gone through step by step: the whole ratio takes some tens of steps at least, and many more near the mean.
const LONGEST_STEPPED: u64 = 64;

impl BinomialEProcess {
    /// With the uniform prior on (gamma, 1\]: within a factor of about √n of the best rate in hindsight, for every rate.
    ///
    /// # Panics
    /// When `gamma` is outside (0, 1).
    pub fn new(gamma: f64) -> BinomialEProcess {
        BinomialEProcess::with_prior(gamma, 1.0, 1.0)
    }

    /// With the prior Beta(a, b) truncated to (gamma, 1\].
    ///
    /// # Panics
    /// When `gamma` is outside (0, 1), or `a` or `b` is not positive and finite.
    pub fn with_prior(gamma: f64, a: f64, b: f64) -> BinomialEProcess {
        assert!(gamma > 0.0 && gamma < 1.0, "gamma {gamma} is outside (0, 1)");
        assert!(a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite(), "beta prior ({a}, {b})");
        let (ln_prior, error) = ln_truncated_ratio(a, b, gamma);
        BinomialEProcess { gamma, a, b, hits: 0, ln_prior, ln_ratio: ln_prior, error, path: Trajectory::default() }
    }

    /// Takes one unit.
    ///
    /// Steps along the recurrences of R(a, b) = ∫ over (γ, 1\] of θ^(a-1) (1-θ)^(b-1) dθ / (γ^a (1-γ)^b), which follow from
    /// integration by parts: (a + b) γ R(a + 1, b) = a R(a, b) + 1 and (a + b) (1-γ) R(a, b + 1) = b R(a, b) - 1. The second one
    /// cancels, so the error is followed, and R is computed whole where it has grown.
    pub fn push(&mut self, hit: bool) {
        let misses = (self.path.units() - self.hits) as f64;
        let (a, b) = (self.a + self.hits as f64, self.b + misses);
        let inverse = libm::exp(-self.ln_ratio);
        let (old, new, rate) = if hit { (a, a + inverse, self.gamma) } else { (b, b - inverse, 1.0 - self.gamma) };
        let size = self.ln_ratio.abs().max(1.0);
        let error = self.error * (old / new) + 4.0 * f64::EPSILON * size;
        if new > 0.0 && error <= MAX_ERROR * size {
            self.error = error;
            self.ln_ratio += libm::log(new / ((a + b) * rate));
            self.hits += u64::from(hit);
            self.path.advance(1, self.ln_ratio - self.ln_prior);
        } else {
            self.take(u64::from(hit), 1, None);
        }
    }

    /// Takes `n` units with `hits` hits at once and looks only after them: still valid, with crossings known to the block.
    ///
    /// # Panics
    /// When `hits` > `n`.
    pub fn push_block(&mut self, hits: u64, n: u64) {
        assert!(hits <= n, "{hits} hits in {n} trials");
        if n == 0 {
            return;
        }
        let stepped = if n <= LONGEST_STEPPED { self.stepped(hits, n) } else { None };
        self.take(hits, n, stepped);
    }

    /// Takes a block after which the ratio is `stepped`, or is computed whole.
    fn take(&mut self, hits: u64, n: u64, stepped: Option<(f64, f64)>) {
        self.hits += hits;
        let misses = self.path.units() + n - self.hits;
        let whole = || ln_truncated_ratio(self.a + self.hits as f64, self.b + misses as f64, self.gamma);
        (self.ln_ratio, self.error) = stepped.unwrap_or_else(whole);
        self.path.advance(n, self.ln_ratio - self.ln_prior);
    }

    /// ln of the ratio after a block, and its error, by the recurrences of [`push`](Self::push): hits first, as the ratio is then large
    /// where misses cancel. `None` where the error would grow too large, or the ratio beyond all numbers.
    fn stepped(&self, hits: u64, n: u64) -> Option<(f64, f64)> {
        let (mut a, mut b) = (self.a + self.hits as f64, self.b + (self.path.units() - self.hits) as f64);
        // the ratio by what it is now, so that one logarithm is enough
        let (mut ratio, one, mut error) = (1.0, libm::exp(-self.ln_ratio), self.error);
        for step in 0..n {
            let (old, new, rate) = if step < hits {
                (a * ratio, a * ratio + one, self.gamma)
            } else {
                (b * ratio, b * ratio - one, 1.0 - self.gamma)
            };
            error = error * (old / new) + 4.0 * f64::EPSILON;
            ratio = new / ((a + b) * rate);
            if step < hits { a += 1.0 } else { b += 1.0 }
        }
        let ln_ratio = self.ln_ratio + libm::log(ratio);
        let size = ln_ratio.abs().max(1.0);
        error += 4.0 * f64::EPSILON * size;
        // what is no number is not below either
        (ratio > 0.0 && ratio.is_normal() && error >= 0.0 && error <= MAX_ERROR * size).then_some((ln_ratio, error))
    }

    /// Units taken so far.
    pub fn units(&self) -> u64 {
        self.path.units()
    }

    /// log10 of the e-value after all units so far; 0 before the first.
    pub fn log10_e(&self) -> f64 {
        self.path.log10_e()
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

/// ln of ∫ over (γ, 1\] of θ^(a-1) (1-θ)^(b-1) dθ / (γ^a (1-γ)^b): numerator and denominator cancel to some decades, so they
/// are never formed apart. With it an estimate of its error, rounding in the largest term.
fn ln_truncated_ratio(a: f64, b: f64, gamma: f64) -> (f64, f64) {
    let term = ln_binomial_term(a, b, gamma);
    let ratio = libm::log((a + b) / (a * b)) - term + ln_beta_tails(a, b, gamma).upper;
    (ratio, 1e-13 + 8.0 * f64::EPSILON * term.abs())
}

impl EProcess for BinomialEProcess {
    /// A score above 1/2 is a hit.
    fn push(&mut self, score: f64) {
        BinomialEProcess::push(self, score > 0.5);
    }

    fn log10_e(&self) -> f64 {
        BinomialEProcess::log10_e(self)
    }

    fn max_log10_e(&self) -> f64 {
        BinomialEProcess::max_log10_e(self)
    }

    fn first_crossing(&self, alpha: f64) -> Option<u64> {
        BinomialEProcess::first_crossing(self, alpha)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{random::unit, tail::log10_binomial_sf};

    fn log10_e(gamma: f64, hits: u64, n: u64) -> f64 {
        let mut process = BinomialEProcess::new(gamma);
        process.push_block(hits, n);
        process.log10_e()
    }

    #[test]
    fn equals_the_integral_it_stands_for() {
        // Midpoint rule with 400,000 panels on the uniform mixture over (1/4, 1].
        let (gamma, hits, n) = (0.25, 7, 12);
        let panels = 400_000;
        let sum: f64 = (0..panels)
            .map(|i| gamma + (1.0 - gamma) * (f64::from(i) + 0.5) / f64::from(panels))
            .map(|theta| (theta / gamma).powi(hits) * ((1.0 - theta) / (1.0 - gamma)).powi(n - hits))
            .sum::<f64>()
            / f64::from(panels);
        assert!((log10_e(gamma, hits as u64, n as u64) - libm::log10(sum)).abs() < 1e-9);
    }

    #[test]
    fn single_steps_are_the_closed_form() {
        for gamma in [1e-6, 0.03, 0.25, 0.5, 0.97_f64] {
            for rate in [0.0, gamma / 5.0, 0.9 * gamma, gamma, (2.0 * gamma).min(0.99), 1.0] {
                let mut rng = ChaCha8Rng::seed_from_u64(5);
                let mut process = BinomialEProcess::new(gamma);
                for n in 1..=3_000 {
                    process.push(unit(&mut rng) < rate);
                    let whole = log10_e(gamma, process.hits, n);
                    let slack = 1e-10 * whole.abs().max(1.0);
                    assert!(
                        (process.log10_e() - whole).abs() < slack,
                        "gamma {gamma}, rate {rate}: {} against {whole}",
                        process.log10_e()
                    );
                }
            }
        }
    }

    /// Blocks as they come from units of 30 bits, with rates below, at and above the null's.
    #[test]
    fn short_blocks_are_the_closed_form() {
        for gamma in [1e-6, 0.03, 0.25, 0.5, 0.97_f64] {
            for rate in [0.0, gamma / 5.0, 0.9 * gamma, gamma, (1.1 * gamma).min(0.99), 1.0] {
                for length in [2_u64, 30, 64] {
                    let mut rng = ChaCha8Rng::seed_from_u64(6);
                    let mut process = BinomialEProcess::new(gamma);
                    for block in 1..=300 {
                        let hits = (0..length).filter(|_| unit(&mut rng) < rate).count() as u64;
                        process.push_block(hits, length);
                        let whole = log10_e(gamma, process.hits, block * length);
                        let slack = 1e-10 * whole.abs().max(1.0);
                        let is = process.log10_e();
                        assert!((is - whole).abs() < slack, "gamma {gamma}, rate {rate}, {length}: {is} against {whole}");
                    }
                }
            }
        }
    }

    #[test]
    fn expectation_under_the_null_is_one_exactly() {
        for (gamma, n) in [(0.25, 30u64), (0.5, 101), (0.03, 60)] {
            let sum: f64 = (0..=n)
                .map(|hits| {
                    libm::exp(
                        ln_binomial_term(hits as f64, (n - hits) as f64, gamma)
                            + log10_e(gamma, hits, n) * std::f64::consts::LN_10,
                    )
                })
                .sum();
            assert!((sum - 1.0).abs() < 1e-11, "{gamma} {n}: {sum}");
        }
    }

    #[test]
    fn null_paths_cross_no_more_often_than_alpha() {
        let (paths, steps) = (2000, 1000);
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut crossed = [0u32; 3];
        let alphas = [0.2, 0.05, 0.01];
        for _ in 0..paths {
            let mut process = BinomialEProcess::new(0.25);
            for _ in 0..steps {
                process.push(unit(&mut rng) < 0.25);
            }
            for (count, alpha) in crossed.iter_mut().zip(alphas) {
                *count += u32::from(process.first_crossing(alpha).is_some());
            }
        }
        for (count, alpha) in crossed.into_iter().zip(alphas) {
            // Three standard errors above alpha; fixed seed, a valid process fails one seed in 700 per alpha.
            let share = f64::from(count) / f64::from(paths);
            assert!(share <= alpha + 3.0 * (alpha * (1.0 - alpha) / f64::from(paths)).sqrt(), "{share} at {alpha}");
            assert!(count > 0, "a process that never crosses tests nothing");
        }
    }

    #[test]
    fn power_stays_within_a_few_decades_of_the_fixed_n_test() {
        let (hits, n) = (1500, 5000);
        let (e, p) = (log10_e(0.25, hits, n), log10_binomial_sf(hits, n, 0.25));
        assert!(e > 10.0 && e < -p && e > -p - 4.0, "log10 e {e}, log10 p {p}");
    }

    #[test]
    fn crossing_takes_as_many_units_as_information_theory_says() {
        let (paths, mut sum) = (60, 0);
        for stream in 0..paths {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            rng.set_stream(stream);
            let mut process = BinomialEProcess::new(0.25);
            (0..5000).for_each(|_| process.push(unit(&mut rng) < 0.35));
            assert!(process.log10_p() <= -3.0 && process.units() == 5000);
            sum += process.first_crossing(1e-3).unwrap();
        }
        // Wald: (ln 1000 + 2 to 3 nats for the mixture) / KL(0.35 || 0.25), 0.0247 nats, is 360 to 400 units; one path has sd 180, the
        // mean of 60 about 25.
        let mean = sum as f64 / paths as f64;
        assert!((285.0..475.0).contains(&mean), "{mean}");
    }

    #[test]
    fn far_evidence_stays_finite() {
        // No hits: E = 1 / (n + 1), the prior mass nearest to gamma.
        let none = log10_e(0.25, 0, 1_000_000);
        assert!((none + libm::log10(1_000_001f64)).abs() < 1e-6, "{none}");
        let all = log10_e(0.25, 1_000_000, 1_000_000);
        // All hits: E = (1 - γ^(n+1)) / ((n + 1) (1 - γ) γ^n).
        let expected = 1e6 * libm::log10(4f64) - libm::log10(1_000_001f64) - libm::log10(0.75f64);
        assert!((all - expected).abs() < 1e-6, "{all} {expected}");
    }

    proptest! {
        #[test]
        fn one_step_is_fair(gamma in 0.02f64..0.98, n in 0u64..800, share in 0.0f64..1.0, a in 0.3f64..5.0, b in 0.3f64..5.0) {
            let hits = (share * (n + 1) as f64) as u64;
            let mut now = BinomialEProcess::with_prior(gamma, a, b);
            now.push_block(hits, n);
            let (mut hit, mut miss) = (now.clone(), now.clone());
            hit.push(true);
            miss.push(false);
            let growth = |next: &BinomialEProcess| libm::pow(10f64, next.log10_e() - now.log10_e());
            prop_assert!((gamma * growth(&hit) + (1.0 - gamma) * growth(&miss) - 1.0).abs() < 1e-9);
        }
    }
}
