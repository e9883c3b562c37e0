//! A matrix product of the `gemm` crate: the speed that our own code is compared with.

use gemm::{Parallelism, gemm};

/// `c = a b`, each (n, n) and row-major, on the calling thread alone.
///
/// # Panics
/// If a length is not `n * n`.
pub fn product(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!([a.len(), b.len(), c.len()] == [n * n; 3], "peak: three matrices of {n} by {n}");
    let stride = n as isize;
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: three row-major matrices of n by n, as asserted; `c` is borrowed mutably, so it overlaps neither of the others.
    unsafe {
        gemm(n, n, n, c, 1, stride, false, a, 1, stride, b, 1, stride, 0.0, 1.0, false, false, false, Parallelism::None);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_multiplies() {
        let mut c = [9.0; 4];
        super::product(2, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &mut c);
        assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
    }
}
