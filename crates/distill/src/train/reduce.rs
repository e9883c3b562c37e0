use kernels::vecmath;
use rayon::prelude::*;

/// Sums all buffers into the first one as a binary tree: (0 + 1) + (2 + 3) ..., elementwise, so that its rounding depends on the
/// number of buffers alone. The others are left with partial sums.
pub(crate) fn sum_tree(buffers: &mut [Vec<f32>], piece: usize) {
    let n = buffers.len();
    let mut stride = 1;
    while stride < n {
        for left in (0..n - stride).step_by(2 * stride) {
            let (head, tail) = buffers.split_at_mut(left + stride);
            head[left].par_chunks_mut(piece).zip(tail[0].par_chunks(piece)).for_each(|(a, b)| vecmath::axpy(1.0, b, a));
        }
        stride *= 2;
    }
}

/// Euclidean norm: squares summed in f64 within pieces of fixed size, pieces added in order.
pub(crate) fn norm(values: &[f32], piece: usize) -> f64 {
    let sums: Vec<f64> = values.par_chunks(piece).map(vecmath::sum_of_squares).collect();
    sums.iter().sum::<f64>().sqrt()
}
