//! AdamW (Loshchilov & Hutter 2019, algorithm 2, with the schedule multiplier inside `lr`) in one sweep over memory.

use crate::simd::{chunks, get, put, splat, vectorized};

/// Constants of one step; `lr` is that step's own learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the bias-corrected second moment.
    pub eps: f32,
    /// Decoupled weight decay, multiplied by `lr` (as in PyTorch).
    pub weight_decay: f32,
}

/// One update; `step` counts from 1; `grad_scale` multiplies the gradient first (mean over tokens, clipping).
///
/// # Panics
/// If the lengths differ or `step` is 0.
pub fn step(params: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], config: &AdamW, step: u64, grad_scale: f32) {
    let n = params.len();
    assert!(grad.len() == n && m.len() == n && v.len() == n, "adamw: lengths of params, grad, m and v");
    assert!(step > 0, "adamw: steps count from 1");
    // Corrections in f64: 1 - beta^t loses half its digits in f32 during the first steps.
    let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), step as f64);
    let rate = (f64::from(config.lr) / correction(config.beta1)) as f32;
    let inverse_root = correction(config.beta2).sqrt().recip() as f32;
    sweep(params, grad, m, v, config, grad_scale, rate, inverse_root);
}

vectorized! {
    fn sweep<'a, S>(simd; params: &'a mut [f32], grad: &'a [f32], m: &'a mut [f32], v: &'a mut [f32], config: &'a AdamW, grad_scale: f32, rate: f32, inverse_root: f32) -> () {
        let (beta1, rest1, beta2, rest2) = (splat(simd, config.beta1), splat(simd, 1.0 - config.beta1), splat(simd, config.beta2), splat(simd, 1.0 - config.beta2));
        let (grad_scale, rate, inverse_root, eps) = (splat(simd, grad_scale), splat(simd, -rate), splat(simd, inverse_root), splat(simd, config.eps));
        let keep = splat(simd, 1.0 - config.lr * config.weight_decay);
        chunks(simd, params.len(), #[inline(always)] |at, n| {
            let g = simd.mul_f32s(get(simd, grad, at, n), grad_scale);
            let m_new = simd.mul_add_f32s(rest1, g, simd.mul_f32s(beta1, get(simd, m, at, n)));
            let v_new = simd.mul_add_f32s(rest2, simd.mul_f32s(g, g), simd.mul_f32s(beta2, get(simd, v, at, n)));
            put(simd, m, at, n, m_new);
            put(simd, v, at, n, v_new);
            let denominator = simd.mul_add_f32s(simd.sqrt_f32s(v_new), inverse_root, eps);
            let direction = simd.div_f32s(m_new, denominator);
            let p = simd.mul_add_f32s(rate, direction, simd.mul_f32s(keep, get(simd, params, at, n)));
            put(simd, params, at, n, p);
        });
    }
}
