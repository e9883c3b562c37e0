//! Sums whose bits are the same on every machine: sixteen partial sums, whatever a vector holds, and one tree that joins them.

use pulp::Simd;

use crate::simd::{exp, get, put, store};

/// Partial sums of every reduction: what one AVX-512 vector holds, two of AVX2, four of NEON.
pub(crate) const LANES: usize = 16;

/// Sixteen partial sums: element `i` of what is summed belongs to sum `i % 16`.
#[derive(Clone, Copy)]
pub(crate) struct Sums<S: Simd> {
    /// The first `LANES / S::F32_LANES` are used.
    parts: [S::f32s; LANES],
}

impl<S: Simd> Sums<S> {
    /// All zero.
    #[inline(always)]
    pub(crate) fn new(simd: S) -> Self {
        Self { parts: [simd.splat_f32s(0.0); LANES] }
    }

    /// The vector of sums that [`sixteens`] calls `part`.
    #[inline(always)]
    pub(crate) fn part(&mut self, part: usize) -> &mut S::f32s {
        &mut self.parts[part]
    }

    /// Adds a vector to that part.
    #[inline(always)]
    pub(crate) fn add(&mut self, simd: S, part: usize, values: S::f32s) {
        self.parts[part] = simd.add_f32s(self.parts[part], values);
    }

    /// The whole: sum `i` and sum `i + 8`, then `i + 4`, `i + 2`, `i + 1`.
    #[inline(always)]
    pub(crate) fn total(self) -> f32 {
        const { assert!(S::F32_LANES <= LANES && LANES.is_multiple_of(S::F32_LANES)) };
        let mut all = [0.0_f32; LANES];
        for part in 0..LANES / S::F32_LANES {
            // SAFETY: parts of F32_LANES floats fill the sixteen.
            unsafe { store::<S>(all.as_mut_ptr().add(part * S::F32_LANES), self.parts[part]) };
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                all[i] += all[i + width];
            }
            width /= 2;
        }
        all[0]
    }
}

/// Calls `each(offset, lanes, part)` over `len` in whole vectors, then for what is left, one vector or more: `part` says to which of
/// [`Sums`] the elements belong.
///
/// `each` must be marked `#[inline(always)]`, as for [`chunks`](crate::simd::chunks).
#[inline(always)]
pub(crate) fn sixteens<S: Simd>(_: S, len: usize, mut each: impl FnMut(usize, usize, usize)) {
    let lanes = S::F32_LANES;
    let mut at = 0;
    while at + LANES <= len {
        for part in 0..LANES / lanes {
            each(at + part * lanes, lanes, part);
        }
        at += LANES;
    }
    for part in 0..LANES / lanes {
        let from = at + part * lanes;
        if from < len {
            each(from, lanes.min(len - from), part);
        }
    }
}

/// Replaces every element by `exp(x - shift)` and returns the sum.
#[inline(always)]
pub(crate) fn exp_shifted_sum<S: Simd>(simd: S, values: &mut [f32], shift: f32) -> f32 {
    let shift = simd.splat_f32s(-shift);
    let mut sums = Sums::new(simd);
    sixteens(
        simd,
        values.len(),
        #[inline(always)]
        |at, n, part| {
            let e = exp(simd, simd.add_f32s(get(simd, values, at, n), shift));
            put(simd, values, at, n, e);
            // read back, lanes beyond the row are zero
            sums.add(simd, part, if n == S::F32_LANES { e } else { get(simd, values, at, n) });
        },
    );
    sums.total()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::vectorized;
    use crate::vectors::{Width, with_limit};

    vectorized! {
        fn sum<'a, S>(simd; values: &'a [f32]) -> f32 {
            let mut sums = Sums::new(simd);
            sixteens(simd, values.len(), #[inline(always)] |at, n, part| sums.add(simd, part, get(simd, values, at, n)));
            sums.total()
        }
    }

    /// The definition, one number at a time.
    fn by_definition(values: &[f32]) -> f32 {
        let mut all = [0.0_f32; LANES];
        for (i, value) in values.iter().enumerate() {
            all[i % LANES] += value;
        }
        let mut halves = all.to_vec();
        while halves.len() > 1 {
            let (low, high) = halves.split_at(halves.len() / 2);
            halves = low.iter().zip(high).map(|(a, b)| a + b).collect();
        }
        halves[0]
    }

    #[test]
    fn every_width_adds_in_the_same_order() {
        let number = |i: u32| (i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 8) as f32 * 1e-3 - 7_000.0;
        let values: Vec<f32> = (0..70).map(number).collect();
        for n in 0..values.len() {
            let want = by_definition(&values[..n]);
            for width in [Width::Scalar, Width::Avx2, Width::Widest] {
                let found = with_limit(width, || sum(&values[..n]));
                assert_eq!(found.to_bits(), want.to_bits(), "{n} numbers, {width:?}: {found} for {want}");
            }
        }
    }
}
