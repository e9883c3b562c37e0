//! The vector layer: run-time dispatch, loads and stores, and the exponential every other file builds on.
//!
//! Code is written once over `pulp::Simd` and compiled for AVX-512, AVX2 and plain scalars (NEON on ARM); `vectorized!` picks at run time.

use pulp::{MemMask, Simd};

/// Declares a function whose body is compiled for every instruction set and dispatched at run time.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<'a, $s:ident>($simd:ident; $($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[expect(clippy::allow_attributes, reason = "not every expansion needs the allowance below")]
        #[allow(clippy::too_many_arguments, clippy::extra_unused_lifetimes, reason = "kernels take their operands apart")]
        $vis fn $name<'a>($($arg: $ty),*) -> $ret {
            struct Op<'a> { $($arg: $ty,)* lifetime: std::marker::PhantomData<&'a ()> }
            impl<'a> pulp::WithSimd for Op<'a> {
                type Output = $ret;
                #[inline(always)]
                fn with_simd<$s: pulp::Simd>(self, $simd: $s) -> $ret {
                    let Self { $($arg,)* .. } = self;
                    $body
                }
            }
            crate::vectors::dispatch(Op { $($arg,)* lifetime: std::marker::PhantomData })
        }
    };
}
pub(crate) use vectorized;

/// Reads one full vector.
///
/// # Safety
/// `ptr` is valid for `S::F32_LANES` reads.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(ptr: *const f32) -> S::f32s {
    // SAFETY: the caller vouches for the range; vectors are plain data without alignment demands here.
    unsafe { ptr.cast::<S::f32s>().read_unaligned() }
}

/// Asks for the cache line at `ptr`, which may be any address: nothing is read. Into the first-level cache: for what is needed next.
#[inline(always)]
pub(crate) fn prefetch(ptr: *const f32) {
    // SAFETY: a prefetch never faults, and SSE is part of every x86-64.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(ptr.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = ptr;
}

/// The same into the second-level cache only: for more than the first one holds.
#[inline(always)]
pub(crate) fn prefetch_outer(ptr: *const f32) {
    // SAFETY: as in `prefetch`.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(ptr.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = ptr;
}

/// Writes one full vector.
///
/// # Safety
/// `ptr` is valid for `S::F32_LANES` writes.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(ptr: *mut f32, value: S::f32s) {
    // SAFETY: the caller vouches for the range.
    unsafe { ptr.cast::<S::f32s>().write_unaligned(value) }
}

/// Reads the first `n` lanes, zero in the others.
///
/// # Safety
/// `ptr` is valid for `n` reads.
#[inline(always)]
pub(crate) unsafe fn load_part<S: Simd>(simd: S, ptr: *const f32, n: usize) -> S::f32s {
    // A mask without pulp's assembly stubs becomes one masked load.
    let mask = MemMask::new(simd.mask_between_m32s(0, n.min(S::F32_LANES) as u32).mask());
    // SAFETY: only the first `n` lanes are enabled.
    unsafe { simd.mask_load_ptr_f32s(mask, ptr) }
}

/// Writes the first `n` lanes.
///
/// # Safety
/// `ptr` is valid for `n` writes.
#[inline(always)]
pub(crate) unsafe fn store_part<S: Simd>(simd: S, ptr: *mut f32, n: usize, value: S::f32s) {
    let mask = MemMask::new(simd.mask_between_m32s(0, n.min(S::F32_LANES) as u32).mask());
    // SAFETY: only the first `n` lanes are enabled.
    unsafe { simd.mask_store_ptr_f32s(mask, ptr, value) }
}

/// `to[c * to_stride + r] = from[r * from_stride + c]` for `rows` rows of `columns`.
pub(crate) fn transpose(from: &[f32], from_stride: usize, rows: usize, columns: usize, to: &mut [f32], to_stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(from.len() >= (rows - 1) * from_stride + columns, "transpose: source too short");
    assert!(to.len() >= (columns - 1) * to_stride + rows, "transpose: target too short");
    let whole = if cfg!(target_arch = "x86_64") { (rows / 4 * 4, columns / 4 * 4) } else { (0, 0) };
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
        let target = to.as_mut_ptr();
        for c in (0..whole.1).step_by(4) {
            for r in (0..whole.0).step_by(4) {
                // SAFETY: rows r..r + 4 and columns c..c + 4 lie inside both slices, by the lengths asserted; SSE is part of every x86-64.
                unsafe {
                    let row = |i: usize| _mm_loadu_ps(from.as_ptr().add((r + i) * from_stride + c));
                    let (a, b, x, y) = (row(0), row(1), row(2), row(3));
                    let (low, low2) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(x, y));
                    let (high, high2) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(x, y));
                    let column = |i: usize| target.add((c + i) * to_stride + r);
                    _mm_storeu_ps(column(0), _mm_movelh_ps(low, low2));
                    _mm_storeu_ps(column(1), _mm_movehl_ps(low2, low));
                    _mm_storeu_ps(column(2), _mm_movelh_ps(high, high2));
                    _mm_storeu_ps(column(3), _mm_movehl_ps(high2, high));
                }
            }
        }
    }
    // What is left at the edges.
    for r in 0..rows {
        for c in if r < whole.0 { whole.1 } else { 0 }..columns {
            to[c * to_stride + r] = from[r * from_stride + c];
        }
    }
}

/// A constant in every lane.
#[inline(always)]
pub(crate) fn splat<S: Simd>(simd: S, value: f32) -> S::f32s {
    simd.splat_f32s(value)
}

/// Calls `each(offset, lanes)` over `len` in whole vectors, then once for what is left.
///
/// `each` must be marked `#[inline(always)]`: a closure left as a function of its own is compiled without the vector instructions, and so is all it calls.
#[inline(always)]
pub(crate) fn chunks<S: Simd>(_: S, len: usize, mut each: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at + S::F32_LANES <= len {
        each(at, S::F32_LANES);
        at += S::F32_LANES;
    }
    if at < len {
        each(at, len - at);
    }
}

/// Reads lanes `at..at + n` of a slice, zero beyond; `n` is at most one vector.
#[inline(always)]
pub(crate) fn get<S: Simd>(simd: S, values: &[f32], at: usize, n: usize) -> S::f32s {
    let values = &values[at..at + n];
    // SAFETY: the slice above is exactly the range read.
    unsafe { if n == S::F32_LANES { load::<S>(values.as_ptr()) } else { load_part(simd, values.as_ptr(), n) } }
}

/// Writes lanes `at..at + n` of a slice; `n` is at most one vector.
#[inline(always)]
pub(crate) fn put<S: Simd>(simd: S, values: &mut [f32], at: usize, n: usize, value: S::f32s) {
    let values = &mut values[at..at + n];
    // SAFETY: the slice above is exactly the range written.
    unsafe {
        if n == S::F32_LANES { store::<S>(values.as_mut_ptr(), value) } else { store_part(simd, values.as_mut_ptr(), n, value) }
    }
}

/// Below this `exp` is less than the smallest normal number and flushed to 0.
pub(crate) const EXP_LOW: f32 = -87.336_54;
/// Above this `exp` overflows.
const EXP_HIGH: f32 = 88.722_83;

/// `exp` with at most about 1 ulp of error; 0 below `EXP_LOW`, infinity above the range, NaN kept.
///
/// Cephes `expf` (Moshier, netlib cephes/single/expf.c): `x = n ln 2 + r`, a degree-5 minimax polynomial for `(e^r - 1 - r) / r^2`, and `n` added to the exponent.
/// `n` is rounded by adding 1.5 * 2^23, which leaves it in the low bits.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const ROUND: f32 = 12_582_912.0;
    let clamped = simd.min_f32s(splat(simd, EXP_HIGH), simd.max_f32s(splat(simd, EXP_LOW), x));
    let rounded = simd.mul_add_f32s(clamped, splat(simd, std::f32::consts::LOG2_E), splat(simd, ROUND));
    let n = simd.sub_f32s(rounded, splat(simd, ROUND));
    let r = simd.mul_add_f32s(n, splat(simd, -0.693_359_4), clamped);
    let r = simd.mul_add_f32s(n, splat(simd, 2.121_944_4e-4), r);
    let mut p = splat(simd, 1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = simd.mul_add_f32s(p, r, splat(simd, coefficient));
    }
    let p = simd.mul_add_f32s(p, simd.mul_f32s(r, r), r);
    let p = simd.add_f32s(p, splat(simd, 1.0));
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let value = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent));
    let value = simd.select_f32s(simd.less_than_f32s(x, splat(simd, EXP_LOW)), splat(simd, 0.0), value);
    let value = simd.select_f32s(simd.greater_than_f32s(x, splat(simd, EXP_HIGH)), splat(simd, f32::INFINITY), value);
    simd.select_f32s(simd.equal_f32s(x, x), value, x)
}

/// Largest element, `-inf` for none; NaN does not win and is met later.
#[inline(always)]
pub(crate) fn max<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let lowest = simd.splat_f32s(f32::NEG_INFINITY);
    let (mut a, mut b) = (lowest, lowest);
    let mut at = 0;
    while at + 2 * S::F32_LANES <= values.len() {
        a = simd.max_f32s(get(simd, values, at, S::F32_LANES), a);
        b = simd.max_f32s(get(simd, values, at + S::F32_LANES, S::F32_LANES), b);
        at += 2 * S::F32_LANES;
    }
    let mut highest = simd.reduce_max_f32s(simd.max_f32s(a, b));
    for &value in &values[at..] {
        highest = highest.max(value);
    }
    highest
}
