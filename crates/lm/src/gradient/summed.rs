//! The generic path on the CPU: operations in one pass, which sum the gradients of parameters themselves.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Error, Result, Tensor};
use kernels::RowLoss;
use oracle::TokenId;

use crate::arch::{Arch, Layout, Summed, Weights};
use crate::device::Device;

/// Tokens of a micro-batch: with larger ones its temporaries leave the cache.
const MICRO_TOKENS: usize = 512;

/// What calls use again.
#[derive(Default)]
pub(super) struct Rooms(Mutex<Vec<Summed>>);

impl Rooms {
    /// Overwrites `grad` with the gradient of the summed loss over `ids` (rows, time), and returns that sum.
    #[expect(clippy::too_many_arguments, reason = "those of the engine, taken apart")]
    pub(super) fn loss_and_gradient(
        &self,
        arch: &dyn Arch,
        layout: &Layout,
        device: &Device,
        params: &[f32],
        ids: &[TokenId],
        time: usize,
        loss: &dyn RowLoss,
        grad: &mut [f32],
    ) -> Result<f64> {
        // A poisoned lock only means that another call panicked; the room it did not return is lost, not broken.
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut summed = match taken {
            Some(summed) => summed,
            None => Summed::new(layout, device.candle())?,
        };
        summed.begin(params);
        let summed = Arc::new(summed);
        let weights = Weights::summing(summed.clone());
        let rows = (MICRO_TOKENS / time).max(1);
        let (mut sum, mut scored) = (0.0, false);
        for (i, ids) in ids.chunks(rows * time).enumerate() {
            let offset = i * rows * time;
            let positions: Vec<usize> = (0..ids.len()).filter(|position| loss.scored(offset + position)).collect();
            if !positions.is_empty() {
                scored = true;
                let mut loss = |position: usize, row: &mut [f32]| loss.loss_and_gradient(offset + position, row);
                sum += micro_batch(arch, &weights, ids, time, &positions, &mut loss)?;
            }
        }
        if scored {
            if let Some(name) = summed.write(grad).first() {
                return Err(Error::Msg(format!("parameter `{name}` received no gradient")));
            }
        } else {
            grad.fill(0.0);
        }
        drop(weights);
        free().extend(Arc::into_inner(summed));
        Ok(sum)
    }
}

/// Sums the gradients of the rows in `ids` (rows, time).
fn micro_batch(
    arch: &dyn Arch,
    weights: &Weights,
    ids: &[TokenId],
    time: usize,
    positions: &[usize],
    loss: &mut dyn FnMut(usize, &mut [f32]) -> f64,
) -> Result<f64> {
    let ids = Tensor::from_slice(ids, (ids.len() / time, time), weights.device())?;
    let hidden = arch.hidden(weights, &ids, None)?.flatten_to(1)?;
    let (sum, slope) = arch.decoder().losses(weights, &hidden.detach(), positions, loss)?;
    // The loss is a function of these states, so its gradient further back is that of this inner product with a constant.
    (hidden * slope)?.sum_all()?.backward()?;
    Ok(sum)
}
