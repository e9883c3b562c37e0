//! How likely a repeated audit is to find again what one audit found, and how large a discrete test really is.

use crate::power::critical_hits;
use crate::tail::{log10_binomial_sf, log10_normal_sf};

/// Weight of the decoy keys from which on they no longer matter.
const CERTAIN: f64 = 1.0 - 1e-9;

/// Step of the sum over z.
const STEP: f64 = 0.01;

/// Decoy keys that a repeated audit tries too: the true key counts as found only if few of them do as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoys {
    /// Keys tried.
    pub keys: u64,
    /// How many of them may do as well as the true key.
    pub allowed: u64,
}

impl Decoys {
    /// `keys` decoys whose rank p, (1 + exceed) / (1 + keys), has to be at most `alpha`; `None` if it never is.
    pub fn at(keys: u64, alpha: f64) -> Option<Self> {
        // 1000 x 0.001 must be 1 although neither number is exact
        let exceed = (alpha * (keys as f64 + 1.0) + 1e-9).floor() - 1.0;
        (exceed >= 0.0).then_some(Self { keys, allowed: exceed as u64 })
    }

    /// P\[at most `allowed` of them do as well\], where each does with probability 10^`log10_p`.
    fn beaten(self, log10_p: f64) -> f64 {
        let p = libm::pow(10f64, log10_p);
        match self.allowed {
            allowed if allowed >= self.keys => 1.0,
            _ if p <= 0.0 => 1.0,
            _ if p >= 1.0 => 0.0,
            allowed => 1.0 - libm::pow(10f64, log10_binomial_sf(allowed + 1, self.keys, p)),
        }
    }
}

/// Size that the exact test of Binomial(n, gamma) attains at nominal `alpha`: P\[X >= c\], where c is the smallest count whose p is at
/// most alpha. 0 where no count is enough. A discrete test is smaller than its nominal size, with few units much smaller.
///
/// # Panics
/// When `gamma` or `alpha` is outside (0, 1).
pub fn attained_size(n: u64, gamma: f64, alpha: f64) -> f64 {
    critical_hits(n, gamma, alpha).map_or(0.0, |critical| libm::pow(10f64, log10_binomial_sf(critical, n, gamma)))
}

/// Probability that another `n` units hit at `rate` are found by the exact test of Binomial(n, gamma) at `alpha`, and by its decoys:
///
/// sum over x >= c of P\[Bin(n, rate) = x\] P\[Bin(keys, P\[Bin(n, gamma) >= x\]) <= allowed\],
///
/// with c the critical count. Without decoys the second factor is 1. `rate` is taken as known; beyond 0 and 1 it is moved there.
///
/// # Panics
/// When `gamma` or `alpha` is outside (0, 1).
pub fn again_binomial(n: u64, gamma: f64, rate: f64, alpha: f64, decoys: Option<Decoys>) -> f64 {
    let Some(critical) = critical_hits(n, gamma, alpha) else { return 0.0 };
    let reached = |hits: u64| match rate {
        _ if hits > n => 0.0,
        rate if rate >= 1.0 => 1.0,
        rate if rate <= 0.0 || rate.is_nan() => 0.0,
        rate => libm::pow(10f64, log10_binomial_sf(hits, n, rate)),
    };
    let Some(decoys) = decoys else { return reached(critical) };
    // summed by parts: the weight rises to 1 long before the counts end
    let (mut sum, mut weight) = (0.0, 0.0);
    for hits in critical..=n {
        let next = decoys.beaten(log10_binomial_sf(hits, n, gamma));
        let still = reached(hits);
        sum += still * (next - weight);
        weight = next;
        if weight > CERTAIN || still == 0.0 {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

/// The same by the normal approximation, where the effect is `z` of its standard errors: P\[Z + z >= c\] with P\[Z >= c\] = alpha, and for
/// decoys the integral over t >= c of the density of Z + z at t times P\[Bin(keys, P\[Z >= t\]) <= allowed\].
///
/// # Panics
/// When `z` is not finite or `alpha` is outside (0, 1).
pub fn again_normal(z: f64, alpha: f64, decoys: Option<Decoys>) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is outside (0, 1)");
    let critical = upper_normal_quantile(alpha);
    let reached = |t: f64| libm::pow(10f64, log10_normal_sf(t - z));
    let Some(decoys) = decoys else { return reached(critical) };
    let mut weight = decoys.beaten(log10_normal_sf(critical));
    let mut sum = reached(critical) * weight;
    let mut t = critical;
    while weight <= CERTAIN && t < 40.0 {
        let next = decoys.beaten(log10_normal_sf(t + STEP));
        sum += reached(t + 0.5 * STEP) * (next - weight);
        (weight, t) = (next, t + STEP);
    }
    sum.clamp(0.0, 1.0)
}

/// z with P\[Z > z\] = `p`, by bisection: slow, exact enough, and needed a few times per report.
///
/// # Panics
/// When `p` is outside (0, 1).
pub fn upper_normal_quantile(p: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0, "probability {p} is outside (0, 1)");
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if log10_normal_sf(middle) > libm::log10(p) { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::random::unit;

    /// P[Bin(n, rate) = k] for all k, by the recurrence over trials: no tail function is asked.
    fn law(n: u64, rate: f64) -> Vec<f64> {
        let mut law = vec![1.0];
        for _ in 0..n {
            let mut next = vec![0.0; law.len() + 1];
            for (k, &p) in law.iter().enumerate() {
                next[k] += p * (1.0 - rate);
                next[k + 1] += p * rate;
            }
            law = next;
        }
        law
    }

    fn tail(law: &[f64], from: usize) -> f64 {
        law[from..].iter().sum()
    }

    #[test]
    fn attained_size_is_that_of_enumeration() {
        for (n, gamma, alpha) in
            [(16, 1.0 / 256.0, 0.001), (16, 1.0 / 256.0, 0.05), (40, 0.25, 0.001), (200, 0.5, 0.01), (3, 0.5, 0.001)]
        {
            let law = law(n, gamma);
            let critical = (0..law.len()).find(|&k| tail(&law, k) <= alpha);
            let expected = critical.map_or(0.0, |k| tail(&law, k));
            let found = attained_size(n, gamma, alpha);
            assert!((found - expected).abs() <= 1e-12 + 1e-9 * expected, "{n} {gamma} {alpha}: {found} {expected}");
            assert!(found <= alpha);
        }
        // sixteen keys at 1 in 256 are a much smaller test than 0.001 says
        assert!((attained_size(16, 1.0 / 256.0, 0.001) / 3.2e-5 - 1.0).abs() < 0.02);
        assert_eq!(attained_size(3, 0.5, 0.001), 0.0);
    }

    /// Share of `draws` repeated audits that find the mark again, drawn unit by unit and decoy by decoy.
    fn simulated(n: u64, gamma: f64, rate: f64, alpha: f64, decoys: Option<Decoys>, draws: u32) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(20);
        let hits = |rate: f64, rng: &mut ChaCha8Rng| (0..n).filter(|_| unit(rng) < rate).count() as u64;
        let mut found = 0;
        for _ in 0..draws {
            let own = hits(rate, &mut rng);
            let by_p = log10_binomial_sf(own, n, gamma) <= libm::log10(alpha);
            let by_rank = decoys
                .is_none_or(|decoys| (0..decoys.keys).filter(|_| hits(gamma, &mut rng) >= own).count() as u64 <= decoys.allowed);
            found += u32::from(by_p && by_rank);
        }
        f64::from(found) / f64::from(draws)
    }

    #[test]
    fn what_is_found_again_is_what_simulated_audits_find() {
        let decoys = Decoys::at(99, 0.01);
        assert_eq!(decoys, Some(Decoys { keys: 99, allowed: 0 }));
        for (rate, decoys) in [(0.35, None), (0.45, None), (0.35, decoys), (0.45, decoys), (0.25, decoys)] {
            let (n, gamma, alpha, draws) = (80, 0.25, 0.01, 4000);
            let found = simulated(n, gamma, rate, alpha, decoys, draws);
            let exact = again_binomial(n, gamma, rate, alpha, decoys);
            let deviation = (exact * (1.0 - exact) / f64::from(draws)).sqrt();
            assert!((found - exact).abs() < 4.0 * deviation + 1e-3, "rate {rate}, {decoys:?}: {found} simulated, {exact}");
        }
    }

    #[test]
    fn the_normal_approximation_nears_the_exact_probability() {
        let (n, gamma, alpha) = (20_000, 0.25, 0.001);
        let spread = (gamma * (1.0 - gamma) / n as f64).sqrt();
        for decoys in [None, Decoys::at(999, 0.001)] {
            for z in [2.0, 3.5, 4.5] {
                let exact = again_binomial(n, gamma, gamma + z * spread, alpha, decoys);
                let normal = again_normal(z, alpha, decoys);
                assert!((exact - normal).abs() < 0.02, "z {z}, {decoys:?}: {exact} {normal}");
            }
        }
        // a result exactly at the level is found again half the time
        assert!((again_normal(upper_normal_quantile(0.001), 0.001, None) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_ends_are_certain() {
        assert_eq!(again_binomial(3, 0.5, 1.0, 0.001, None), 0.0, "no count of three is enough");
        assert_eq!(again_binomial(16, 1.0 / 256.0, 1.0, 0.001, None), 1.0);
        assert!(again_binomial(16, 1.0 / 256.0, 1.2, 0.001, Decoys::at(999, 0.001)) > 1.0 - 1e-9);
        assert_eq!(again_binomial(16, 1.0 / 256.0, -0.1, 0.001, None), 0.0);
        assert_eq!(Decoys::at(99, 0.001), None, "99 decoys never reach 0.001");
    }
}
