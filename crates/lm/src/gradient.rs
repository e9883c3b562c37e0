//! Losses over batches and their gradients.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use kernels::RowLoss;
use kernels::llama::{self, LlamaShape, Workspace};
use oracle::TokenId;

use crate::arch::{Layout, ModelConfig, Weights};
use crate::device::Device;
use crate::processing::hide;
use crate::runtime::{RunError, Runtime};

/// A batch of equally long rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Token ids, (rows, time) row-major.
    pub ids: Vec<TokenId>,
    /// Number of rows.
    pub rows: usize,
    /// Tokens per row.
    pub time: usize,
}

/// Computes a loss over a batch and its gradient.
pub trait GradientEngine: Send + Sync {
    /// Overwrites `grad` with the gradient of the summed loss with respect to `params` (both in layout order) and returns
    /// that sum. Runs on the calling thread alone; callers run several at once.
    ///
    /// # Errors
    /// When the batch or the vectors do not fit the model, or a tensor operation fails.
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError>;
}

/// The engine for this configuration on this compute path and device.
pub fn gradient_engine(config: &ModelConfig, rt: &Runtime) -> Box<dyn GradientEngine> {
    let layout = config.layout();
    let engine: Box<dyn GradientEngine> = match rt.fused(config.arch()) {
        Some(shape) => Box::new(Fused { shape, config: config.clone(), workspaces: Mutex::default() }),
        None => Box::new(Generic { config: config.clone(), layout, device: rt.device.clone() }),
    };
    match config.arch().absent() {
        [] => engine,
        absent => Box::new(Hiding { engine, absent: absent.to_vec() }),
    }
}

/// An engine for a model of which some ids stand for no token: they have no part in any loss.
struct Hiding {
    engine: Box<dyn GradientEngine>,
    absent: Vec<TokenId>,
}

impl GradientEngine for Hiding {
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        self.engine.loss_and_gradient(params, batch, &Hidden { loss, absent: &self.absent }, grad)
    }
}

struct Hidden<'a> {
    loss: &'a dyn RowLoss,
    absent: &'a [TokenId],
}

impl RowLoss for Hidden<'_> {
    fn scored(&self, position: usize) -> bool {
        self.loss.scored(position)
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        hide(self.absent, logits);
        let loss = self.loss.loss_and_gradient(position, logits);
        for id in self.absent {
            logits[*id as usize] = 0.0;
        }
        loss
    }
}

fn check(config: &ModelConfig, params: &[f32], batch: &Batch, grad: &[f32], n_params: usize) -> Result<(), RunError> {
    let (rows, time) = (batch.rows, batch.time);
    if params.len() != n_params || grad.len() != n_params {
        let (given, room) = (params.len(), grad.len());
        return Err(RunError::Input(format!("{given} parameters and a gradient of {room} for a model of {n_params}")));
    }
    if rows.checked_mul(time) != Some(batch.ids.len()) || time > config.context_length() {
        let (n, context) = (batch.ids.len(), config.context_length());
        return Err(RunError::Input(format!("a batch of {rows} rows of {time} tokens with {n} ids, for a context of {context}")));
    }
    match batch.ids.iter().find(|id| **id as usize >= config.vocab_size()) {
        Some(id) => Err(RunError::Input(format!("token id {id} is not below the model's vocab_size {}", config.vocab_size()))),
        None => Ok(()),
    }
}

struct Fused {
    shape: LlamaShape,
    config: ModelConfig,
    /// Buffers that no call is using.
    workspaces: Mutex<Vec<Workspace>>,
}

impl GradientEngine for Fused {
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        check(&self.config, params, batch, grad, self.shape.n_params())?;
        // A poisoned lock only means that another call panicked; the buffers it did not return are lost, not broken.
        let free = || self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut workspace = taken.unwrap_or_default();
        let sum = llama::loss_and_gradient(&self.shape, params, &batch.ids, batch.rows, batch.time, loss, grad, &mut workspace);
        free().push(workspace);
        Ok(sum)
    }
}

/// Tokens of a micro-batch on the CPU: with larger ones candle's temporaries leave the cache and training slows down.
const MICRO_TOKENS: usize = 512;

/// The same on any other device, from which each micro-batch reads a whole gradient back. At 50 thousand token ids the logits of
/// one take 0.8 GB.
const DEVICE_MICRO_TOKENS: usize = 4096;

struct Generic {
    config: ModelConfig,
    layout: Layout,
    device: Device,
}

impl GradientEngine for Generic {
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        check(&self.config, params, batch, grad, self.layout.n_params())?;
        grad.fill(0.0);
        if batch.ids.is_empty() {
            return Ok(0.0);
        }
        let _turn = self.device.turn();
        let weights = Weights::variable(&self.layout, params, &self.device)?;
        let tokens = if self.device.is_cpu() { MICRO_TOKENS } else { DEVICE_MICRO_TOKENS };
        let rows = (tokens / batch.time).max(1);
        let mut sum = 0.0;
        for (i, ids) in batch.ids.chunks(rows * batch.time).enumerate() {
            sum += self.micro_batch(&weights, ids, i * rows * batch.time, batch.time, loss, grad)?;
        }
        Ok(sum)
    }
}

impl Generic {
    /// Adds the gradient of the rows in `ids` (rows, time), the first of which is at `offset` of the batch.
    fn micro_batch(
        &self,
        weights: &Weights,
        ids: &[TokenId],
        offset: usize,
        time: usize,
        loss: &dyn RowLoss,
        grad: &mut [f32],
    ) -> Result<f64, RunError> {
        let positions: Vec<u32> =
            (0..ids.len()).filter(|position| loss.scored(offset + position)).map(|position| position as u32).collect();
        if positions.is_empty() {
            return Ok(0.0);
        }
        let arch = self.config.arch();
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
        let without = weights.add_gradients(&self.layout, &store, grad)?;
        match without.first() {
            Some(name) => Err(candle_core::Error::Msg(format!("parameter `{name}` received no gradient")).into()),
            None => Ok(sum),
        }
    }
}
