//! Losses as functions of one row of logits, and the two every trainer needs, fused.

use crate::simd::{chunks, exp, get, max, prefetch, put, vectorized};
use crate::sums::{Sums, exp_shifted_sum, sixteens};
use std::cell::RefCell;

/// A training loss that is a sum over positions, each term a function of that position's logits alone.
///
/// `position = row * time + t` counts through the batch; the logits at `t` predict the token at `t + 1`.
pub trait RowLoss: Sync {
    /// Whether this position enters the loss. Logits are never computed where it does not.
    fn scored(&self, position: usize) -> bool;
    /// Replaces `logits` (vocab) by the gradient of this position's loss and returns that loss in nats, both with any weight included.
    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64;
}

/// Cross-entropy with token `target`, times `weight`: returns the loss in nats, leaves `weight * (softmax - onehot)` in `logits`.
///
/// # Panics
/// If `target` is not below `logits.len()`.
pub fn cross_entropy(logits: &mut [f32], target: u32, weight: f32) -> f64 {
    let target = target as usize;
    let logit = logits[target];
    let log_sum_exp = scaled_softmax(logits, weight);
    logits[target] -= weight;
    f64::from(weight) * (f64::from(log_sum_exp) - f64::from(logit))
}

vectorized! {
    /// `logits = weight * softmax(logits)`; returns their log-sum-exp.
    fn scaled_softmax<'a, S>(simd; logits: &'a mut [f32], weight: f32) -> f32 {
        let highest = max(simd, logits);
        let sum = exp_shifted_sum(simd, logits, highest);
        let factor = simd.splat_f32s(weight / sum);
        chunks(simd, logits.len(), #[inline(always)] |at, n| {
            let p = simd.mul_f32s(get(simd, logits, at, n), factor);
            put(simd, logits, at, n, p);
        });
        highest + libm::logf(sum)
    }
}

thread_local! {
    /// Teacher probabilities of the row at hand: kept between the two sweeps so that each is exponentiated once.
    static TEACHER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `weight * KL(teacher || softmax(logits / temperature))` for a full teacher distribution given as log-probabilities (vocab):
/// returns it in nats, leaves its gradient `weight / temperature * (softmax(logits / temperature) - teacher)` in `logits`.
///
/// Teacher log-probabilities of `-inf` are allowed and add nothing. Probabilities whose sum is further from 1 than rounding takes it (`NOT_ROUNDING`)
/// are divided by it; a row without any mass says nothing: loss and gradient are 0.
/// Hinton, Vinyals & Dean 2015, section 2 (without their factor of squared temperature).
///
/// # Panics
/// If the lengths differ.
pub fn kl_to_teacher(logits: &mut [f32], teacher_log_probs: &[f32], temperature: f32, weight: f32) -> f64 {
    assert_eq!(logits.len(), teacher_log_probs.len(), "kl_to_teacher: lengths of logits and teacher row");
    TEACHER.with_borrow_mut(|probs| {
        probs.resize(logits.len(), 0.0);
        kl_sweeps(logits, teacher_log_probs, probs, 1.0 / temperature, weight)
    })
}

/// How far from 1 the sum of a teacher's probabilities may lie for the row to be taken as it is.
const NOT_ROUNDING: f32 = 1e-3;

vectorized! {
    fn kl_sweeps<'a, S>(simd; logits: &'a mut [f32], teacher: &'a [f32], probs: &'a mut [f32], inverse_temperature: f32, weight: f32) -> f64 {
        let inverse = simd.splat_f32s(inverse_temperature);
        let highest = if inverse_temperature > 0.0 { max(simd, logits) * inverse_temperature } else { f32::NAN };
        let shift = simd.splat_f32s(-highest);
        let zero = simd.splat_f32s(0.0);
        let (mut sum, mut mass, mut cross) = (Sums::new(simd), Sums::new(simd), Sums::new(simd));
        sixteens(simd, logits.len(), #[inline(always)] |at, n, part| {
            let z = simd.mul_add_f32s(get(simd, logits, at, n), inverse, shift);
            let log_p = get(simd, teacher, at, n);
            // The next position's row usually follows in memory, and is met too late by the machine's own prefetcher.
            prefetch(teacher.as_ptr().wrapping_add(teacher.len() + at));
            let p = exp(simd, log_p);
            let e = exp(simd, z);
            put(simd, probs, at, n, p);
            put(simd, logits, at, n, e);
            let (p, e) = if n == S::F32_LANES { (p, e) } else { (get(simd, probs, at, n), get(simd, logits, at, n)) };
            // 0 * -inf where the teacher excludes a token would be NaN: such terms are 0.
            let term = simd.mul_f32s(p, simd.sub_f32s(log_p, z));
            cross.add(simd, part, simd.select_f32s(simd.greater_than_f32s(p, zero), term, zero));
            sum.add(simd, part, e);
            mass.add(simd, part, p);
        });
        let (total, mass, cross) = (sum.total(), mass.total(), cross.total());
        if mass == 0.0 {
            logits.fill(0.0);
            return 0.0;
        }
        let normed = (mass - 1.0).abs() <= NOT_ROUNDING;
        let factor = weight * inverse_temperature;
        let teacher_factor = if normed { factor } else { factor / mass };
        let (student, teacher) = (simd.splat_f32s(factor / total), simd.splat_f32s(-teacher_factor));
        chunks(simd, logits.len(), #[inline(always)] |at, n| {
            let d = simd.mul_add_f32s(get(simd, probs, at, n), teacher, simd.mul_f32s(get(simd, logits, at, n), student));
            put(simd, logits, at, n, d);
        });
        let (cross, mass, log_total) = (f64::from(cross), f64::from(mass), f64::from(libm::logf(total)));
        let kl = if normed { cross + mass * log_total } else { cross / mass - libm::log(mass) + log_total };
        f64::from(weight) * kl
    }
}
