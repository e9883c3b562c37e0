//! Exponentials and logarithms of many numbers at once, with the bits of `libm`, and the largest of them.
//!
//! The formulas are those of FreeBSD's `e_exp.c`, `e_expf.c` and `e_log.c` (Sun Microsystems, 1993), which `libm` follows: the argument is
//! reduced by multiples of ln 2, and what is left goes through a rational approximation. Branches are selections here, so that a loop over
//! numbers becomes vector instructions, those that `pulp` finds at run time. Every operation is one that `libm` does, in its order; numbers
//! out of the usual range are given to `libm` itself.

use pulp::{Arch, Simd, WithSimd};

/// Numbers that are worked on together.
const BLOCK: usize = 32;

/// Puts e^x in the place of each `x`.
pub(crate) fn exp(values: &mut [f64]) {
    Arch::new().dispatch(Exp(values));
}

/// Puts ln x in the place of each `x`.
pub(crate) fn log(values: &mut [f64]) {
    Arch::new().dispatch(Log(values));
}

/// Puts e^x in the place of each `x`, in single precision.
pub(crate) fn expf(values: &mut [f32]) {
    Arch::new().dispatch(Expf(values));
}

/// The largest of `values` that are numbers; minus infinity where there are none.
pub(crate) fn largest(values: &[f32]) -> f32 {
    Arch::new().dispatch(Largest(values))
}

struct Largest<'a>(&'a [f32]);

impl WithSimd for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let larger = |a: f32, b: f32| if b > a { b } else { a };
        let mut lanes = [f32::NEG_INFINITY; 16];
        let (whole, rest) = self.0.as_chunks::<16>();
        for values in whole {
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane = larger(*lane, *value);
            }
        }
        lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
    }
}

struct Exp<'a>(&'a mut [f64]);

impl WithSimd for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for block in self.0.chunks_mut(BLOCK) {
            // here e^x is 0 or a normal number, and multiplying by a power of two is exact
            if block.iter().fold(true, |usual, &x| usual & ((x.abs() <= 700.0) | (x == f64::NEG_INFINITY))) {
                block.iter_mut().for_each(|x| *x = exp_of(*x));
            } else {
                block.iter_mut().for_each(|x| *x = libm::exp(*x));
            }
        }
    }
}

/// e^x of a number from -700 to 700, or of minus infinity.
#[inline(always)]
fn exp_of(number: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const INV_LN2: f64 = std::f64::consts::LOG2_E;
    const P: [f64; 5] = [
        f64::from_bits(0x3fc5_5555_5555_553e),
        f64::from_bits(0xbf66_c16c_16be_bd93),
        f64::from_bits(0x3f11_566a_af25_de2c),
        f64::from_bits(0xbebb_bd41_c5d2_6bf1),
        f64::from_bits(0x3e66_3769_72be_a4d0),
    ];
    // above half of ln 2, from 1.5 ln 2 on, and above 2^-28, as far as the upper word tells
    const HALF: f64 = f64::from_bits(0x3fd6_2e43 << 32);
    const MORE: f64 = f64::from_bits(0x3ff0_a2b2 << 32);
    const TINY: f64 = f64::from_bits(0x3e30_0001 << 32);
    let finite = if number == f64::NEG_INFINITY { 0.0 } else { number };
    let size = finite.abs();
    let multiples = (INV_LN2 * finite + 0.5_f64.copysign(finite)).trunc();
    let multiples = if size >= MORE { multiples } else { 1.0_f64.copysign(finite) };
    let multiples = if size >= HALF { multiples } else { 0.0 };
    let (high, low) = (finite - multiples * LN2_HI, multiples * LN2_LO);
    let x = high - low;
    let xx = x * x;
    let c = x - xx * (P[0] + xx * (P[1] + xx * (P[2] + xx * (P[3] + xx * P[4]))));
    let y = 1.0 + (x * c / (2.0 - c) - low + high);
    // 1.5 2^52 leaves a small whole number in the lowest bits
    let power = (multiples + 6_755_399_441_055_744.0).to_bits().wrapping_add(1023) << 52;
    let y = if size >= TINY { y * f64::from_bits(power) } else { 1.0 + finite };
    if number == f64::NEG_INFINITY { 0.0 } else { y }
}

struct Expf<'a>(&'a mut [f32]);

impl WithSimd for Expf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for block in self.0.chunks_mut(BLOCK) {
            if block.iter().fold(true, |usual, &x| usual & ((x.abs() <= 80.0) | (x == f32::NEG_INFINITY))) {
                block.iter_mut().for_each(|x| *x = expf_of(*x));
            } else {
                block.iter_mut().for_each(|x| *x = libm::expf(*x));
            }
        }
    }
}

/// e^x of a number from -80 to 80, or of minus infinity.
#[inline(always)]
fn expf_of(number: f32) -> f32 {
    const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
    const LN2_LO: f32 = f32::from_bits(0x35bf_be8e);
    const INV_LN2: f32 = std::f32::consts::LOG2_E;
    const P1: f32 = f32::from_bits(0x3e2a_aa8f);
    const P2: f32 = f32::from_bits(0xbb35_5215);
    // above half of ln 2, above 1.5 ln 2, above 2^-14
    const HALF: f32 = f32::from_bits(0x3eb1_7219);
    const MORE: f32 = f32::from_bits(0x3f85_1593);
    const TINY: f32 = f32::from_bits(0x3900_0001);
    let finite = if number == f32::NEG_INFINITY { 0.0 } else { number };
    let size = finite.abs();
    let multiples = (INV_LN2 * finite + 0.5_f32.copysign(finite)).trunc();
    let multiples = if size >= MORE { multiples } else { 1.0_f32.copysign(finite) };
    let multiples = if size >= HALF { multiples } else { 0.0 };
    let (high, low) = (finite - multiples * LN2_HI, multiples * LN2_LO);
    let x = high - low;
    let xx = x * x;
    let c = x - xx * (P1 + xx * P2);
    let y = 1.0 + (x * c / (2.0 - c) - low + high);
    let power = (multiples + 12_582_912.0).to_bits().wrapping_add(127) << 23;
    let y = if size >= TINY { y * f32::from_bits(power) } else { 1.0 + finite };
    if number == f32::NEG_INFINITY { 0.0 } else { y }
}

struct Log<'a>(&'a mut [f64]);

impl WithSimd for Log<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for block in self.0.chunks_mut(BLOCK) {
            let usual = |x: f64| (f64::MIN_POSITIVE..=f64::MAX).contains(&x) | (x == 0.0);
            if block.iter().fold(true, |all, &x| all & usual(x)) {
                block.iter_mut().for_each(|x| *x = log_of(*x));
            } else {
                block.iter_mut().for_each(|x| *x = libm::log(*x));
            }
        }
    }
}

/// ln x of a normal positive number, or of 0.
#[inline(always)]
fn log_of(number: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const L: [f64; 7] = [
        f64::from_bits(0x3fe5_5555_5555_5593),
        f64::from_bits(0x3fd9_9999_9997_fa04),
        f64::from_bits(0x3fd2_4924_9422_9359),
        f64::from_bits(0x3fcc_71c5_1d8e_78af),
        f64::from_bits(0x3fc7_4664_96cb_03de),
        f64::from_bits(0x3fc3_9a09_d078_c69f),
        f64::from_bits(0x3fc2_f112_df3e_5244),
    ];
    /// The upper word of the square root of 1/2, above which what is reduced lies.
    const ROOT: u64 = 0x3fe6_a09e << 32;
    let positive = if number == 0.0 { 1.0 } else { number };
    let bits = positive.to_bits() + ((0x3ff0_0000 << 32) - ROOT);
    // an exponent above 0 in the lowest bits of 2^52
    let power = f64::from_bits(0x4330_0000_0000_0000 | bits >> 52) - 4_503_599_627_370_496.0 - 1023.0;
    let f = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + ROOT) - 1.0;
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * (L[1] + w * (L[3] + w * L[5]));
    let even = z * (L[0] + w * (L[2] + w * (L[4] + w * L[6])));
    let r = even + odd;
    let y = s * (half + r) + power * LN2_LO - half + f + power * LN2_HI;
    if number == 0.0 { f64::NEG_INFINITY } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a generator that fill all bits.
    fn words(count: usize) -> impl Iterator<Item = u64> {
        let mut word = 0x1234_5678_9abc_def1_u64;
        std::iter::repeat_with(move || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word
        })
        .take(count)
    }

    fn same(values: &[f64], many: fn(&mut [f64]), one: fn(f64) -> f64) {
        let mut found = values.to_vec();
        many(&mut found);
        for (x, found) in values.iter().zip(found) {
            let expected = one(*x);
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{x:e}: {found} for {expected}"
            );
        }
    }

    /// Numbers about the places where a formula changes, and their neighbours.
    fn edges(of: &[f64]) -> Vec<f64> {
        of.iter().flat_map(|x| [-1_i64, 0, 1].map(|step| f64::from_bits(x.to_bits().wrapping_add_signed(step)))).collect()
    }

    #[test]
    fn exponentials_have_the_bits_of_libm() {
        let spread = |scale: f64| words(200_000).map(move |word| scale * (word as f64 / 2f64.powi(63) - 1.0)).collect::<Vec<_>>();
        for scale in [800.0, 40.0, 2.0, 0.5, 1e-3, 1e-8, 1e-300] {
            same(&spread(scale), exp, libm::exp);
        }
        // as differences of logits come
        same(&words(200_000).map(|word| -f64::from((word >> 40) as f32 / 1e6)).collect::<Vec<_>>(), exp, libm::exp);
        let [half, more, tiny] = [0x3fd6_2e42_u64, 0x3ff0_a2b2, 0x3e30_0000].map(|word| f64::from_bits(word << 32));
        let next = |x: f64| f64::from_bits(x.to_bits() | 0xffff_ffff);
        for x in edges(&[half, next(half), more, next(more), tiny, next(tiny), 0.0, 700.0, 708.0, 745.2, 1e300, f64::INFINITY]) {
            same(&[x, -x], exp, libm::exp);
        }
        same(&[f64::NEG_INFINITY, -1.0, 0.0, -0.0], exp, libm::exp);
        same(&[f64::NAN, -1.0], exp, libm::exp);
    }

    #[test]
    fn logarithms_have_the_bits_of_libm() {
        same(&words(300_000).map(|word| f64::from_bits(word >> 1)).collect::<Vec<_>>(), log, libm::log);
        same(&words(300_000).map(|word| word as f64 / 2f64.powi(64)).collect::<Vec<_>>(), log, libm::log);
        same(&words(300_000).map(|word| 0.5 + word as f64 / 2f64.powi(64)).collect::<Vec<_>>(), log, libm::log);
        let root = [f64::from_bits(0x3fe6_a09e << 32), f64::from_bits(0x3ff6_a09e << 32)];
        for x in edges(&[&root[..], &[1.0, 2.0, 0.5, 0.0, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, -1.0]].concat()) {
            same(&[x], log, libm::log);
            same(&[x, 0.3, 0.0], log, libm::log);
        }
    }

    #[test]
    fn single_exponentials_have_the_bits_of_libm() {
        let same = |values: &[f32]| {
            let mut found = values.to_vec();
            expf(&mut found);
            for (x, found) in values.iter().zip(found) {
                let expected = libm::expf(*x);
                assert!(
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                    "{x:e}: {found}, {expected}"
                );
            }
        };
        for scale in [110.0, 40.0, 2.0, 0.5, 1e-3, 1e-5, 1e-30] {
            let spread: Vec<f32> = words(200_000).map(|word| scale * (word as f64 / 2f64.powi(63) - 1.0) as f32).collect();
            same(&spread);
        }
        for word in [0x3eb1_7218_u32, 0x3f85_1592, 0x3900_0000, 0x42a0_0000, 0x42ae_ac50, 0x7f80_0000] {
            for word in [word - 1, word, word + 1] {
                same(&[f32::from_bits(word), -f32::from_bits(word)]);
            }
        }
        same(&[f32::NEG_INFINITY, -1.0, 0.0, -0.0, f32::MIN_POSITIVE]);
    }
}
