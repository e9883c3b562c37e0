//! One-sided Kolmogorov-Smirnov test of p-values.

use serde::{Deserialize, Serialize};

use crate::special::{ln_binomial_term, ln_to_log10_p};

/// log10 P\[D+ >= d\] for the largest lead D+ = max_i (i/n - U_(i)) of the empirical distribution of `n` uniform values over the uniform
/// law (Birnbaum & Tingey 1951). Exact for every `n`; all terms are positive, so no digit is lost. 0 for d <= 0.
///
/// # Panics
/// When `n` is 0 or `d` is outside \[-1, 1\].
pub fn log10_one_sided_sf(n: u64, d: f64) -> f64 {
    assert!(n > 0, "a distance between no values and a law");
    assert!((-1.0..=1.0).contains(&d), "a distance of {d}");
    if d <= 0.0 {
        return 0.0;
    }
    let size = n as f64;
    if d >= 1.0 {
        // n values at 0: beyond any number but not impossible to compute with
        return ln_to_log10_p(f64::NEG_INFINITY);
    }
    // sum over j of d C(n, j) (1 - d - j/n)^(n - j) (d + j/n)^(j - 1); the term of j = 0 is (1 - d)^n
    let last = (size * (1.0 - d)).floor();
    let (mut largest, mut sum, mut j) = (f64::NEG_INFINITY, 0.0, 0.0);
    while j <= last && j < size {
        let x = d + j / size;
        if x >= 1.0 {
            break;
        }
        let ln_term = if j == 0.0 { size * libm::log1p(-d) } else { ln_binomial_term(j, size - j, x) + libm::log(d / x) };
        if ln_term > largest {
            sum = sum * libm::exp(largest - ln_term) + 1.0;
            largest = ln_term;
        } else {
            sum += libm::exp(ln_term - largest);
        }
        j += 1.0;
    }
    ln_to_log10_p(largest + libm::log(sum))
}

/// How far p-values are from uniform ones, each way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Most by which the share of p-values at or below a number exceeds that number: p-values that are too small.
    pub too_small: f64,
    /// log10 of the chance that valid p-values exceed by as much: exact for uniform ones, never too small for larger or discrete ones.
    pub log10_p_too_small: f64,
    /// Most by which it falls short: p-values that are too large.
    pub too_large: f64,
    /// log10 of the chance that uniform p-values fall short by as much.
    pub log10_p_too_large: f64,
    /// The larger of the two distances: the statistic of Kolmogorov and Smirnov.
    pub statistic: f64,
    /// log10 of at most its p-value: twice the chance of the larger distance.
    pub log10_p: f64,
}

impl Distance {
    /// Of p-values, in any order; `None` for none.
    ///
    /// # Panics
    /// When a value is outside \[0, 1\].
    pub fn of(p: &[f64]) -> Option<Distance> {
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "a p-value outside [0, 1]");
        let (mut sorted, size) = (p.to_vec(), p.len() as f64);
        sorted.sort_by(f64::total_cmp);
        let (mut too_small, mut too_large) = (0.0_f64, 0.0_f64);
        for (below, p) in sorted.iter().enumerate() {
            too_small = too_small.max((below + 1) as f64 / size - p);
            too_large = too_large.max(p - below as f64 / size);
        }
        let n = p.len() as u64;
        (n > 0).then(|| {
            let [log10_p_too_small, log10_p_too_large] = [too_small, too_large].map(|d| log10_one_sided_sf(n, d));
            let log10_p = (log10_p_too_small.min(log10_p_too_large) + std::f64::consts::LOG10_2).min(0.0);
            let statistic = too_small.max(too_large);
            Distance { too_small, log10_p_too_small, too_large, log10_p_too_large, statistic, log10_p }
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn sf(n: u64, d: f64) -> f64 {
        libm::pow(10f64, log10_one_sided_sf(n, d))
    }

    /// In closed form: 1 - d for one value, 1 - d - d^2 for two and d up to 1/2 (then (1 - d)^2).
    #[test]
    fn small_samples_are_exact() {
        for d in [0.01, 0.2, 0.5, 0.77, 0.99] {
            assert!((sf(1, d) - (1.0 - d)).abs() < 1e-13, "{d}");
        }
        for d in [0.1, 0.3, 0.499] {
            assert!((sf(2, d) - (1.0 - d - d * d)).abs() < 1e-13, "{d}: {}", sf(2, d));
        }
        assert!((sf(2, 0.8) - 0.04).abs() < 1e-13);
        assert_eq!((log10_one_sided_sf(5, 0.0), log10_one_sided_sf(5, -0.3)), (0.0, 0.0));
        assert!(log10_one_sided_sf(5, 1.0).is_finite());
    }

    /// Smirnov's table, n 10: the one-sided 5 % point is 0.36866, the 1 % point 0.45662 (Miller 1956).
    #[test]
    fn known_critical_values() {
        for (n, d, p) in [(10, 0.368_66, 0.05), (10, 0.456_62, 0.01), (20, 0.264_73, 0.05), (100, 0.120_67, 0.05)] {
            assert!((sf(n, d) / p - 1.0).abs() < 1e-3, "{n} {d}: {}", sf(n, d));
        }
        // exp(-2 n d^2) bounds it from above (Massart 1990) and is its limit
        for (n, d) in [(1_000, 0.05), (100_000, 0.004), (1_000_000, 0.01)] {
            let (exact, bound) = (log10_one_sided_sf(n, d), -2.0 * n as f64 * d * d / std::f64::consts::LN_10);
            assert!(exact <= bound && exact > bound - 1.0 - 0.04 * bound.abs(), "{n} {d}: {exact}, {bound}");
        }
    }

    /// 4,000 samples of 30 uniform values: the share with p at most 0.05 is Binomial(4000, 0.05), four standard deviations each way.
    #[test]
    fn uniform_values_reach_each_level_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut hits = [0.0; 2];
        for _ in 0..4_000 {
            let p: Vec<f64> = (0..30).map(|_| rng.random()).collect();
            let found = Distance::of(&p).unwrap();
            for (hits, log10_p) in hits.iter_mut().zip([found.log10_p_too_small, found.log10_p_too_large]) {
                *hits += f64::from(u8::from(log10_p <= libm::log10(0.05)));
            }
            assert!(found.statistic >= found.too_small && found.log10_p <= 0.0);
        }
        assert!(hits.iter().all(|hits: &f64| (hits - 200.0).abs() < 56.0), "{hits:?}");
    }

    #[test]
    fn each_way_of_being_wrong_is_told_apart() {
        let spread: Vec<f64> = (0..200).map(|i| (f64::from(i) + 0.5) / 200.0).collect();
        let even = Distance::of(&spread).unwrap();
        assert!((even.too_small - 0.0025).abs() < 1e-12 && (even.too_large - 0.0025).abs() < 1e-12 && even.log10_p == 0.0);
        let small = Distance::of(&spread.iter().map(|p| p * p).collect::<Vec<_>>()).unwrap();
        assert!(small.log10_p_too_small < -9.0 && small.log10_p_too_large > -0.1, "{small:?}");
        let large = Distance::of(&spread.iter().map(|p| p.sqrt()).collect::<Vec<_>>()).unwrap();
        assert!(large.log10_p_too_large < -9.0 && large.log10_p_too_small > -0.1, "{large:?}");
        assert_eq!(large.statistic, large.too_large);
        assert_eq!(Distance::of(&[]), None);
        assert!(Distance::of(&[0.0; 3]).unwrap().log10_p_too_small < -300.0);
    }
}
