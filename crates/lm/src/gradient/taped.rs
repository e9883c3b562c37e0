//! The generic path on any device: candle's differentiable operations, and the gradients of parameters from its tape.

use candle_core::{Error, Result, Tensor};
use kernels::RowLoss;
use oracle::TokenId;

use crate::arch::{Arch, Layout, Weights};
use crate::device::Device;

/// Tokens of a micro-batch, after each of which a whole gradient is read back. At 50 thousand token ids the logits of one take 0.8 GB.
const MICRO_TOKENS: usize = 4096;

/// Overwrites `grad` with the gradient of the summed loss over `ids` (rows, time), and returns that sum.
#[expect(clippy::too_many_arguments, reason = "those of the engine, taken apart")]
pub(super) fn loss_and_gradient(
    arch: &dyn Arch,
    layout: &Layout,
    device: &Device,
    params: &[f32],
    ids: &[TokenId],
    time: usize,
    loss: &dyn RowLoss,
    grad: &mut [f32],
) -> Result<f64> {
    grad.fill(0.0);
    let _turn = device.turn();
    let weights = Weights::variable(layout, params, device)?;
    let rows = (MICRO_TOKENS / time).max(1);
    let mut sum = 0.0;
    for (i, ids) in ids.chunks(rows * time).enumerate() {
        sum += micro_batch(arch, layout, &weights, ids, i * rows * time, time, loss, grad)?;
    }
    Ok(sum)
}

/// Adds the gradient of the rows in `ids` (rows, time), the first of which is at `offset` of the batch.
#[expect(clippy::too_many_arguments, reason = "those of the engine, taken apart")]
fn micro_batch(
    arch: &dyn Arch,
    layout: &Layout,
    weights: &Weights,
    ids: &[TokenId],
    offset: usize,
    time: usize,
    loss: &dyn RowLoss,
    grad: &mut [f32],
) -> Result<f64> {
    let positions: Vec<u32> =
        (0..ids.len()).filter(|position| loss.scored(offset + position)).map(|position| position as u32).collect();
    if positions.is_empty() {
        return Ok(0.0);
    }
    let device = weights.device();
    let ids_tensor = Tensor::from_slice(ids, (ids.len() / time, time), device)?;
    let hidden = arch.hidden(weights, &ids_tensor, None)?.flatten_to(1)?;
    let hidden = if positions.len() == ids.len() {
        hidden
    } else {
        hidden.index_select(&Tensor::from_slice(&positions, positions.len(), device)?, 0)?
    };
    let logits = arch.logits(weights, &hidden)?;
    let mut rows = logits.flatten_all()?.to_vec1::<f32>()?;
    let mut sum = 0.0;
    for (position, row) in positions.iter().zip(rows.chunks_exact_mut(arch.vocab_size())) {
        sum += loss.loss_and_gradient(offset + *position as usize, row);
    }
    // The loss is a function of the logits alone, so its gradient is that of this inner product with a constant.
    let slope = Tensor::from_vec(rows, logits.dims2()?, device)?;
    let store = (&logits * slope)?.sum_all()?.backward()?;
    match weights.add_gradients(layout, &store, grad)?.first() {
        Some(name) => Err(Error::Msg(format!("parameter `{name}` received no gradient"))),
        None => Ok(sum),
    }
}

#[cfg(test)]
mod tests {
    use super::super::summed::Rooms;
    use super::*;
    use crate::arch::ModelConfig;
    use crate::model::Model;

    /// Cross-entropy with a token that the position names, at two of three.
    struct Named(u32);

    impl RowLoss for Named {
        fn scored(&self, position: usize) -> bool {
            position % 3 != 1
        }

        fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
            kernels::rowloss::cross_entropy(logits, (position as u32 * 7) % self.0, 0.5)
        }
    }

    /// What trains on a GPU is tried on the CPU, where the other way of the generic path has the same to say.
    #[test]
    fn both_ways_to_a_gradient_agree_over_the_registry() {
        const TIME: usize = 37;
        for (i, config) in ModelConfig::examples().into_iter().enumerate() {
            let (arch, layout, device) = (config.arch(), config.layout(), Device::cpu());
            let model = Model::init(&config, i as u64);
            let params: Vec<f32> =
                model.weights().iter().enumerate().map(|(at, w)| w + 0.05 * ((at * 29 % 31) as f32 / 15.0 - 1.0)).collect();
            let vocab = arch.vocab_size() as u32;
            let ids: Vec<u32> = (0..3 * TIME as u32).map(|at| (at * at + i as u32) % vocab).collect();
            let (loss, rooms) = (Named(vocab), Rooms::default());
            let [mut taped, mut summed] = [(); 2].map(|()| vec![f32::NAN; params.len()]);
            let one = loss_and_gradient(arch, &layout, &device, &params, &ids, TIME, &loss, &mut taped).unwrap();
            // the second call meets what the first has left
            for _ in 0..2 {
                summed.fill(f32::NAN);
                let other = rooms.loss_and_gradient(arch, &layout, &device, &params, &ids, TIME, &loss, &mut summed).unwrap();
                let name = config.model_type();
                assert!((one - other).abs() <= 1e-5 * one, "{name} ({i}): loss {one} against {other}");
                let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                let whole = norm(&mut taped.iter().copied());
                for parameter in layout.parameters() {
                    let (a, b) = (&taped[parameter.range.clone()], &summed[parameter.range.clone()]);
                    let (distance, size) = (norm(&mut a.iter().zip(b).map(|(a, b)| a - b)), norm(&mut a.iter().copied()));
                    assert!(
                        distance <= (1e-4 * size).max(1e-6 * whole),
                        "{name} ({i}): gradient of {} differs by {distance}, its norm is {size} of {whole}",
                        parameter.name
                    );
                }
            }
        }
    }
}
