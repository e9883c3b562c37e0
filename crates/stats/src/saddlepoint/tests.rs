use std::f64::consts::{LN_2, LN_10};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::random::unit;
use crate::tail::{log10_binomial_sf, log10_gamma_sf};

/// Sum of w xi over weights w, each xi 1 with probability `rate`.
fn bernoulli(rate: f64, weights: Vec<f64>) -> Saddlepoint<impl Fn(f64) -> [f64; 3]> {
    Saddlepoint::new(move |lambda| {
        weights.iter().fold([0.0; 3], |[k, slope, curve], w| {
            let (stay, hit) = (libm::log(1.0 - rate), libm::log(rate) + lambda * w);
            let larger = stay.max(hit);
            let one = larger + libm::log(libm::exp(stay - larger) + libm::exp(hit - larger));
            let tilted = libm::exp(hit - one);
            [k + one, slope + w * tilted, curve + w * w * tilted * (1.0 - tilted)]
        })
    })
}

/// Sum of `n` Exp(1).
fn exponential(n: f64) -> Saddlepoint<impl Fn(f64) -> [f64; 3]> {
    Saddlepoint::new(move |lambda| {
        if lambda >= 1.0 {
            return [f64::INFINITY; 3];
        }
        let left = 1.0 / (1.0 - lambda);
        [n * libm::log(left), n * left, n * left * left]
    })
}

/// P\[sum of w xi >= s\] by listing all patterns.
fn listed(rate: f64, weights: &[f64], s: f64) -> f64 {
    let pattern = |bits: u32| {
        let hit = |i: usize| bits >> i & 1 == 1;
        let sum: f64 = weights.iter().enumerate().filter(|(i, _)| hit(*i)).map(|(_, w)| w).sum();
        let p = (0..weights.len()).map(|i| if hit(i) { rate } else { 1.0 - rate }).product::<f64>();
        if sum >= s - 1e-12 { p } else { 0.0 }
    };
    (0..1u32 << weights.len()).map(pattern).sum()
}

/// Numbers of an independent implementation in numpy and scipy (methods m2): weights, where, approximation, bound, z.
#[test]
fn numbers_are_those_of_the_reference() {
    let near = |is: f64, was: f64| assert!((is - was).abs() < 1e-6 * was.abs().max(1.0), "{is}, not {was}");
    let found = |sum: &dyn Fn(f64) -> [f64; 3], s: f64| {
        let sum = Saddlepoint::new(sum);
        [sum.log10_p(s), sum.log10_bound(s), sum.z(s)]
    };
    let compare = |sum: &dyn Fn(f64) -> [f64; 3], s: f64, was: [f64; 3]| {
        for (is, was) in found(sum, s).into_iter().zip(was) {
            near(is, was);
        }
    };
    let few = bernoulli(0.25, vec![2.0, -0.5, 1.25, 0.75, -1.5]);
    compare(&few.cumulants, 3.25, [-1.657_701_183_637, -1.005_957_871_488, 2.162_482_023_606]);
    let equal = bernoulli(0.25, vec![1.0; 400]);
    compare(&equal.cumulants, 130.0, [-3.427_394_265_326, -2.458_113_348_506, 3.464_101_615_138]);
    let exp = exponential(60.0);
    compare(&exp.cumulants, 110.0, [-7.147_444_655_164, -5.920_238_008_688, 6.454_972_243_679]);
    // 50 units of 30 fair bits
    let bits = bernoulli(0.5, vec![1.0; 1500]);
    compare(&bits.cumulants, 860.0, [-8.196_281_954_256, -7.031_956_331_605_995, 5.680_375_574_438]);
    let mixed = bernoulli(0.25, (0..200).map(|i| f64::from(i * 37 % 19 - 6) / 4.0).collect());
    near(mixed.mean(), 39.75);
    for (z, p, bound) in [
        (1.0, -0.798_591_051_493, -0.210_602_228_378),
        (2.0, -1.597_052_273_010, -0.820_590_755_326),
        (4.0, -4.166_225_457_407, -3.149_982_291_999),
        (8.0, -13.328_641_594_429, -12.063_730_196_524),
    ] {
        compare(&mixed.cumulants, mixed.mean() + z * mixed.sd(), [p, bound, z]);
    }
    // far out: 1e-1736 and 1e-2405
    let far = exponential(2000.0);
    compare(&far.cumulants, 9000.0, [-1_736.230_114_016, -1_733.636_345_772, 156.524_758_425]);
    let far = bernoulli(0.25, vec![1.0; 4000]);
    compare(&far.cumulants, 3999.0, [-2_405.098_360_147, -2_403.726_543_875, 109.507_996_664]);
}

#[test]
fn the_bound_lies_above_listed_sums_and_the_approximation_beside_them() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut compared, mut off) = (0, 0.0_f64);
    for rate in [0.1, 0.25, 0.5] {
        for _ in 0..12 {
            let weights: Vec<f64> = (0..14).map(|_| 2.0 * unit(&mut rng) - 0.6).collect();
            let sum = bernoulli(rate, weights.clone());
            for z in [-1.0, 0.3, 1.0, 1.7, 2.4, 3.0] {
                let s = sum.mean() + z * sum.sd();
                let p = listed(rate, &weights, s);
                if p > 0.0 {
                    assert!(sum.log10_bound(s) >= libm::log10(p) - 1e-12, "{rate} {z}: {} below {p}", sum.log10_bound(s));
                }
                // a tail of a few patterns has steps, which a smooth curve cannot follow
                if p > 0.005 {
                    off = off.max((libm::pow(10f64, sum.log10_p(s)) / p - 1.0).abs());
                    compared += 1;
                }
            }
            // nothing is above the sum of all that is positive, which one pattern has
            let most: f64 = weights.iter().filter(|w| **w > 0.0).sum();
            let (p, bound) = (listed(rate, &weights, most), sum.log10_bound(most));
            assert!(bound >= libm::log10(p) - 1e-9 && bound < libm::log10(p) + 1e-3, "{bound} against {}", libm::log10(p));
            assert!(sum.log10_bound(most + 1.0).is_finite() && sum.log10_p(most + 1.0).is_finite());
        }
    }
    assert!(compared > 100 && off < 0.25, "off by {off} in {compared}");
}

#[test]
fn closed_forms_are_met() {
    // the gamma tail is met to a thousandth at every depth, the binomial one between P[X >= s] and P[X > s]
    for (n, s) in [(5.0, 9.0), (60.0, 110.0), (60.0, 60.0), (60.0, 45.0), (500.0, 2000.0)] {
        let (is, was) = (exponential(n).log10_p(s), log10_gamma_sf(n, s));
        assert!((is - was).abs() < 1e-3, "Gamma({n}) at {s}: {is}, not {was}");
        assert!(exponential(n).log10_bound(s) >= was);
    }
    for (n, hits) in [(400, 130), (400, 101), (4000, 1600), (100_000, 40_000)] {
        let sum = bernoulli(0.25, vec![1.0; n]);
        let (is, at, above) =
            (sum.log10_p(hits as f64), log10_binomial_sf(hits, n as u64, 0.25), log10_binomial_sf(hits + 1, n as u64, 0.25));
        assert!(is < at && is > above, "{hits} of {n}: {is}, not between {above} and {at}");
        assert!(sum.log10_bound(hits as f64) >= at);
        // Chernoff's bound is the relative entropy
        let share = hits as f64 / n as f64;
        let entropy = share * libm::log(share / 0.25) + (1.0 - share) * libm::log((1.0 - share) / 0.75);
        assert!((sum.log10_bound(hits as f64) + n as f64 * entropy / LN_10).abs() < 1e-7 * n as f64 * entropy);
    }
}

#[test]
fn tails_fall_without_a_step_and_never_reach_zero() {
    let sums = [bernoulli(0.25, (0..300).map(|i| f64::from(i % 7) - 1.5).collect())];
    for sum in &sums {
        let (mut bound, mut p) = (0.0_f64, 0.0_f64);
        for step in -400..2000 {
            let s = sum.mean() + f64::from(step) * 0.01 * sum.sd();
            let next = [sum.log10_bound(s), sum.log10_p(s)];
            assert!(next[0] <= bound + 1e-9 && next[1] <= p + 1e-9, "at {step}: {next:?} after {bound}, {p}");
            assert!(p - next[1] < 0.5 && next[1].is_finite() && next[0] >= next[1] - 1e-9, "at {step}: {next:?} after {p}");
            [bound, p] = next;
        }
        assert!(bound < -80.0, "{bound}");
    }
    // half of the mass is above the middle of a symmetric sum
    let coin = bernoulli(0.5, vec![1.0; 100]);
    assert!((coin.log10_p(50.0) + LN_2 / LN_10).abs() < 1e-3, "{}", coin.log10_p(50.0));
}

#[test]
fn a_sum_that_does_not_vary_says_nothing() {
    let nothing = bernoulli(0.25, Vec::new());
    assert_eq!((nothing.log10_bound(0.0), nothing.log10_p(0.0), nothing.z(0.0)), (0.0, 0.0, 0.0));
    assert_eq!((nothing.log10_bound(3.0), nothing.log10_p(3.0), nothing.sd()), (0.0, 0.0, 0.0));
}

#[test]
fn e_values_have_mean_one() {
    // over all patterns of a few weights
    let (rate, weights) = (0.25, [2.0, -0.5, 1.25, 0.75, -1.5, 0.3]);
    let sum = bernoulli(rate, weights.to_vec());
    for lambda in [0.1, 0.7, 2.0] {
        let mean: f64 = (0..1u32 << weights.len())
            .map(|bits| {
                let hit = |i: usize| bits >> i & 1 == 1;
                let p = (0..weights.len()).map(|i| if hit(i) { rate } else { 1.0 - rate }).product::<f64>();
                let s = (0..weights.len()).filter(|i| hit(*i)).map(|i| weights[i]).sum();
                p * libm::pow(10f64, sum.log10_e(s, lambda))
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-12, "{mean} at {lambda}");
    }
    assert_eq!(exponential(3.0).log10_e(9.0, 1.5), -f64::MAX);
}
