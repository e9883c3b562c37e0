//! Which vector instructions are used: by default the widest this machine has.
//!
//! No result depends on them: products are one chain of fused multiply-adds for each element, sums those of [`crate::sums`].

use pulp::{Arch, Scalar, Simd, WithSimd};
use std::cell::Cell;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

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

impl Width {
    const ALL: [(&'static str, Self); 3] = [("scalar", Self::Scalar), ("avx2", Self::Avx2), ("widest", Self::Widest)];
}

impl FromStr for Width {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, width)| width).ok_or_else(|| format!("write {}", Self::ALL.map(|(known, _)| known).join(", ")))
    }
}

/// What no thread of this process goes beyond, as a number.
static PROCESS: AtomicU8 = AtomicU8::new(Width::Widest as u8);

/// Limits the kernels of this whole process to `width`: for measuring the narrower code on a wide machine. No result depends on it.
pub fn limit_process(width: Width) {
    PROCESS.store(width as u8, Ordering::Relaxed);
}

thread_local! {
    static LIMIT: Cell<Width> = const { Cell::new(Width::Widest) };
}

/// Runs `body` with this thread's kernels limited to `width`: for tests of the narrower code on a wide machine.
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
    let process = PROCESS.load(Ordering::Relaxed);
    let limit = if process < LIMIT.get() as u8 {
        if process == Width::Scalar as u8 { Width::Scalar } else { Width::Avx2 }
    } else {
        LIMIT.get()
    };
    match limit {
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

/// The vector instructions that kernels called from this thread use: `avx512`, `avx2`, `neon` or `scalar`.
pub fn in_use() -> &'static str {
    /// Says which instructions it is compiled for.
    struct Name;
    impl WithSimd for Name {
        type Output = &'static str;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> &'static str {
            std::any::type_name::<S>()
        }
    }
    match dispatch(Name).rsplit("::").next() {
        Some("V4") => "avx512",
        Some("V3") => "avx2",
        Some("Neon") => "neon",
        _ => "scalar",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_in_use_are_named() {
        assert_eq!(with_limit(Width::Scalar, in_use), "scalar");
        #[cfg(target_arch = "x86_64")]
        if pulp::x86::V3::try_new().is_some() {
            assert_eq!(with_limit(Width::Avx2, in_use), "avx2");
            assert!(["avx2", "avx512"].contains(&in_use()), "{}", in_use());
        }
        #[cfg(target_arch = "aarch64")]
        assert_eq!(in_use(), "neon");
    }
}
