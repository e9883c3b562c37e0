//! Row kernels and the optimiser against f64.

mod reference;

use kernels::adamw::{self, AdamW};
use kernels::rowloss::{cross_entropy, kl_to_teacher};
use kernels::vecmath;
use kernels::vectors::{Width, with_limit};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use reference::uniform;

/// Lengths around every vector width.
const LENGTHS: [usize; 12] = [1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 100, 1_000];

fn row(n: usize, seed: u64, spread: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| (uniform(&mut rng) - 0.5) * spread).collect()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&x| f64::from(x)).collect()
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + libm::log(row.iter().map(|x| libm::exp(x - highest)).sum::<f64>())
}

#[test]
fn exp_is_within_two_ulp_over_its_whole_range() {
    let n = 1_000_001;
    let xs: Vec<f32> = (0..n).map(|i| -87.336 + i as f32 / (n - 1) as f32 * (87.336 + 88.722)).collect();
    let mut ys = xs.clone();
    vecmath::exp_in_place(&mut ys);
    for (x, y) in xs.iter().zip(ys) {
        let want = libm::exp(f64::from(*x));
        let ulp = f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
        assert!((f64::from(y) - want).abs() <= 2.0 * ulp, "exp({x}) = {y} for {want}");
    }
}

#[test]
fn every_width_gives_the_same_bits() {
    let all = |width| {
        with_limit(width, || {
            let mut bits = Vec::new();
            for n in LENGTHS {
                let (x, y) = (row(n, 11, 8.0), row(n, 12, 3.0));
                bits.extend([vecmath::log_sum_exp(&x).to_bits(), vecmath::dot(&x, &y).to_bits()]);
                let mut softmax = x.clone();
                bits.push(vecmath::softmax_in_place(&mut softmax).to_bits());
                bits.extend(softmax.iter().map(|p| p.to_bits()));
                let (mut logits, mut teacher) = (x.clone(), y);
                vecmath::log_softmax_in_place(&mut teacher);
                let loss = kl_to_teacher(&mut logits, &teacher, 2.0, 0.5);
                bits.extend([(loss.to_bits() >> 32) as u32, loss.to_bits() as u32]);
                bits.extend(logits.iter().map(|d| d.to_bits()));
            }
            bits
        })
    };
    for width in [Width::Scalar, Width::Avx2] {
        assert!(all(width) == all(Width::Widest), "{width:?}");
    }
}

#[test]
fn exp_at_the_edges() {
    let mut edges = [f32::NEG_INFINITY, -1e30, -104.0, -87.4, -0.0, 0.0, 88.8, 1e30, f32::INFINITY, f32::NAN];
    vecmath::exp_in_place(&mut edges);
    assert_eq!(edges[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
    assert!(edges[9].is_nan());
}

#[test]
fn exp_of_an_element_does_not_depend_on_its_place() {
    let xs = row(100, 1, 20.0);
    let mut all = xs.clone();
    vecmath::exp_in_place(&mut all);
    for (x, want) in xs.iter().zip(all) {
        let mut one = [*x];
        vecmath::exp_in_place(&mut one);
        assert_eq!(one[0].to_bits(), want.to_bits());
    }
}

#[test]
fn softmax_and_its_logarithms_meet_f64() {
    for n in LENGTHS {
        for spread in [0.1, 10.0, 200.0] {
            let logits = row(n, n as u64, spread);
            let want = log_sum_exp(&wide(&logits));
            // Relative round-off of a sum of up to 1,000 terms, and of the logit range itself.
            let near = |got: f32, want: f64| (f64::from(got) - want).abs() < 1e-6 * (5.0 + want.abs());
            assert!(near(vecmath::log_sum_exp(&logits), want));
            let mut p = logits.clone();
            assert!(near(vecmath::softmax_in_place(&mut p), want));
            assert!((p.iter().map(|&p| f64::from(p)).sum::<f64>() - 1.0).abs() < 1e-5, "softmax sums to 1");
            let mut log_p = logits.clone();
            assert!(near(vecmath::log_softmax_in_place(&mut log_p), want));
            for ((&p, &log_p), &x) in p.iter().zip(&log_p).zip(&logits) {
                let want = f64::from(x) - want;
                assert!(near(log_p, want) && (f64::from(p) - libm::exp(want)).abs() < 3e-5 * libm::exp(want) + 1e-37);
            }
        }
    }
}

#[test]
fn softmax_with_excluded_tokens_and_with_nan() {
    let mut logits = [0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    vecmath::softmax_in_place(&mut logits);
    assert_eq!(logits, [0.5, 0.0, 0.5, 0.0]);
    for at in 0..20 {
        let mut logits = row(20, 2, 1.0);
        logits[at] = f32::NAN;
        assert!(vecmath::log_sum_exp(&logits).is_nan(), "a NaN logit must show in the loss (place {at})");
    }
    assert_eq!(vecmath::log_sum_exp(&[]), f32::NEG_INFINITY);
}

#[test]
fn small_vector_operations_meet_their_definitions() {
    for n in LENGTHS {
        let (a, b) = (row(n, 3, 2.0), row(n, 4, 2.0));
        let want: f64 = wide(&a).iter().zip(wide(&b)).map(|(a, b)| a * b).sum();
        assert!((f64::from(vecmath::dot(&a, &b)) - want).abs() < 1e-6 * n as f64);
        let squares: f64 = wide(&a).iter().map(|a| a * a).sum();
        assert!((vecmath::sum_of_squares(&a) - squares).abs() < 1e-12 * n as f64);
        let (mut y, mut z) = (b.clone(), a.clone());
        vecmath::axpy(0.5, &a, &mut y);
        vecmath::scale(&mut z, 3.0);
        vecmath::add_constant(&mut z, 1.0);
        for i in 0..n {
            assert_eq!(y[i], 0.5_f32.mul_add(a[i], b[i]));
            assert_eq!(z[i], a[i] * 3.0 + 1.0);
        }
    }
}

#[test]
fn cross_entropy_meets_f64_with_its_gradient() {
    for n in LENGTHS {
        let logits = row(n, 5, 8.0);
        let (target, weight) = (n / 2, 0.75_f32);
        let total = log_sum_exp(&wide(&logits));
        let mut got = logits.clone();
        let loss = cross_entropy(&mut got, target as u32, weight);
        assert!((loss - 0.75 * (total - f64::from(logits[target]))).abs() < 1e-5);
        for (i, &got) in got.iter().enumerate() {
            let want = 0.75 * (libm::exp(f64::from(logits[i]) - total) - if i == target { 1.0 } else { 0.0 });
            assert!((f64::from(got) - want).abs() < 1e-6);
        }
    }
}

#[test]
fn kl_to_teacher_meets_f64_with_its_gradient() {
    for n in LENGTHS {
        for (temperature, weight) in [(1.0_f32, 1.0_f32), (2.5, 0.3)] {
            let mut teacher = row(n, 6, 10.0);
            if n > 2 {
                teacher[1] = f32::NEG_INFINITY;
            }
            vecmath::log_softmax_in_place(&mut teacher);
            let logits = row(n, 7, 10.0);
            let scaled: Vec<f64> = wide(&logits).iter().map(|x| x / f64::from(temperature)).collect();
            let total = log_sum_exp(&scaled);
            let p: Vec<f64> = wide(&teacher).iter().map(|x| libm::exp(*x)).collect();
            let terms = p.iter().zip(&teacher).zip(&scaled).filter(|((p, _), _)| **p > 0.0);
            let want: f64 = terms.map(|((p, &log_p), z)| p * (f64::from(log_p) - (z - total))).sum();
            let mut got = logits.clone();
            let loss = kl_to_teacher(&mut got, &teacher, temperature, weight);
            assert!((loss - f64::from(weight) * want).abs() < 2e-5, "{loss} for {want}");
            for i in 0..n {
                let want = f64::from(weight) / f64::from(temperature) * (libm::exp(scaled[i] - total) - p[i]);
                assert!((f64::from(got[i]) - want).abs() < 1e-6);
            }
        }
    }
    let mut teacher = row(50, 8, 4.0);
    vecmath::log_softmax_in_place(&mut teacher);
    let mut logits: Vec<f32> = teacher.iter().map(|x| x + 3.0).collect();
    assert!(kl_to_teacher(&mut logits, &teacher, 1.0, 1.0).abs() < 1e-6, "KL of a law to itself is 0");
    assert!(logits.iter().all(|g| g.abs() < 1e-6));
}

#[test]
fn adamw_meets_its_definition_in_f64() {
    let config = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    for n in [1, 17, 40] {
        let mut params = row(n, 9, 2.0);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let (mut p64, mut m64, mut v64) = (wide(&params), vec![0.0; n], vec![0.0; n]);
        for t in 1..=20 {
            let grad = row(n, 10 + t, 1.0);
            adamw::step(&mut params, &grad, &mut m, &mut v, &config, t, 0.5);
            for i in 0..n {
                let g = 0.5 * f64::from(grad[i]);
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.95 * v64[i] + 0.05 * g * g;
                let (m_hat, v_hat) = (m64[i] / (1.0 - 0.9_f64.powi(t as i32)), v64[i] / (1.0 - 0.95_f64.powi(t as i32)));
                p64[i] -= 1e-2 * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * p64[i]);
                assert!((f64::from(params[i]) - p64[i]).abs() < 1e-5, "step {t}: {} for {}", params[i], p64[i]);
            }
        }
    }
}

#[test]
fn the_first_adamw_step_moves_by_the_learning_rate() {
    // Bias correction makes m/sqrt(v) = sign(g) at step 1 (Kingma & Ba 2015, section 2).
    let config = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 0.0, weight_decay: 0.0 };
    let mut params = [1.0, 1.0];
    adamw::step(&mut params, &[3.0, -1e-3], &mut [0.0; 2], &mut [0.0; 2], &config, 1, 1.0);
    assert!((params[0] - 0.99).abs() < 1e-5 && (params[1] - 1.01).abs() < 1e-5);
}

#[test]
fn narrower_vectors_pass_the_same_tests() {
    for width in [Width::Scalar, Width::Avx2] {
        with_limit(width, || {
            exp_is_within_two_ulp_over_its_whole_range();
            exp_at_the_edges();
            softmax_and_its_logarithms_meet_f64();
            softmax_with_excluded_tokens_and_with_nan();
            small_vector_operations_meet_their_definitions();
            cross_entropy_meets_f64_with_its_gradient();
            kl_to_teacher_meets_f64_with_its_gradient();
            adamw_meets_its_definition_in_f64();
        });
    }
}
