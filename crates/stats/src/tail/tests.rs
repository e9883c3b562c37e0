//! The tails against golden vectors, exact arithmetic, independent sums and `statrs`.

use proptest::prelude::*;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Gamma, Hypergeometric, Normal};

use super::*;

fn check(found: f64, expected: f64, relative: f64, what: &str) {
    assert!(found.is_finite() && found <= 0.0, "{what}: {found}");
    assert!((found - expected).abs() <= relative * expected.abs().max(1e-300), "{what}: {found}, expected {expected}");
}

/// `log10_p` against a p-value printed with as many digits as `relative` says.
fn check_p(log10_p: f64, p: f64, relative: f64, what: &str) {
    let found = libm::pow(10f64, log10_p);
    assert!((found / p - 1.0).abs() <= relative, "{what}: {found:e}, expected {p:e}");
}

#[test]
fn counts_of_methods_appendix_a() {
    let cases =
        [(75, 200, 0.25, 6.152707236e-5), (60, 200, 0.25, 0.0624722311), (30, 50, 0.5, 0.1013193756), (5, 8, 0.5, 0.36328125)];
    for (hits, n, gamma, p) in cases {
        check_p(log10_binomial_sf(hits, n, gamma), p, 1e-9, &format!("{hits} of {n}"));
    }
    let beyond =
        [(75, 200, 0.25, 3.297355381e-5), (60, 200, 0.25, 0.0453885601), (30, 50, 0.5, 0.0594602263), (5, 8, 0.5, 0.14453125)];
    for (hits, n, gamma, p) in beyond {
        check_p(log10_binomial_sf(hits + 1, n, gamma), p, 2e-9, &format!("more than {hits} of {n}"));
    }
    for (z, p) in [(4.082482905, 2.22785453e-5), (1.632993162, 0.0512352174), (0.5_f64.sqrt(), 0.2397500611)] {
        check_p(log10_normal_sf(z), p, 1e-8, &format!("z {z}"));
    }
    for (shape, x, p) in [(100.0, 140.0, 1.6105717471e-4), (50.0, 50.0, 0.48119168453), (200.0, 260.0, 4.7500124443e-5)] {
        check_p(log10_gamma_sf(shape, x), p, 1e-10, &format!("gamma {shape} at {x}"));
    }
}

#[test]
fn radioactivity_counts_of_methods_appendix_b() {
    for (hits, n, p) in [(64_239, 248_201, 2.62431e-24), (37_701, 142_801, 2.84323e-34)] {
        check_p(log10_binomial_sf(hits, n, 0.25), p, 2e-6, &format!("{hits} of {n}"));
    }
}

/// What facebookresearch/radioactive-watermark committed (19c6dc9): of an open and a closed clean student no evidence, and for the two
/// p-values of the supervised one the only numbers of hits that give all the digits printed (methods B 1).
#[test]
fn p_values_committed_by_the_authors_of_radioactivity_belong_to_one_count_each() {
    for (hits, n, p) in [(64_239, 248_201, 2.62431e-24), (37_701, 142_801, 2.84323e-34)] {
        let off = |hits| (libm::pow(10f64, log10_binomial_sf(hits, n, 0.25)) / p - 1.0).abs();
        assert!(off(hits) < 2e-6 && off(hits - 1) > 0.02 && off(hits + 1) > 0.02, "{hits} of {n}");
    }
    // mean .25011 of 216,292 distinct units, p .455: the mean is printed to five digits, one hit is 5e-6 of it
    let (mean, n) = (0.25011, 216_292_u64);
    let hits = (mean * n as f64).round() as u64;
    let [more, fewer] = [hits + 1, hits - 1].map(|hits| libm::pow(10f64, log10_binomial_sf(hits, n, 0.25)));
    assert!(more < 0.4555 && fewer > 0.4545, "{more} {fewer}");
    // the z of the mean .25881 of the supervised student agrees with its exact p to a tenth of a decade
    let z = (0.25881 - 0.25) * (248_201.0_f64 / (0.25 * 0.75)).sqrt();
    assert!((log10_normal_sf(z) + 23.58).abs() < 0.15, "{z}");
}

#[test]
fn hoeffding_of_methods_appendix_a() {
    check_p(log10_hoeffding(1_000, 0.55, 0.5), 6.737947e-3, 1e-6, "n 1000, mean .55");
    check_p(log10_normal_sf(0.05 * (1_000.0_f64 / 0.25).sqrt()), 7.827011e-4, 1e-6, "the same by the central limit");
    assert_eq!((log10_hoeffding(10, 0.4, 0.5), log10_hoeffding(0, 0.9, 0.5)), (0.0, 0.0));
    check(log10_hoeffding(10_000_000, 1.0, 0.0), -2e7 * std::f64::consts::LOG10_E, 1e-14, "far out");
}

// Reference digits of the next two tests: sums of terms in 60-digit decimal arithmetic (Python `decimal`, coefficients by `math.comb`).

#[test]
fn binomial_tail_holds_down_to_1e_minus_156808() {
    let cases = [
        (64_239, 248_201, 0.25, -23.580_984_595_365_44),
        (37_701, 142_801, 0.25, -33.546_188_310_558_45),
        (290_000, 300_000, 0.25, -156_808.214_537_141_8),
        (150_000, 300_000, 0.1, -66_557.410_353_764_64),
        (1, 300, 0.001, -0.586_209_261_356_382_7),
        (290, 300, 0.5, -72.148_261_643_277_95),
    ];
    for (hits, n, gamma, expected) in cases {
        check(log10_binomial_sf(hits, n, gamma), expected, 2e-12, &format!("{hits} of {n}"));
    }
}

#[test]
fn gamma_and_normal_tails_hold_far_out() {
    let gamma = [
        (100.0, 300_000.0, -129_902.079_427_072_67),
        (5000.0, 9000.0, -462.967_318_266_899_5),
        (20_000.0, 21_000.0, -11.765_769_656_036_766),
    ];
    for (shape, x, expected) in gamma {
        check(log10_gamma_sf(shape, x), expected, 2e-12, &format!("gamma {shape} at {x}"));
        check(log10_chi2_sf(2.0 * x, 2.0 * shape), expected, 2e-12, &format!("chi-squared, gamma {shape} at {x}"));
    }
    let normal = [
        (3.0, -2.869_699_035_929_369),
        (5.0, -6.542_645_672_390_654),
        (10.0, -23.118_053_405_486_076),
        (38.0, -315.539_789_703_962_5),
        (100.0, -2_173.871_542_869_034_4),
        (700.0, -106_405.392_255_157_2),
    ];
    for (z, expected) in normal {
        check(log10_normal_sf(z), expected, 2e-13, &format!("z {z}"));
    }
    assert!(log10_normal_sf(1e200).is_finite());
    assert_eq!(log10_normal_sf(-1e200), 0.0);
    check(log10_normal_sf(0.0), libm::log10(0.5_f64), 1e-15, "z 0");
}

/// Whole numbers of any size, little-endian digits in base 2^32; just enough to count coin tosses exactly.
fn add_scaled(a: &[u32], b: &[u32], scale: u64) -> Vec<u32> {
    let mut sum = Vec::new();
    let mut carry = 0u64;
    for i in 0..a.len().max(b.len()) {
        carry += u64::from(a.get(i).copied().unwrap_or(0)) + scale * u64::from(b.get(i).copied().unwrap_or(0));
        sum.push(carry as u32);
        carry >>= 32;
    }
    if carry > 0 {
        sum.push(carry as u32);
    }
    sum
}

fn log10_of(digits: &[u32]) -> f64 {
    let leading = digits.iter().rev().take(3).fold(0.0, |sum, &d| sum * 4_294_967_296.0 + f64::from(d));
    libm::log10(leading) + digits.len().saturating_sub(3) as f64 * 32.0 * std::f64::consts::LOG10_2
}

#[test]
fn binomial_tail_equals_exact_integer_counts() {
    // ways[g] = 4^n P[X >= g] for X ~ Binomial(n, 1/4), by ways(n + 1, g) = ways(n, g - 1) + 3 ways(n, g).
    let mut ways: Vec<Vec<u32>> = vec![vec![1]];
    for n in 1..=160u64 {
        let mut next = vec![add_scaled(&[], &ways[0], 4)];
        for g in 1..=n as usize {
            let misses: &[u32] = ways.get(g).map_or(&[], Vec::as_slice);
            next.push(add_scaled(&ways[g - 1], misses, 3));
        }
        ways = next;
        if n % 53 == 0 || n == 160 {
            for (g, count) in ways.iter().enumerate() {
                let exact = log10_of(count) - n as f64 * libm::log10(4f64);
                let found = log10_binomial_sf(g as u64, n, 0.25);
                assert!((found - exact).abs() < 5e-13 * (1.0 + exact.abs()), "{g} of {n}: {found} {exact}");
            }
        }
    }
}

#[test]
fn agrees_with_statrs_where_statrs_is_accurate() {
    for (n, gamma) in [(10u64, 0.5), (57, 0.25), (400, 0.03)] {
        let law = Binomial::new(gamma, n).unwrap();
        for hits in 1..=n.min(60) {
            let p = law.sf(hits - 1);
            if p > 1e-200 {
                check_p(log10_binomial_sf(hits, n, gamma), p, 1e-9, &format!("{hits} of {n}"));
            }
        }
    }
    for shape in [0.5, 3.0, 40.0, 700.0] {
        let law = Gamma::new(shape, 1.0).unwrap();
        for x in [0.1 * shape, shape, 1.3 * shape, shape + 30.0] {
            check_p(log10_gamma_sf(shape, x), law.sf(x), 1e-9, &format!("gamma {shape} at {x}"));
        }
    }
    for z in [-5.0, -1.0, -1e-9, 0.3, 2.0, 8.0, 30.0] {
        check_p(log10_normal_sf(z), Normal::standard().sf(z), 1e-9, &format!("z {z}"));
    }
    for (population, successes, draws) in [(50, 20, 15), (1000, 30, 500), (40, 30, 30)] {
        let law = Hypergeometric::new(population, successes, draws).unwrap();
        let least = (successes + draws).saturating_sub(population);
        for hits in least + 1..=successes.min(draws) {
            let p = law.sf(hits - 1);
            // statrs sums one minus the lower tail: trust it where that does not cancel.
            if p > 1e-4 {
                let what = format!("{hits} of {population} {successes} {draws}");
                check_p(log10_hypergeometric_sf(hits, population, successes, draws), p, 1e-9, &what);
            }
        }
        assert_eq!(log10_hypergeometric_sf(least, population, successes, draws), 0.0);
    }
}

#[test]
fn hypergeometric_far_tail_is_one_term() {
    // All 200 successes among 300 draws of 1000: product of (300 - i) / (1000 - i), added in log.
    let expected: f64 = (0..200).map(|i| libm::log10(f64::from(300 - i) / f64::from(1000 - i))).sum();
    check(log10_hypergeometric_sf(200, 1000, 200, 300), expected, 1e-12, "all hits");
}

#[test]
fn certain_events_have_log10_p_zero() {
    assert_eq!(log10_binomial_sf(0, 0, 0.25), 0.0);
    assert_eq!(log10_binomial_sf(0, 1_000_000, 0.25), 0.0);
    assert_eq!(log10_binomial_sf(1, 1_000_000, 0.25).to_bits(), 0.0_f64.to_bits());
    assert_eq!(log10_gamma_sf(3.0, -1.0), 0.0);
    assert_eq!(log10_hypergeometric_sf(0, 10, 0, 10), 0.0);
    assert_eq!(log10_hypergeometric_sf(4, 10, 4, 10), 0.0);
}

proptest! {
    #[test]
    fn tail_is_a_finite_probability_that_falls_with_the_count(n in 1u64..3000, share in 0.0f64..1.0, gamma in 0.001f64..0.999) {
        let hits = (share * n as f64) as u64;
        let here = log10_binomial_sf(hits, n, gamma);
        prop_assert!(here.is_finite() && here <= 0.0);
        // Equal only where both round to probability 1.
        let next = log10_binomial_sf(hits + 1, n.max(hits + 1), gamma);
        if hits < n {
            prop_assert!(next < here || here > -1e-14, "{} {}", here, next);
        }
    }

    #[test]
    fn neighbouring_tails_differ_by_one_term(n in 1u64..2000, share in 0.0f64..1.0, gamma in 0.01f64..0.99) {
        let hits = ((share * n as f64) as u64).min(n - 1);
        let (here, next) = (ln_binomial_sf(hits, n, gamma), ln_binomial_sf(hits + 1, n, gamma));
        let term = ln_binomial_term(hits as f64, (n - hits) as f64, gamma);
        let sum = crate::special::ln_sum_exp(&[next, term]);
        prop_assert!((sum - here).abs() < 1e-11 * (1.0 + here.abs()), "{} {}", sum, here);
    }

    #[test]
    fn hypergeometric_is_symmetric_in_successes_and_draws(population in 2u64..400, a in 0.0f64..1.0, b in 0.0f64..1.0, c in 0.0f64..1.0) {
        let part = |share: f64| (share * (population + 1) as f64) as u64;
        let (successes, draws) = (part(a), part(b));
        let hits = (c * (successes.min(draws) + 1) as f64) as u64;
        let (one, two) = (ln_hypergeometric_sf(hits, population, successes, draws), ln_hypergeometric_sf(hits, population, draws, successes));
        prop_assert!((one - two).abs() < 1e-10 * (1.0 + one.abs()), "{} {}", one, two);
    }
}

/// (n, total, alpha, log10 p) by 60-digit arithmetic: `units-tails.json` of the served watermarks' fixtures.
const TWO_GAMMA: [(u64, f64, f64, f64); 7] = [
    (8, 17.2829982488662, 0.1, -2.61736759892865),
    (13, 23.896456918277963, 0.1, -2.5177525982915),
    (64, 241.81126265648692, 0.1, -48.3630937656009),
    (64, 177.98266424643373, 0.4, -40.9564728981466),
    (64, 162.0665949787407, 0.5, -35.1717513258913),
    (500, 600.0, 0.1, -5.74776581482982),
    (2000, 2100.0, 0.1, -2.1260360657537),
];

#[test]
fn two_gamma_tails_have_fifteen_digits() {
    for (n, s, alpha, expected) in TWO_GAMMA {
        let log10_p = log10_two_gamma_sf(n, alpha, s);
        assert!((log10_p / expected - 1.0).abs() < 2e-14, "{n} {s} {alpha}: {log10_p} for {expected}");
        // the keys' places say nothing
        assert!((log10_two_gamma_sf(n, 1.0 - alpha, s) - log10_p).abs() < 1e-12);
    }
}

#[test]
fn two_gamma_tails_go_on_to_where_no_number_is() {
    // far out the tail falls like that of its larger part: -s / 0.9 nats, and powers of s
    let far = log10_two_gamma_sf(1_000, 0.1, 30_000.0);
    assert!(far < -10_000.0 && far.is_finite(), "{far}");
    let step = log10_two_gamma_sf(1_000, 0.1, 30_001.0) - far;
    // d ln p / ds = (n - 1) / s - 1 / 0.9, less what the second part leaves
    let slope = (999.0 / 30_000.0 - 1.0 / 0.9) / std::f64::consts::LN_10;
    assert!((step / slope - 1.0).abs() < 0.01, "{step} {slope}");
    let mut before = 0.0;
    for s in [0.0, 1e-300, 1.0, 500.0, 900.0, 1_000.0, 1_100.0, 2_000.0, 1e5, 1e7] {
        let log10_p = log10_two_gamma_sf(1_000, 0.25, s);
        assert!(log10_p <= before && log10_p.is_finite(), "{s}: {log10_p} after {before}");
        before = log10_p;
    }
    assert_eq!((log10_two_gamma_sf(0, 0.1, 5.0), log10_two_gamma_sf(9, 0.0, 12.0)), (0.0, log10_gamma_sf(9.0, 12.0)));
    // a million units, and weights far apart
    for alpha in [0.001, 0.1, 0.499_9] {
        let log10_p = log10_two_gamma_sf(1_000_000, alpha, 1_003_000.0);
        let z = 3.0 / f64::sqrt(alpha * alpha + (1.0 - alpha) * (1.0 - alpha));
        assert!((log10_p - log10_normal_sf(z)).abs() < 0.05, "{alpha}: {log10_p} at z {z}");
    }
}
