//! Losses over batches and their gradients.

mod summed;
mod taped;

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use kernels::RowLoss;
use kernels::llama::{self, LlamaShape, StepWeights, Workspace};
use oracle::TokenId;

use crate::arch::{Layout, ModelConfig};
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

/// Computes losses over batches and their gradients.
pub trait GradientEngine: Send + Sync {
    /// The engine at these parameters (in layout order). What all batches of a step share is computed here, once, on the workers of the
    /// pool that it is called in.
    ///
    /// # Errors
    /// When the number of parameters is not the model's, or a tensor operation fails.
    fn at<'a>(&'a self, params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, RunError>;

    /// [`GradientAt::loss_and_gradient`] at `params`, for who asks once.
    ///
    /// # Errors
    /// As [`GradientEngine::at`] and [`GradientAt::loss_and_gradient`].
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        self.at(Cow::Borrowed(params))?.loss_and_gradient(batch, loss, grad)
    }
}

/// A [`GradientEngine`] at some parameters.
pub trait GradientAt: Sync {
    /// Overwrites `grad` with the gradient of the summed loss with respect to the parameters (in layout order) and returns
    /// that sum. Runs on the calling thread alone; callers run several at once.
    ///
    /// # Errors
    /// When the batch or `grad` does not fit the model, or a tensor operation fails.
    fn loss_and_gradient(&self, batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError>;
}

/// The engine for this configuration on this compute path and device.
pub fn gradient_engine(config: &ModelConfig, rt: &Runtime) -> Box<dyn GradientEngine> {
    let layout = config.layout();
    let engine: Box<dyn GradientEngine> = match rt.fused(config.arch()) {
        Some(shape) => Box::new(Fused { shape, config: config.clone(), workspaces: Mutex::default(), weights: Mutex::default() }),
        None => Box::new(Generic { config: config.clone(), layout, device: rt.device.clone(), rooms: summed::Rooms::default() }),
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
    fn at<'a>(&'a self, params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, RunError> {
        Ok(Box::new(HidingAt { engine: self.engine.at(params)?, absent: &self.absent }))
    }
}

struct HidingAt<'a> {
    engine: Box<dyn GradientAt + 'a>,
    absent: &'a [TokenId],
}

impl GradientAt for HidingAt<'_> {
    fn loss_and_gradient(&self, batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        self.engine.loss_and_gradient(batch, &Hidden { loss, absent: self.absent }, grad)
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

fn check_params(params: &[f32], n_params: usize) -> Result<(), RunError> {
    let given = params.len();
    if given == n_params { Ok(()) } else { Err(RunError::Input(format!("{given} parameters for a model of {n_params}"))) }
}

fn check(config: &ModelConfig, batch: &Batch, grad: &[f32], n_params: usize) -> Result<(), RunError> {
    let (rows, time) = (batch.rows, batch.time);
    if grad.len() != n_params {
        return Err(RunError::Input(format!("a gradient of {} for a model of {n_params}", grad.len())));
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
    /// The same for weights.
    weights: Mutex<Vec<StepWeights>>,
}

/// What `pool` holds, or a new one. A poisoned lock only means that another call panicked; the buffers it did not return are lost, not broken.
fn take<T: Default>(pool: &Mutex<Vec<T>>) -> T {
    let taken = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    taken.unwrap_or_default()
}

fn put<T>(pool: &Mutex<Vec<T>>, used: T) {
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(used);
}

impl GradientEngine for Fused {
    fn at<'a>(&'a self, params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, RunError> {
        check_params(&params, self.shape.n_params())?;
        let mut weights = take(&self.weights);
        let StepWeights { forward, backward } = &mut weights;
        rayon::join(|| forward.refill(&self.shape, &params), || backward.refill(&self.shape, &params));
        Ok(Box::new(FusedAt { engine: self, params, weights }))
    }
}

struct FusedAt<'a> {
    engine: &'a Fused,
    params: Cow<'a, [f32]>,
    weights: StepWeights,
}

impl GradientAt for FusedAt<'_> {
    fn loss_and_gradient(&self, batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        let Fused { shape, config, workspaces, .. } = self.engine;
        check(config, batch, grad, shape.n_params())?;
        let mut workspace = take(workspaces);
        let Batch { ids, rows, time } = batch;
        let sum = llama::loss_and_gradient(shape, &self.params, &self.weights, ids, *rows, *time, loss, grad, &mut workspace);
        put(workspaces, workspace);
        Ok(sum)
    }
}

impl Drop for FusedAt<'_> {
    fn drop(&mut self) {
        put(&self.engine.weights, std::mem::take(&mut self.weights));
    }
}

struct Generic {
    config: ModelConfig,
    layout: Layout,
    device: Device,
    rooms: summed::Rooms,
}

impl GradientEngine for Generic {
    fn at<'a>(&'a self, params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, RunError> {
        check_params(&params, self.layout.n_params())?;
        Ok(Box::new(GenericAt { engine: self, params }))
    }
}

struct GenericAt<'a> {
    engine: &'a Generic,
    params: Cow<'a, [f32]>,
}

impl GradientAt for GenericAt<'_> {
    fn loss_and_gradient(&self, batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        let Generic { config, layout, device, rooms } = self.engine;
        check(config, batch, grad, layout.n_params())?;
        if batch.ids.is_empty() {
            grad.fill(0.0);
            return Ok(0.0);
        }
        let (arch, params, Batch { ids, time, .. }) = (config.arch(), &*self.params, batch);
        Ok(if device.is_cpu() {
            rooms.loss_and_gradient(arch, layout, device, params, ids, *time, loss, grad)?
        } else {
            taped::loss_and_gradient(arch, layout, device, params, ids, *time, loss, grad)?
        })
    }
}
