//! Drawing from a row of logits: the token at a quantile of softmax(logits / temperature), after two sweeps that write nothing.
//!
//! Only sums of blocks are kept. The block a quantile falls in is found by bisection, and its weights are computed again: so a row can be drawn from
//! many times, and single logits of it changed in between, at the price of a block each.

use crate::simd::{chunks, exp, get, put, vectorized};
use crate::sums::{Sums, sixteens};

/// Tokens of a block: what one draw computes twice.
const BLOCK: usize = 64;

vectorized! {
    /// Largest value; `-inf` for none, NaN if any is NaN.
    pub fn max_or_nan<'a, S>(simd; values: &'a [f32]) -> f32 {
        let lowest = simd.splat_f32s(f32::NEG_INFINITY);
        let (mut a, mut b) = (lowest, lowest);
        let (mut numbers_a, mut numbers_b) = (simd.equal_f32s(lowest, lowest), simd.equal_f32s(lowest, lowest));
        let (pairs, rest) = values.split_at(values.len() - values.len() % (2 * S::F32_LANES));
        for pair in pairs.chunks_exact(2 * S::F32_LANES) {
            let (x, y) = (get(simd, pair, 0, S::F32_LANES), get(simd, pair, S::F32_LANES, S::F32_LANES));
            numbers_a = simd.and_m32s(numbers_a, simd.equal_f32s(x, x));
            numbers_b = simd.and_m32s(numbers_b, simd.equal_f32s(y, y));
            a = simd.max_f32s(x, a);
            b = simd.max_f32s(y, b);
        }
        let numbers = simd.and_m32s(numbers_a, numbers_b);
        let ones = simd.select_f32s(numbers, simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        if simd.reduce_max_f32s(ones) > 0.0 || rest.iter().any(|value| value.is_nan()) {
            return f32::NAN;
        }
        rest.iter().fold(simd.reduce_max_f32s(simd.max_f32s(a, b)), |highest, &value| highest.max(value))
    }
}

/// Index of the largest value, the first of equal ones; `None` when that is not finite or a value is NaN.
pub fn first_max(values: &[f32]) -> Option<usize> {
    let highest = max_or_nan(values);
    if !highest.is_finite() {
        return None;
    }
    let holds = |block: &[f32]| block.iter().fold(false, |found, &value| found | (value == highest));
    let block = values.chunks(BLOCK).position(holds)?;
    let start = block * BLOCK;
    values[start..].iter().position(|&value| value == highest).map(|at| start + at)
}

/// The distribution function of softmax(logits / temperature) at the ends of blocks of ids.
///
/// A weight `exp((logit - max) / temperature)` is exact to a few ulp, a block's sum to about 1e-6 of itself, and blocks are added in f64.
#[derive(Debug, Clone, Default)]
pub struct Quantiles {
    highest: f32,
    inverse_temperature: f32,
    sums: Vec<f32>,
    /// Sum of all blocks up to and including each.
    ends: Vec<f64>,
}

impl Quantiles {
    /// Nothing to draw from yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sums the weights of `logits` (vocab) at `temperature` above 0; false when nothing can be drawn from them: no logit is finite, or one is NaN or
    /// plus infinity.
    pub fn prepare(&mut self, logits: &[f32], temperature: f32) -> bool {
        self.highest = max_or_nan(logits);
        if !self.highest.is_finite() {
            return false;
        }
        // The largest logit's weight is 1 also at temperatures whose inverse overflows.
        self.inverse_temperature = (1.0 / temperature).min(f32::MAX);
        self.sums.resize(logits.len().div_ceil(BLOCK), 0.0);
        self.ends.resize(self.sums.len(), 0.0);
        block_sums(logits, self.highest, self.inverse_temperature, &mut self.sums);
        self.add_up(0);
        true
    }

    fn add_up(&mut self, from: usize) {
        let mut sum = if from == 0 { 0.0 } else { self.ends[from - 1] };
        for (end, &block) in self.ends[from..].iter_mut().zip(&self.sums[from..]) {
            sum += f64::from(block);
            *end = sum;
        }
    }

    /// Sum of all weights, that of the largest logit when prepared being 1.
    pub fn total(&self) -> f64 {
        self.ends.last().copied().unwrap_or(0.0)
    }

    /// The token at quantile `uniform` in [0, 1) of the `logits` last prepared: ids in order.
    ///
    /// # Panics
    /// If nothing was prepared, or a shorter row.
    pub fn token_at(&self, logits: &[f32], uniform: f64) -> usize {
        let total = self.total();
        let wanted = uniform * total;
        let mut block = self.ends.partition_point(|&end| end <= wanted);
        if block == self.ends.len() {
            // Rounding made `wanted` the whole: the last possible token is meant.
            block = self.ends.partition_point(|&end| end < total);
        }
        let start = block * BLOCK;
        let logits = &logits[start..logits.len().min(start + BLOCK)];
        let mut weights = [0.0; BLOCK];
        let weights = &mut weights[..logits.len()];
        block_weights(logits, self.highest, self.inverse_temperature, weights);
        let mut sum = if block == 0 { 0.0 } else { self.ends[block - 1] };
        let found = weights.iter().position(|&weight| {
            sum += f64::from(weight);
            sum > wanted
        });
        // The same rounding within the block.
        start + found.unwrap_or_else(|| weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0))
    }

    /// Sums again the block of `token`, whose logit was lowered since `logits` were prepared.
    ///
    /// # Panics
    /// As [`Self::token_at`].
    pub fn lowered(&mut self, logits: &[f32], token: usize) {
        let block = token / BLOCK;
        let logits = &logits[block * BLOCK..logits.len().min((block + 1) * BLOCK)];
        block_sums(logits, self.highest, self.inverse_temperature, &mut self.sums[block..=block]);
        self.add_up(block);
    }
}

vectorized! {
    /// `weights = exp((logits - highest) * inverse_temperature)`.
    fn block_weights<'a, S>(simd; logits: &'a [f32], highest: f32, inverse_temperature: f32, weights: &'a mut [f32]) -> () {
        let (highest, inverse) = (simd.splat_f32s(highest), simd.splat_f32s(inverse_temperature));
        chunks(simd, logits.len(), #[inline(always)] |at, n| {
            let z = simd.mul_f32s(simd.sub_f32s(get(simd, logits, at, n), highest), inverse);
            put(simd, weights, at, n, exp(simd, z));
        });
    }
}

vectorized! {
    /// Sums of `exp((logits - highest) * inverse_temperature)` over blocks.
    fn block_sums<'a, S>(simd; logits: &'a [f32], highest: f32, inverse_temperature: f32, sums: &'a mut [f32]) -> () {
        let (highest, inverse) = (simd.splat_f32s(highest), simd.splat_f32s(inverse_temperature));
        for (block, block_sum) in logits.chunks(BLOCK).zip(sums) {
            let mut sums = Sums::new(simd);
            sixteens(simd, block.len(), #[inline(always)] |at, n, part| {
                let z = simd.mul_f32s(simd.sub_f32s(get(simd, block, at, n), highest), inverse);
                let e = exp(simd, z);
                // lanes beyond the row add nothing
                let e = if n == S::F32_LANES {
                    e
                } else {
                    let mut tail = [0.0; BLOCK];
                    put(simd, &mut tail, 0, n, e);
                    get(simd, &tail, 0, n)
                };
                sums.add(simd, part, e);
            });
            *block_sum = sums.total();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{Width, with_limit};

    const CUT: f32 = f32::NEG_INFINITY;

    fn noise(n: usize, scale: f32, seed: u64) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| scale * (rng.random::<f32>() - 0.5)).collect()
    }

    /// Against the definition in f64: the token drawn at u is one whose stretch of the distribution function holds u, up to 2e-6 for `f32` weights.
    fn check(logits: &[f32], temperature: f32) {
        let highest = logits.iter().copied().fold(CUT, f32::max);
        let weight = |&logit: &f32| libm::exp((f64::from(logit) - f64::from(highest)) / f64::from(temperature));
        let total: f64 = logits.iter().map(weight).sum();
        let mut ends = vec![0.0];
        ends.extend(logits.iter().scan(0.0, |sum, logit| {
            *sum += weight(logit) / total;
            Some(*sum)
        }));
        let mut quantiles = Quantiles::new();
        assert!(quantiles.prepare(logits, temperature));
        for i in 0..=2_000 {
            let uniform = (f64::from(i) / 2_000.0).min(1.0 - f64::EPSILON / 2.0);
            let token = quantiles.token_at(logits, uniform);
            let (low, high) = (ends[token] - 2e-6, ends[token + 1] + 2e-6);
            assert!(low <= uniform && uniform <= high, "token {token} at {uniform}, whose stretch is {low}..{high}");
            assert!(logits[token] > CUT);
        }
    }

    #[test]
    fn every_quantile_is_that_of_the_definition() {
        for width in [Width::Scalar, Width::Avx2, Width::Widest] {
            with_limit(width, || {
                for (n, scale, temperature) in [
                    (1, 1.0, 1.0),
                    (7, 4.0, 1.0),
                    (64, 1.0, 0.3),
                    (65, 20.0, 1.0),
                    (1_000, 8.0, 2.0),
                    (1_024, 200.0, 1.0),
                    (3_001, 2.0, 1.0),
                ] {
                    let mut logits = noise(n, scale, n as u64);
                    check(&logits, temperature);
                    for logit in logits.iter_mut().skip(1).step_by(3) {
                        *logit = CUT;
                    }
                    check(&logits, temperature);
                    logits[n - 1] = CUT;
                    if n > 1 {
                        check(&logits, temperature);
                    }
                }
            });
        }
    }

    #[test]
    fn a_lowered_logit_is_drawn_as_if_it_had_always_been_there() {
        let mut logits = noise(300, 3.0, 1);
        let mut quantiles = Quantiles::new();
        assert!(quantiles.prepare(&logits, 1.0));
        for token in [0, 63, 64, 150, 299] {
            logits[token] -= 2.0;
            quantiles.lowered(&logits, token);
        }
        let mut fresh = Quantiles::new();
        assert!(fresh.prepare(&logits, 1.0));
        for i in 0..1_000 {
            let uniform = f64::from(i) / 1_000.0 + 1e-4;
            assert_eq!(quantiles.token_at(&logits, uniform), fresh.token_at(&logits, uniform));
        }
    }

    #[test]
    fn temperatures_near_zero_leave_the_largest() {
        let mut quantiles = Quantiles::new();
        for temperature in [1e-30, f32::MIN_POSITIVE / 8.0] {
            assert!(quantiles.prepare(&[1.0, 2.0, 1.5], temperature));
            assert_eq!(quantiles.token_at(&[1.0, 2.0, 1.5], 0.3), 1);
        }
    }

    #[test]
    fn nothing_is_drawn_from_a_broken_row() {
        let mut quantiles = Quantiles::new();
        for n in [2, 40, 100] {
            for (value, at) in [(f32::NAN, 0), (f32::NAN, n - 1), (f32::INFINITY, n / 2)] {
                let mut row = vec![1.0; n];
                row[at] = value;
                assert!(!quantiles.prepare(&row, 1.0) && first_max(&row).is_none(), "{value} at {at} of {n}");
            }
            assert!(!quantiles.prepare(&vec![CUT; n], 1.0) && first_max(&vec![CUT; n]).is_none());
        }
        assert!(!quantiles.prepare(&[], 1.0) && first_max(&[]).is_none());
    }

    #[test]
    fn the_first_of_equal_largest_is_found() {
        for n in [1, 5, 64, 100, 129, 1_000] {
            for at in [0, n / 2, n - 1] {
                let mut row = noise(n, 1.0, 3);
                row[at] = 7.0;
                row[n - 1] = 7.0;
                assert_eq!(first_max(&row), Some(at));
            }
        }
        assert_eq!(first_max(&[-0.0, 0.0]), Some(0));
    }
}
