//! Final norm, head and loss, tile by tile: logits of a few positions at a time, so the (rows, time, vocab) tensor never exists.

use super::packed::{PackedWeights, StepWeights};
use super::shape::LlamaShape;
use super::workspace::HeadBuffers;
use crate::RowLoss;
use crate::buffer::Buffer;
use crate::matmul::{Into, times_packed, transposed_times};
use crate::ops::{rms_norm, rms_norm_backward};

/// Positions per tile: logits of about half a megabyte (second-level cache), but enough rows that reading the head's weights is amortised.
pub(crate) fn tile_rows(shape: &LlamaShape) -> usize {
    ((128 << 10) / shape.vocab).next_multiple_of(8).clamp(128, 512)
}

impl HeadBuffers {
    /// Logits of `n` listed positions from the `first` on, into `self.logits` (n, vocab); `x`: (m, hidden).
    pub(crate) fn forward(&mut self, shape: &LlamaShape, weights: &PackedWeights, x: &[f32], first: usize, n: usize) {
        let (h, v) = (shape.hidden, shape.vocab);
        let tile = self.x.take(n * h);
        for (&position, to) in self.positions[first..first + n].iter().zip(tile.chunks_exact_mut(h)) {
            to.copy_from_slice(&x[position * h..][..h]);
        }
        let normed = self.normed.take(n * h);
        rms_norm(tile, &weights.final_norm, shape.norm_eps, normed, self.inverse_rms.take(n));
        times_packed(n, v, h, normed, weights.head.all(), self.logits.take(n * v), Into::Set);
    }

    /// Losses of the scored positions; writes d loss / d residual into `dx` (m, hidden), and the gradients of the final norm and the head.
    ///
    /// With a tied head the embedding's gradient is left holding the head's part.
    #[expect(clippy::too_many_arguments, reason = "one stage of the step, split out for length")]
    pub(crate) fn loss_and_gradient(
        &mut self,
        shape: &LlamaShape,
        weights: &StepWeights,
        x: &[f32],
        loss: &dyn RowLoss,
        dx: &mut [f32],
        grad: &mut [f32],
        into: Into,
        scratch: &mut Buffer,
    ) -> f64 {
        let (h, v) = (shape.hidden, shape.vocab);
        dx.fill(0.0);
        if into == Into::Set {
            grad[shape.final_norm()].fill(0.0);
        }
        self.positions.clear();
        self.positions.extend((0..dx.len() / h).filter(|&position| loss.scored(position)));
        if self.positions.is_empty() && into == Into::Set {
            grad[shape.head()].fill(0.0);
        }
        let mut total = 0.0;
        let tile = tile_rows(shape);
        for first in (0..self.positions.len()).step_by(tile) {
            let n = tile.min(self.positions.len() - first);
            self.forward(shape, &weights.forward, x, first, n);
            let positions = &self.positions[first..first + n];
            let logits = self.logits.take(n * v);
            for (&position, row) in positions.iter().zip(logits.chunks_exact_mut(v)) {
                total += loss.loss_and_gradient(position, row);
            }
            let d_normed = self.d_normed.take(n * h);
            times_packed(n, h, v, logits, weights.backward.head.all(), d_normed, Into::Set);
            let into = if first == 0 { into } else { Into::Add };
            transposed_times(v, h, n, logits, self.normed.take(n * h), &mut grad[shape.head()], into, scratch);
            let d_tile = self.dx.take(n * h);
            d_tile.fill(0.0);
            let d_norm = &mut grad[shape.final_norm()];
            rms_norm_backward(
                d_normed,
                self.x.take(n * h),
                &weights.forward.final_norm,
                self.inverse_rms.take(n),
                d_tile,
                d_norm,
            );
            for (&position, from) in positions.iter().zip(d_tile.chunks_exact(h)) {
                dx[position * h..][..h].copy_from_slice(from);
            }
        }
        total
    }
}
