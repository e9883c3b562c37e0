//! Losses over batches and their gradients.

mod summed;
mod taped;

use std::sync::{Mutex, PoisonError};

use kernels::RowLoss;
use kernels::llama::{self, LlamaShape, Workspace};
use oracle::TokenId;

use crate::arch::{Layout, ModelConfig};
use crate::device::Device;
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
    match rt.fused(config.arch()) {
        Some(shape) => Box::new(Fused { shape, config: config.clone(), workspaces: Mutex::default() }),
        None => Box::new(Generic { config: config.clone(), layout, device: rt.device.clone(), rooms: summed::Rooms::default() }),
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

struct Generic {
    config: ModelConfig,
    layout: Layout,
    device: Device,
    rooms: summed::Rooms,
}

impl GradientEngine for Generic {
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        check(&self.config, params, batch, grad, self.layout.n_params())?;
        if batch.ids.is_empty() {
            grad.fill(0.0);
            return Ok(0.0);
        }
        let (arch, layout, device, Batch { ids, time, .. }) = (self.config.arch(), &self.layout, &self.device, batch);
        Ok(if device.is_cpu() {
            self.rooms.loss_and_gradient(arch, layout, device, params, ids, *time, loss, grad)?
        } else {
            taped::loss_and_gradient(arch, layout, device, params, ids, *time, loss, grad)?
        })
    }
}
