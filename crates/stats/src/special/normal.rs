//! Quantile of the standard normal law.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The z with P\[Z <= z\] = `p`, for 0 < p < 1; within 1e-14 of its size, or of 1e-300.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 { -lower_quantile(1.0 - p) } else { lower_quantile(p) }
}

/// The same for p of at most a half: a start that is good to 4.5e-4 (Abramowitz & Stegun 1964, 26.2.23), then Halley's steps.
fn lower_quantile(p: f64) -> f64 {
    let t = (-2.0 * libm::log(p)).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut z = numerator / denominator - t;
    for _ in 0..3 {
        let density = libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt();
        let step = (0.5 * libm::erfc(-z * FRAC_1_SQRT_2) - p) / density;
        z -= step / (1.0 + 0.5 * z * step);
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    #[test]
    fn quantiles_of_the_tables() {
        for (p, z) in [(0.975, 1.959_963_984_540_054), (0.5, 0.0), (0.999, 3.090_232_306_167_813)] {
            assert!((normal_quantile(p) - z).abs() < 1e-14, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn quantiles_agree_with_statrs_from_the_far_tail_to_the_other() {
        for exponent in 1..300 {
            let p = libm::pow(10.0, -f64::from(exponent));
            let (found, want) = (normal_quantile(p), Normal::standard().inverse_cdf(p));
            assert!((found / want - 1.0).abs() < 1e-9, "{p}: {found} {want}");
            let back = 0.5 * libm::erfc(-found * FRAC_1_SQRT_2);
            assert!((back / p - 1.0).abs() < 1e-12 * (1.0 + found * found), "{p}: {found} has {back}");
        }
        for percent in 1..100 {
            let p = f64::from(percent) / 100.0;
            assert!((normal_quantile(p) - Normal::standard().inverse_cdf(p)).abs() < 1e-9, "{p}");
        }
    }
}
