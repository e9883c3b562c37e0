//! Families of tests (methods 0.8).
//!
//! p-values come and go as log10; every function keeps them finite and at most 0.

use std::f64::consts::PI;

use crate::special::{ln_1m_exp, ln_to_log10_p};
use crate::tail::log10_gamma_sf;

/// log10 p of the hypothesis that no test of the family found anything, from *independent* p-values (Fisher 1932):
/// -2 sum ln p ~ chi-squared(2k). Discrete p-values make it conservative, dependent ones break it; then use
/// [`cauchy`] or [`bonferroni`].
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

/// log10 p of the same hypothesis from p-values that may depend on each other: several tests of one student's text, or several keys
/// (Liu and Xie 2020, *Cauchy combination test*, JASA 115). T = mean of cot(pi p) is compared with a standard Cauchy variable. Exact for
/// independent p-values; for dependent ones right as results become small, and no more than an approximation: where a level has to hold, use
/// [`bonferroni`]. A p of 1 (a discrete test without a hit) has no cotangent, and Bonferroni's result is then given.
///
/// 0 for an empty family.
///
/// # Panics
/// When a log10 p is NaN, infinite or above 0.
pub fn cauchy(log10_ps: &[f64]) -> f64 {
    check(log10_ps);
    let (k, smallest) = (log10_ps.len() as f64, log10_ps.iter().copied().fold(0.0, f64::min));
    if log10_ps.contains(&0.0) || log10_ps.is_empty() {
        return times(smallest, k.max(1.0));
    }
    // below 1e-300 the cotangent is 1 / (pi p) to all digits, and only p as small count
    if smallest < -300.0 {
        let mean = log10_ps.iter().map(|log10_p| libm::exp10(smallest - log10_p)).sum::<f64>() / k;
        return (smallest - libm::log10(mean)).max(-f64::MAX);
    }
    let mean = log10_ps.iter().map(|&log10_p| 1.0 / libm::tan(PI * libm::exp10(log10_p))).sum::<f64>() / k;
    // the upper tail, to all digits however large T is
    ln_to_log10_p(libm::log(libm::atan2(1.0, mean) / PI))
}

/// log10 of 1 - (1 - p)^k: the smallest of `k` independent p-values, corrected (Sidak 1967), without the underflow of the formula as it stands.
///
/// # Panics
/// When `log10_p` is NaN, infinite or above 0.
pub fn sidak(log10_p: f64, k: u64) -> f64 {
    check(&[log10_p]);
    let ln_p = log10_p * std::f64::consts::LN_10;
    // ln(1 - p), which is -p to all digits where p is tiny
    let ln_others = ln_1m_exp(ln_p) * k as f64;
    let ln = if ln_p < -50.0 { ln_p + libm::log(k as f64) } else { ln_1m_exp(ln_others) };
    ln_to_log10_p(ln.min(0.0))
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

    /// Digits by 50-digit arithmetic (Python, mpmath): arccot(mean of cot(pi p)) / pi.
    #[test]
    fn cauchy_of_golden_families() {
        for (ps, p) in CAUCHY {
            let found = libm::pow(10f64, cauchy(&log10(ps)));
            assert!((found / p - 1.0).abs() < 1e-9, "{ps:?}: {found:e}");
        }
        assert_eq!(cauchy(&[]), 0.0);
        assert!((cauchy(&[-3.25]) + 3.25).abs() < 1e-12, "one test is itself");
        assert!((cauchy(&[-12.0]) + 12.0).abs() < 1e-12);
        // far below what a float holds, the smallest counts alone
        assert!((cauchy(&[-100_000.0, -0.3]) - (-100_000.0 + libm::log10(2.0))).abs() < 1e-9);
        assert!((cauchy(&[-400.0, -400.0]) + 400.0).abs() < 1e-9, "the same test twice is one test");
        assert!((cauchy(&[-305.0, -2.0, -0.1]) - (-305.0 + libm::log10(3.0))).abs() < 1e-9);
        assert!(cauchy(&[-f64::MAX, -1.0]).is_finite());
        // a p of 1: Bonferroni
        assert_eq!((cauchy(&[-9.0, 0.0]), cauchy(&[0.0, 0.0])), (bonferroni(&[-9.0, 0.0])[0], 0.0));
    }

    /// (p-values, Cauchy combination).
    const CAUCHY: [(&[f64], f64); 5] = [
        (&[0.03, 0.2, 0.5], 0.07825924620789),
        (&[0.01, 0.01, 0.01], 0.01),
        (&[1e-6, 0.9, 0.4], 3.000025944333e-6),
        (&[1e-12, 1e-13, 0.2], 2.727272727272e-13),
        (&[0.97, 0.9, 0.6], 0.9327206112556),
    ];

    /// Methods B 2: three_bricks' correction for five payloads, and where it underflowed.
    #[test]
    fn sidak_of_the_authors_of_three_bricks() {
        let p = libm::pow(10f64, sidak(libm::log10(1.344_670_536_1e-3), 5));
        assert!((p / 6.705_295_589_3e-3 - 1.0).abs() < 1e-10, "{p:e}");
        for log10_p in [-17.0, -300.0, -100_000.0] {
            assert!((sidak(log10_p, 5) - log10_p - libm::log10(5.0)).abs() < 1e-11, "{log10_p}");
        }
        assert_eq!((sidak(0.0, 5), sidak(-3.0, 1)), (0.0, -3.0));
        assert!((sidak(-21.0, 1) + 21.0).abs() < 1e-12 && (sidak(-22.0, 1) + 22.0).abs() < 1e-12);
    }

    /// Dependent p-values of one normal variable each, half of it in common: Cauchy keeps its level, and finds what all share.
    #[test]
    fn cauchy_keeps_its_level_for_dependent_tests() {
        use rand::SeedableRng;

        use crate::random::unit;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(21);
        let mut normal = || (-2.0 * libm::log(unit(&mut rng))).sqrt() * libm::cos(2.0 * PI * unit(&mut rng));
        let mut small = 0;
        for _ in 0..4_000 {
            let common = normal();
            let ps: Vec<f64> = (0..5).map(|_| crate::tail::log10_normal_sf((common + normal()) / 2.0_f64.sqrt())).collect();
            small += u32::from(cauchy(&ps) <= -2.0);
        }
        // Binomial(4000, 0.01) exceeds 62 with probability below 1e-3; the approximation is close to nominal at 1 %
        assert!((15..=62).contains(&small), "{small}");
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
