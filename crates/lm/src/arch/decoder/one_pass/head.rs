use candle_core::{Result, Tensor};
use kernels::products::{Rows, times, transposed_times};

use super::floats::with_floats;
use crate::arch::summed::{Place, Summed};

/// The last product and the loss, some positions at a time: logits of a whole batch, which are larger than all else, never exist.
pub(crate) struct HeadPass<'a> {
    pub(crate) summed: &'a Summed,
    /// (vocabulary, hidden).
    pub(crate) table: Place,
    pub(crate) vocab: usize,
    pub(crate) hidden: usize,
    /// Logits go through c tanh(x / c).
    pub(crate) soft_cap: Option<f32>,
}

/// Replaces the logits after a position by the gradient of its loss, which is returned.
pub(crate) type Loss<'a> = dyn FnMut(usize, &mut [f32]) -> f64 + 'a;

impl HeadPass<'_> {
    /// The loss after `positions` of `states` (n, hidden), summed, and its gradient with respect to all of `states`.
    pub(crate) fn losses(&self, states: &Tensor, positions: &[usize], loss: &mut Loss<'_>) -> Result<(f64, Tensor)> {
        let (sum, slopes) = with_floats(states, |states| self.tiles(states, positions, loss))?;
        Ok((sum, Tensor::from_vec(slopes, states.shape(), states.device())?))
    }

    fn tiles(&self, states: &[f32], positions: &[usize], loss: &mut Loss<'_>) -> (f64, Vec<f32>) {
        let (vocab, hidden) = (self.vocab, self.hidden);
        let table = self.summed.values(&self.table);
        let mut slopes = vec![0.0; states.len()];
        let mut memory = self.summed.take_head();
        if !std::mem::replace(&mut memory.holds, true) {
            memory.forth.hold_transposed(table, vocab, hidden);
            memory.back.hold(table, vocab, hidden);
        }
        // logits of about half a megabyte, but enough rows that reading the table is worth it
        let tile = ((128 << 10) / vocab).next_multiple_of(8).clamp(128, 512).min(positions.len());
        let (mut x, mut dx) = (vec![0.0; tile * hidden], vec![0.0; tile * hidden]);
        memory.logits.resize(tile * vocab, 0.0);
        let mut cap_slopes = vec![0.0; if self.soft_cap.is_some() { vocab } else { 0 }];
        let mut sum = 0.0;
        for positions in positions.chunks(tile) {
            let n = positions.len();
            for (position, x) in positions.iter().zip(x.chunks_exact_mut(hidden)) {
                x.copy_from_slice(&states[position * hidden..][..hidden]);
            }
            times(n, vocab, hidden, Rows { values: &x, stride: hidden }, &memory.forth, &mut memory.logits, vocab, false);
            for (position, row) in positions.iter().zip(memory.logits.chunks_exact_mut(vocab)) {
                if let Some(cap) = self.soft_cap {
                    for (logit, cap_slope) in row.iter_mut().zip(&mut cap_slopes) {
                        let tanh = libm::tanhf(*logit / cap);
                        (*logit, *cap_slope) = (cap * tanh, 1.0 - tanh * tanh);
                    }
                }
                sum += loss(*position, row);
                row.iter_mut().zip(&cap_slopes).for_each(|(slope, cap_slope)| *slope *= cap_slope);
            }
            times(n, hidden, vocab, Rows { values: &memory.logits, stride: vocab }, &memory.back, &mut dx, hidden, false);
            self.summed.add(&self.table, |sum, holds, shared| {
                transposed_times(vocab, hidden, n, &memory.logits, &x, sum, holds, &mut shared.room);
            });
            for (position, dx) in positions.iter().zip(dx.chunks_exact(hidden)) {
                slopes[position * hidden..][..hidden].copy_from_slice(dx);
            }
        }
        self.summed.put_head(memory);
        (sum, slopes)
    }
}
