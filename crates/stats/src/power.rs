//! What an audit could have shown, and what a watermark should show.

use crate::tail::log10_binomial_sf;

/// Smallest number of hits in `n` units whose exact p under Binomial(n, gamma) is at most `alpha`; None when not even `n` hits are enough.
///
/// # Panics
/// When `gamma` or `alpha` is outside (0, 1).
pub fn critical_hits(n: u64, gamma: f64, alpha: f64) -> Option<u64> {
    assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is outside (0, 1)");
    let enough = |hits: u64| log10_binomial_sf(hits, n, gamma) <= libm::log10(alpha);
    if !enough(n) {
        return None;
    }
    // No hits have p = 1, n hits are enough: bisect.
    let (mut short, mut critical) = (0, n);
    while critical - short > 1 {
        let middle = short + (critical - short) / 2;
        if enough(middle) { critical = middle } else { short = middle }
    }
    Some(critical)
}

/// Smallest effect (rate above gamma) that an audit of `n` units would have shown at `alpha` with probability `power`, by the exact
/// binomial test. None when no rate would have been shown, because `n` is too small for alpha.
///
/// # Panics
/// When `gamma`, `alpha` or `power` is outside (0, 1).
pub fn detectable_effect(n: u64, gamma: f64, alpha: f64, power: f64) -> Option<f64> {
    assert!(power > 0.0 && power < 1.0, "power {power} is outside (0, 1)");
    let critical = critical_hits(n, gamma, alpha)?;
    let shown = |rate: f64| log10_binomial_sf(critical, n, rate) >= libm::log10(power);
    // A test may by luck have this power at gamma itself only if power <= alpha.
    if shown(gamma) {
        return Some(0.0);
    }
    let (mut below, mut above) = (gamma, 1.0);
    while above - below > 1e-12 {
        let middle = 0.5 * (below + above);
        if shown(middle) { above = middle } else { below = middle }
    }
    Some(above - gamma)
}

/// Mass of the green list after logits of green tokens rise by `delta`: e^δ G / (1 + (e^δ - 1) G), for mass `green` before
/// (Kirchenbauer et al. 2023; methods a1). Exact at temperature 1 without truncation.
///
/// # Panics
/// When `green` is outside \[0, 1\] or `delta` is NaN.
pub fn green_mass(green: f64, delta: f64) -> f64 {
    assert!((0.0..=1.0).contains(&green), "green mass {green} is outside [0, 1]");
    assert!(!delta.is_nan(), "delta is NaN");
    if green == 0.0 || green == 1.0 {
        return green;
    }
    // Divided by e^δ, so that a hard list (large delta) does not overflow.
    green / (green + (1.0 - green) * libm::exp(-delta))
}

/// z to expect of `units` scored units whose mean green mass under the served law is `green_rate`: √T (E\[G'\] - γ) / √(γ (1 - γ)) (methods a1).
///
/// # Panics
/// When `gamma` is outside (0, 1).
pub fn predicted_z(units: u64, green_rate: f64, gamma: f64) -> f64 {
    assert!(gamma > 0.0 && gamma < 1.0, "gamma {gamma} is outside (0, 1)");
    (units as f64).sqrt() * (green_rate - gamma) / (gamma * (1.0 - gamma)).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tail::log10_normal_sf;

    #[test]
    fn critical_hits_of_small_tests() {
        // P[Bin(8, 1/2) >= 7] = 9/256, >= 6 is 37/256.
        assert_eq!(critical_hits(8, 0.5, 0.05), Some(7));
        assert_eq!(critical_hits(8, 0.5, 0.001), None);
        assert_eq!(critical_hits(0, 0.5, 0.05), None);
        assert_eq!(critical_hits(1, 0.001, 0.01), Some(1));
    }

    #[test]
    fn effect_of_one_decisive_unit() {
        // Any hit is critical: power 1 - (1 - rate)^n.
        let effect = detectable_effect(3, 0.001, 0.01, 0.8).unwrap();
        assert!((effect + 0.001 - (1.0 - libm::pow(0.2_f64, 1.0 / 3.0))).abs() < 1e-11, "{effect}");
        assert_eq!(detectable_effect(3, 0.5, 0.001, 0.8), None);
    }

    #[test]
    fn effect_of_many_units_is_the_normal_one() {
        let (n, gamma) = (1_000_000, 0.25);
        let effect = detectable_effect(n, gamma, 0.001, 0.8).unwrap();
        let normal = (3.090_232_306 + 0.841_621_234) * (gamma * (1.0 - gamma) / n as f64).sqrt();
        assert!((effect / normal - 1.0).abs() < 0.005, "{effect} {normal}");
    }

    #[test]
    fn green_mass_is_the_softmax_of_raised_logits() {
        let (logits, green, delta) = ([0.3, -1.0, 2.0, 0.0], [true, false, false, true], 2.0);
        let mass = |raise: f64| {
            let weights: Vec<f64> = (0..4).map(|i| libm::exp(logits[i] + if green[i] { raise } else { 0.0 })).collect();
            (0..4).filter(|&i| green[i]).map(|i| weights[i]).sum::<f64>() / weights.iter().sum::<f64>()
        };
        assert!((green_mass(mass(0.0), delta) - mass(delta)).abs() < 1e-14);
        assert_eq!(
            (green_mass(0.3, 0.0), green_mass(0.3, 1e4), green_mass(0.0, 1e4), green_mass(1.0, -1e4)),
            (0.3, 1.0, 0.0, 1.0)
        );
    }

    #[test]
    fn predicted_z_is_the_score_of_the_expected_count() {
        assert!((predicted_z(200, 75.0 / 200.0, 0.25) - 4.082_482_905).abs() < 1e-9);
        assert!((libm::pow(10f64, log10_normal_sf(predicted_z(200, 0.375, 0.25))) / 2.227_854_53e-5 - 1.0).abs() < 1e-8);
    }

    proptest! {
        #[test]
        fn detectable_effect_has_its_power_and_no_less(n in 20u64..5000, gamma in 0.05f64..0.6, power in 0.5f64..0.95) {
            let critical = critical_hits(n, gamma, 0.001);
            if let (Some(critical), Some(effect)) = (critical, detectable_effect(n, gamma, 0.001, power)) {
                prop_assert!(log10_binomial_sf(critical, n, gamma) <= -3.0 && log10_binomial_sf(critical - 1, n, gamma) > -3.0);
                let reached = |effect: f64| libm::pow(10f64, log10_binomial_sf(critical, n, gamma + effect));
                prop_assert!(effect > 0.0 && reached(effect) >= power - 1e-9 && reached(effect * 0.999) < power);
            }
        }
    }
}
