//! Which vector instructions are used: by default the widest this machine has.
//!
//! Sums run over one partial sum per lane, so machines of different width differ in last bits. Products of matrices, attention outputs given the
//! probabilities, and exponentials do not; norms and softmax sums do.

use pulp::{Arch, Scalar, Simd, WithSimd};
use std::cell::Cell;

/// Vector instructions, from none to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// One number at a time.
    Scalar,
    /// AVX2 with FMA, where there is such a thing; else scalar.
    Avx2,
    /// Whatever the machine has.
    Widest,
}

thread_local! {
    static LIMIT: Cell<Width> = const { Cell::new(Width::Widest) };
}

/// Runs `body` with this thread's kernels limited to `width`: for tests of the narrower code on a wide machine, and to reproduce a narrower machine's bits.
pub fn with_limit<R>(width: Width, body: impl FnOnce() -> R) -> R {
    /// Puts the old limit back, also when `body` panics.
    struct Restore(Width);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restore = Restore(LIMIT.replace(width));
    body()
}

/// Runs `op` compiled for the instructions at hand.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match LIMIT.get() {
        Width::Widest => Arch::new().dispatch(op),
        #[cfg(target_arch = "x86_64")]
        Width::Avx2 if pulp::x86::V3::try_new().is_some() => {
            // The guard's answer is cached by pulp; asking again costs a load.
            let Some(simd) = pulp::x86::V3::try_new() else { unreachable!("just seen") };
            Simd::vectorize(simd, op)
        }
        _ => Simd::vectorize(Scalar::new(), op),
    }
}
