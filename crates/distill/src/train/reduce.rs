use kernels::vecmath;
use rayon::prelude::*;

/// Sums all buffers (equally long) into the first one as a binary tree: (0 + 1) + (2 + 3) ..., elementwise, so that its rounding depends on the
/// number of buffers alone; the others are left with partial sums. Returns the Euclidean norm of the sum: squares summed in f64 within
/// pieces of `piece` elements, pieces added in order.
pub(crate) fn sum_tree(buffers: &mut [Vec<f32>], piece: usize) -> f64 {
    let mut pieces: Vec<Vec<&mut [f32]>> = Vec::new();
    for buffer in buffers {
        pieces.resize_with(buffer.len().div_ceil(piece), Vec::new);
        for (parts, part) in pieces.iter_mut().zip(buffer.chunks_mut(piece)) {
            parts.push(part);
        }
    }
    let squares: Vec<f64> = pieces.into_par_iter().map(|mut parts| sum_piece(&mut parts)).collect();
    squares.iter().sum::<f64>().sqrt()
}

/// The tree over one piece of every buffer, while it is in the cache; returns the sum of squares.
fn sum_piece(parts: &mut [&mut [f32]]) -> f64 {
    let n = parts.len();
    let mut stride = 1;
    while stride < n {
        for left in (0..n - stride).step_by(2 * stride) {
            let (head, tail) = parts.split_at_mut(left + stride);
            vecmath::axpy(1.0, tail[0], head[left]);
        }
        stride *= 2;
    }
    parts.first().map_or(0.0, |sum| vecmath::sum_of_squares(sum))
}
