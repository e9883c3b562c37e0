//! Two independent proportions.

use crate::{
    interval::{Interval, wilson},
    tail::log10_hypergeometric_sf,
};

/// log10 p that rate a is not above rate b: P\[X >= hits_a\] given all margins (Fisher's exact test, one-sided).
///
/// # Panics
/// When there are more hits than trials.
pub fn fisher_exact_one_sided(hits_a: u64, n_a: u64, hits_b: u64, n_b: u64) -> f64 {
    assert!(hits_a <= n_a && hits_b <= n_b, "{hits_a} hits in {n_a} and {hits_b} hits in {n_b} trials");
    log10_hypergeometric_sf(hits_a, n_a + n_b, hits_a + hits_b, n_a)
}

/// Interval of rate a minus rate b at `level`, from the two Wilson intervals (Newcombe 1998, method 10).
///
/// # Panics
/// When there are more hits than trials, no trials, or `level` is outside (0, 1).
pub fn difference_interval(hits_a: u64, n_a: u64, hits_b: u64, n_b: u64, level: f64) -> Interval {
    assert!(n_a > 0 && n_b > 0, "a rate of no trials");
    let (a, b) = (hits_a as f64 / n_a as f64, hits_b as f64 / n_b as f64);
    let (of_a, of_b) = (wilson(hits_a, n_a, level), wilson(hits_b, n_b, level));
    Interval {
        low: (a - b - libm::hypot(a - of_a.low, of_b.high - b)).max(-1.0),
        high: (a - b + libm::hypot(of_a.high - a, b - of_b.low)).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lady_tasting_tea() {
        // 3 of 4 against 1 of 4: 17/70; 4 of 4 against 0 of 4: 1/70.
        assert!((libm::pow(10f64, fisher_exact_one_sided(3, 4, 1, 4)) - 17.0 / 70.0).abs() < 1e-13);
        assert!((libm::pow(10f64, fisher_exact_one_sided(4, 4, 0, 4)) - 1.0 / 70.0).abs() < 1e-13);
        assert_eq!(fisher_exact_one_sided(0, 4, 4, 4), 0.0);
        assert_eq!(fisher_exact_one_sided(0, 0, 0, 0), 0.0);
    }

    #[test]
    fn newcombe_table_two() {
        // Newcombe (1998), Table II: 56/70 - 48/80, method 10: 0.0524 to 0.3339; 9/10 - 3/10: 0.1705 to 0.8090.
        for (a, m, b, n, low, high) in [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090)] {
            let interval = difference_interval(a, m, b, n, 0.95);
            assert!((interval.low - low).abs() < 6e-5 && (interval.high - high).abs() < 6e-5, "{interval:?}");
        }
    }
}
