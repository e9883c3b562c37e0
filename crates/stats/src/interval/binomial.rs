//! Intervals of a proportion.

use super::ends::{Interval, check_level};
use crate::special::{beta_quantile, normal_quantile};

/// Exact interval of a rate (Clopper & Pearson 1934): covers with probability at least `level`. \[0, 1\] without trials.
///
/// # Panics
/// When `hits` > `n` or `level` is outside (0, 1).
pub fn clopper_pearson(hits: u64, n: u64, level: f64) -> Interval {
    assert!(hits <= n, "{hits} hits in {n} trials");
    clopper_pearson_real(hits as f64, n as f64, level)
}

/// The same for counts that need not be whole: effective ones.
pub(super) fn clopper_pearson_real(hits: f64, n: f64, level: f64) -> Interval {
    check_level(level);
    let tail = 0.5 * (1.0 - level);
    let low = if hits <= 0.0 { 0.0 } else { beta_quantile(hits, n - hits + 1.0, tail) };
    let high = if hits >= n { 1.0 } else { 1.0 - beta_quantile(n - hits, hits + 1.0, tail) };
    Interval { low, high }
}

/// Interval of a rate by inverting the score test (Wilson 1927): covers `level` on average. \[0, 1\] without trials.
///
/// # Panics
/// When `hits` > `n` or `level` is outside (0, 1).
pub fn wilson(hits: u64, n: u64, level: f64) -> Interval {
    assert!(hits <= n, "{hits} hits in {n} trials");
    check_level(level);
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let z = normal_quantile(0.5 * (1.0 + level));
    let (x, n) = (hits as f64, n as f64);
    let centre = x + 0.5 * z * z;
    let half = z * (x * (n - x) / n + 0.25 * z * z).sqrt();
    // The ends at 0 and n hits are 0 and 1 but for rounding.
    let low = if x == 0.0 { 0.0 } else { (centre - half) / (n + z * z) };
    let high = if x == n { 1.0 } else { (centre + half) / (n + z * z) };
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tail::log10_binomial_sf;

    fn near(found: Interval, low: f64, high: f64, within: f64) {
        assert!((found.low - low).abs() < within && (found.high - high).abs() < within, "{found:?}");
    }

    #[test]
    fn three_of_ten() {
        // R: binom.test(3, 10), prop.test(3, 10, correct = FALSE).
        near(clopper_pearson(3, 10, 0.95), 0.066_739_51, 0.652_452_85, 2e-8);
        near(wilson(3, 10, 0.95), 0.107_791_27, 0.603_221_85, 2e-8);
    }

    #[test]
    fn ends_without_hits_or_trials() {
        near(clopper_pearson(0, 10, 0.95), 0.0, 1.0 - libm::pow(0.025_f64, 0.1), 1e-12);
        near(clopper_pearson(10, 10, 0.95), libm::pow(0.025_f64, 0.1), 1.0, 1e-12);
        for interval in [clopper_pearson(0, 0, 0.95), wilson(0, 0, 0.95)] {
            assert_eq!(interval, Interval { low: 0.0, high: 1.0 });
        }
        assert_eq!(wilson(0, 5, 0.95).low, 0.0);
        assert_eq!(wilson(5, 5, 0.95).high, 1.0);
    }

    #[test]
    fn clopper_pearson_covers_at_least_its_level_exactly() {
        // Coverage at a rate is a finite sum of binomial terms: no simulation.
        let n = 40;
        let intervals: Vec<Interval> = (0..=n).map(|hits| clopper_pearson(hits, n, 0.9)).collect();
        for rate in [0.003, 0.05, 0.25, 0.5, 0.77] {
            let above = |hits: u64| if hits > n { 0.0 } else { libm::pow(10f64, log10_binomial_sf(hits, n, rate)) };
            let covered: f64 = (0..=n).filter(|&h| intervals[h as usize].contains(rate)).map(|h| above(h) - above(h + 1)).sum();
            assert!((0.9..0.995 + 0.005 * f64::from(u8::from(rate < 0.1))).contains(&covered), "{rate}: {covered}");
        }
    }

    proptest! {
        #[test]
        fn clopper_pearson_inverts_the_exact_tails(n in 1u64..5000, share in 0.0f64..1.0) {
            let hits = ((share * n as f64) as u64).clamp(1, n);
            let interval = clopper_pearson(hits, n, 0.95);
            prop_assert!(interval.contains(hits as f64 / n as f64));
            let tail = libm::pow(10f64, log10_binomial_sf(hits, n, interval.low));
            prop_assert!((tail / 0.025 - 1.0).abs() < 1e-8, "{}", tail);
            prop_assert!(wilson(hits, n, 0.95).contains(hits as f64 / n as f64));
        }
    }
}
