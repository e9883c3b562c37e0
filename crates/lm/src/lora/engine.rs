use std::sync::{Arc, Mutex, PoisonError};

use kernels::RowLoss;

use super::AdapterShape;
use crate::gradient::{Batch, GradientEngine, gradient_engine};
use crate::model::Model;
use crate::runtime::{RunError, Runtime};

/// The engine over an adapter's parameters: `base` with the adapter merged computes the loss, and the gradient of all weights
/// becomes that of the pairs. So it costs what the gradient of the whole model costs, and takes no less memory while it runs:
/// only the optimiser's state is smaller.
pub fn adapter_engine(base: &Model, shape: &Arc<AdapterShape>, rt: &Runtime) -> Box<dyn GradientEngine> {
    Box::new(Merging {
        base: base.clone(),
        shape: shape.clone(),
        inner: gradient_engine(base.config(), rt),
        buffers: Mutex::default(),
    })
}

struct Merging {
    base: Model,
    shape: Arc<AdapterShape>,
    inner: Box<dyn GradientEngine>,
    /// Buffers that no call is using.
    buffers: Mutex<Vec<Buffers>>,
}

struct Buffers {
    /// The base's weights, but for those that are adapted, which every call writes again.
    weights: Vec<f32>,
    gradient: Vec<f32>,
}

impl GradientEngine for Merging {
    fn loss_and_gradient(&self, params: &[f32], batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        let n = self.shape.n_params();
        if params.len() != n || grad.len() != n {
            let (given, room) = (params.len(), grad.len());
            return Err(RunError::Input(format!("{given} parameters and a gradient of {room} for an adapter of {n}")));
        }
        // A poisoned lock only means that another call panicked; the buffers it did not return are lost, not broken.
        let free = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut buffers =
            taken.unwrap_or_else(|| Buffers { weights: self.base.weights().to_vec(), gradient: vec![0.0; self.base.n_params()] });
        for pair in self.shape.pairs() {
            buffers.weights[pair.weight.clone()].copy_from_slice(&self.base.weights()[pair.weight.clone()]);
        }
        self.shape.merge(params, &mut buffers.weights);
        let sum = self.inner.loss_and_gradient(&buffers.weights, batch, loss, &mut buffers.gradient)?;
        self.shape.gradient(params, &buffers.gradient, grad);
        free().push(buffers);
        Ok(sum)
    }
}
