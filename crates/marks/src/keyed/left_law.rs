//! The law that truncation leaves, for marks that change its probabilities.

use oracle::TokenId;

/// Has `change` turn the probabilities of the tokens that are left in `logits` (vocab), which add up to 1, into others, and puts these back
/// as logits, none below `least`. Nothing is changed where no logit is finite.
pub(crate) fn change_left(logits: &mut [f32], least: f32, change: impl FnOnce(&[TokenId], &mut [f64])) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() {
        return;
    }
    // usually few of many
    let left: Vec<TokenId> = (0..).zip(&*logits).filter(|(_, logit)| **logit > f32::NEG_INFINITY).map(|(id, _)| id).collect();
    let mut q: Vec<f64> = left.iter().map(|&id| libm::exp(f64::from(logits[id as usize] - largest))).collect();
    let total: f64 = q.iter().sum();
    q.iter_mut().for_each(|q| *q /= total);
    change(&left, &mut q);
    for (id, q) in left.into_iter().zip(q) {
        logits[id as usize] = (libm::log(q) as f32).max(least);
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
