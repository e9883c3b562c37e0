//! Families of tests (methods 0.8).
//!
//! p-values come and go as log10; every function keeps them finite and at most 0.

use crate::tail::log10_gamma_sf;

/// log10 p of the hypothesis that no test of the family found anything, from *independent* p-values (Fisher 1932):
/// -2 sum ln p ~ chi-squared(2k). Discrete p-values make it conservative, dependent ones break it; then use [`bonferroni`].
///
/// 0 for an empty family.
///
/// # Panics
/// When a log10 p is NaN, infinite or above 0.
pub fn fisher(log10_ps: &[f64]) -> f64 {
    check(log10_ps);
    if log10_ps.is_empty() {
        return 0.0;
    }
    let sum: f64 = log10_ps.iter().sum::<f64>().max(-f64::MAX / 4.0);
    log10_gamma_sf(log10_ps.len() as f64, -sum * std::f64::consts::LN_10)
}

/// Holm-adjusted log10 p-values (Holm 1979), in the order given: reject those at most log10 alpha, and the chance of any
/// false rejection is at most alpha, whatever the dependence.
///
/// # Panics
/// When a log10 p is NaN, infinite or above 0.
pub fn holm(log10_ps: &[f64]) -> Vec<f64> {
    check(log10_ps);
    let mut order: Vec<usize> = (0..log10_ps.len()).collect();
    order.sort_by(|&a, &b| log10_ps[a].total_cmp(&log10_ps[b]));
    let mut adjusted = vec![0.0; log10_ps.len()];
    let mut worst = f64::NEG_INFINITY;
    for (step, &index) in order.iter().enumerate() {
        let remaining = (log10_ps.len() - step) as f64;
        worst = worst.max(times(log10_ps[index], remaining));
        adjusted[index] = worst;
    }
    adjusted
}

/// Bonferroni-adjusted log10 p-values: each times the size of the family, at most 1.
///
/// # Panics
/// When a log10 p is NaN, infinite or above 0.
pub fn bonferroni(log10_ps: &[f64]) -> Vec<f64> {
    check(log10_ps);
    log10_ps.iter().map(|&log10_p| times(log10_p, log10_ps.len() as f64)).collect()
}

fn times(log10_p: f64, factor: f64) -> f64 {
    (log10_p + libm::log10(factor)).min(0.0)
}

fn check(log10_ps: &[f64]) {
    for &log10_p in log10_ps {
        assert!(log10_p.is_finite() && log10_p <= 0.0, "{log10_p} is not the log10 of a p-value");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log10(ps: &[f64]) -> Vec<f64> {
        ps.iter().map(|p| libm::log10(*p)).collect()
    }

    #[test]
    fn fisher_of_methods_appendix_a() {
        let p = libm::pow(10f64, fisher(&log10(&[0.03, 0.2, 0.5])));
        assert!((p / 0.071_046_642_4 - 1.0).abs() < 1e-9, "{p}");
        assert_eq!(fisher(&[]), 0.0);
        assert!((fisher(&[-3.25]) + 3.25).abs() < 1e-13, "one test is itself");
        assert!(fisher(&[-100_000.0, 0.0]) < -99_990.0);
        assert!(fisher(&[-f64::MAX, -f64::MAX]).is_finite());
    }

    #[test]
    fn holm_of_a_textbook_family() {
        // Sorted .01 x 4, .02 x 3, .03 x 2, .2 x 1; the third may not fall below the second.
        let adjusted = holm(&log10(&[0.03, 0.01, 0.2, 0.02]));
        for (found, expected) in adjusted.iter().zip([0.06, 0.04, 0.2, 0.06]) {
            assert!((libm::pow(10f64, *found) - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[-100_000.0]), [-100_000.0]);
        assert_eq!(bonferroni(&[-1.0, -0.1])[1], 0.0);
    }

    #[test]
    #[should_panic(expected = "not the log10 of a p-value")]
    fn nan_is_refused() {
        holm(&[-1.0, f64::NAN]);
    }

    proptest! {
        #[test]
        fn holm_is_monotone_and_between_raw_and_bonferroni(raw in prop::collection::vec(-400.0f64..0.0, 1..12)) {
            let (adjusted, crude) = (holm(&raw), bonferroni(&raw));
            for i in 0..raw.len() {
                prop_assert!(adjusted[i] >= raw[i] && adjusted[i] <= crude[i] && adjusted[i] <= 0.0);
                for j in 0..raw.len() {
                    prop_assert!(raw[i] > raw[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }

        #[test]
        fn fisher_falls_when_any_p_falls(raw in prop::collection::vec(-50.0f64..-0.01, 1..6), less in 0.1f64..5.0) {
            let mut stronger = raw.clone();
            stronger[0] -= less;
            prop_assert!(fisher(&stronger) < fisher(&raw));
        }
    }
}
