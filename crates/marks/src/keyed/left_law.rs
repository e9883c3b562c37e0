//! The law that truncation leaves, for marks that change its probabilities.

use oracle::TokenId;
use pulp::{Arch, Simd, WithSimd};

use super::elementary;

/// Has `change` turn the probabilities of the tokens that are left in `logits` (vocab), which add up to 1, into others, and puts these back
/// as logits, none below `least`. Nothing is changed where no logit is finite.
pub(crate) fn change_left(logits: &mut [f32], least: f32, change: impl FnOnce(&[TokenId], &mut [f64])) {
    change_weights(logits, |left, kept, mut q| {
        let total: f64 = q.iter().sum();
        Arch::new().dispatch(Divided { q: &mut q, by: total });
        change(left, &mut q);
        elementary::log(&mut q);
        Arch::new().dispatch(Narrowed { q: &q, least, logits: kept });
    });
}

/// Has `change` change the logits of the tokens that are left in `logits` (vocab). It is given these tokens, their logits, and what these
/// weigh, the most probable one 1. Nothing is changed where no logit is finite.
pub(crate) fn change_weights(logits: &mut [f32], change: impl FnOnce(&[TokenId], &mut [f32], Vec<f64>)) {
    let largest = elementary::largest(logits);
    if !largest.is_finite() {
        return;
    }
    let weights = |logits: &[f32]| {
        let mut q = vec![0.0; logits.len()];
        Arch::new().dispatch(Below { logits, largest, below: &mut q });
        elementary::exp(&mut q);
        q
    };
    if logits.iter().fold(true, |whole, logit| whole & (*logit > f32::NEG_INFINITY)) {
        let left: Vec<TokenId> = (0..logits.len() as TokenId).collect();
        let q = weights(logits);
        return change(&left, logits, q);
    }
    // usually few of many
    let left: Vec<TokenId> = (0..).zip(&*logits).filter(|(_, logit)| **logit > f32::NEG_INFINITY).map(|(id, _)| id).collect();
    let mut kept: Vec<f32> = left.iter().map(|&id| logits[id as usize]).collect();
    let q = weights(&kept);
    change(&left, &mut kept, q);
    left.into_iter().zip(kept).for_each(|(id, logit)| logits[id as usize] = logit);
}

/// How far each logit is below the largest; 0 for that itself.
struct Below<'a> {
    logits: &'a [f32],
    largest: f32,
    below: &'a mut [f64],
}

impl WithSimd for Below<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (below, logit) in self.below.iter_mut().zip(self.logits) {
            *below = f64::from(*logit - self.largest);
        }
    }
}

struct Divided<'a> {
    q: &'a mut [f64],
    by: f64,
}

impl WithSimd for Divided<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.q.iter_mut().for_each(|q| *q /= self.by);
    }
}

/// Single precision, and at least so much.
struct Narrowed<'a> {
    q: &'a [f64],
    least: f32,
    logits: &'a mut [f32],
}

impl WithSimd for Narrowed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (logit, q) in self.logits.iter_mut().zip(self.q) {
            let q = *q as f32;
            *logit = if q > self.least { q } else { self.least };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_adds_up_to_one_and_comes_back_as_logits() {
        let cut = f32::NEG_INFINITY;
        let mut logits = [cut, 2.0, cut, 2.0 + std::f32::consts::LN_2 * 1.0];
        change_left(&mut logits, cut, |left, q| {
            assert_eq!(left, [1, 3]);
            assert!((q[0] - 1.0 / 3.0).abs() < 1e-7 && (q.iter().sum::<f64>() - 1.0).abs() < 1e-15);
            q.copy_from_slice(&[1.0, 0.0]);
        });
        assert_eq!(logits, [cut, 0.0, cut, cut]);
        change_left(&mut logits, f32::MIN, |left, q| {
            assert_eq!((left, &*q), (&[1][..], &[1.0][..]));
            q[0] = 0.0;
        });
        assert_eq!(logits, [cut, f32::MIN, cut, cut]);
        change_left(&mut [cut, f32::NAN], cut, |_, _| panic!("nothing is left"));
    }
}
