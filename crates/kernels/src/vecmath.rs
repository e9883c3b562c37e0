//! Vectorised exponentials and what is built of them, over rows of logits.
//!
//! A result depends on the row alone, never on its address or neighbours, nor on the machine: sums are those of [`crate::sums`].

use crate::simd::{chunks, exp, get, max, put, vectorized};
use crate::sums::{LANES, Sums, exp_shifted_sum, sixteens};

vectorized! {
    /// `x = exp(x)` for every element: at most 2 ulp from the exact value, 0 below -87.34 (subnormal results are flushed), NaN stays NaN.
    pub fn exp_in_place<'a, S>(simd; values: &'a mut [f32]) -> () {
        chunks(simd, values.len(), #[inline(always)] |at, n| {
            let e = exp(simd, get(simd, values, at, n));
            put(simd, values, at, n, e);
        });
    }
}

vectorized! {
    /// `ln(sum(exp(values)))`, shifted by the maximum; `-inf` for an empty slice.
    pub fn log_sum_exp<'a, S>(simd; values: &'a [f32]) -> f32 {
        let highest = max(simd, values);
        if highest == f32::NEG_INFINITY {
            return highest;
        }
        let shift = simd.splat_f32s(-highest);
        let mut sums = Sums::new(simd);
        sixteens(simd, values.len(), #[inline(always)] |at, n, part| {
            let e = exp(simd, simd.add_f32s(get(simd, values, at, n), shift));
            // lanes beyond the row add nothing
            let e = if n == S::F32_LANES {
                e
            } else {
                let mut tail = [0.0; LANES];
                put(simd, &mut tail, 0, n, e);
                get(simd, &tail, 0, n)
            };
            sums.add(simd, part, e);
        });
        highest + libm::logf(sums.total())
    }
}

vectorized! {
    /// Replaces logits by their softmax and returns their log-sum-exp.
    ///
    /// At least one logit must be finite; otherwise every entry becomes NaN.
    pub fn softmax_in_place<'a, S>(simd; values: &'a mut [f32]) -> f32 {
        let highest = max(simd, values);
        let sum = exp_shifted_sum(simd, values, highest);
        let factor = simd.splat_f32s(1.0 / sum);
        chunks(simd, values.len(), #[inline(always)] |at, n| {
            let p = simd.mul_f32s(get(simd, values, at, n), factor);
            put(simd, values, at, n, p);
        });
        highest + libm::logf(sum)
    }
}

/// Replaces logits by their log-softmax and returns their log-sum-exp.
pub fn log_softmax_in_place(values: &mut [f32]) -> f32 {
    let total = log_sum_exp(values);
    add_constant(values, -total);
    total
}

vectorized! {
    /// `values += constant`.
    pub fn add_constant<'a, S>(simd; values: &'a mut [f32], constant: f32) -> () {
        let constant = simd.splat_f32s(constant);
        chunks(simd, values.len(), #[inline(always)] |at, n| {
            let sum = simd.add_f32s(get(simd, values, at, n), constant);
            put(simd, values, at, n, sum);
        });
    }
}

vectorized! {
    /// `values *= factor`.
    pub fn scale<'a, S>(simd; values: &'a mut [f32], factor: f32) -> () {
        let factor = simd.splat_f32s(factor);
        chunks(simd, values.len(), #[inline(always)] |at, n| {
            let product = simd.mul_f32s(get(simd, values, at, n), factor);
            put(simd, values, at, n, product);
        });
    }
}

vectorized! {
    /// `y += alpha * x`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn axpy<'a, S>(simd; alpha: f32, x: &'a [f32], y: &'a mut [f32]) -> () {
        assert_eq!(x.len(), y.len(), "axpy: lengths of x and y");
        let alpha = simd.splat_f32s(alpha);
        chunks(simd, x.len(), #[inline(always)] |at, n| {
            let sum = simd.mul_add_f32s(alpha, get(simd, x, at, n), get(simd, y, at, n));
            put(simd, y, at, n, sum);
        });
    }
}

vectorized! {
    /// Inner product, accumulated in f32.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot<'a, S>(simd; a: &'a [f32], b: &'a [f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "dot: lengths of a and b");
        let mut sums = Sums::new(simd);
        sixteens(simd, a.len(), #[inline(always)] |at, n, part| {
            let sum = sums.part(part);
            *sum = simd.mul_add_f32s(get(simd, a, at, n), get(simd, b, at, n), *sum);
        });
        sums.total()
    }
}

vectorized! {
    /// Sum of squares, accumulated in f64 (gradient norms).
    pub fn sum_of_squares<'a, S>(simd; values: &'a [f32]) -> f64 {
        let _ = simd;
        let mut sums = [0.0_f64; 8];
        let (blocks, rest) = values.as_chunks::<8>();
        for block in blocks {
            for (sum, &value) in sums.iter_mut().zip(block) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>()
    }
}
