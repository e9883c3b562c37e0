use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use kernels::RowLoss;

use super::AdapterShape;
use crate::gradient::{Batch, GradientAt, GradientEngine, gradient_engine};
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
        gradients: Mutex::default(),
    })
}

struct Merging {
    base: Model,
    shape: Arc<AdapterShape>,
    inner: Box<dyn GradientEngine>,
    /// Gradients of all weights that no call is using.
    gradients: Mutex<Vec<Vec<f32>>>,
}

impl GradientEngine for Merging {
    fn at<'a>(&'a self, params: Cow<'a, [f32]>) -> Result<Box<dyn GradientAt + 'a>, RunError> {
        let n = self.shape.n_params();
        if params.len() != n {
            return Err(RunError::Input(format!("{} parameters for an adapter of {n}", params.len())));
        }
        let mut weights = self.base.weights().to_vec();
        self.shape.merge(&params, &mut weights);
        Ok(Box::new(MergedAt { engine: self, params, merged: self.inner.at(Cow::Owned(weights))? }))
    }
}

struct MergedAt<'a> {
    engine: &'a Merging,
    params: Cow<'a, [f32]>,
    merged: Box<dyn GradientAt + 'a>,
}

impl GradientAt for MergedAt<'_> {
    fn loss_and_gradient(&self, batch: &Batch, loss: &dyn RowLoss, grad: &mut [f32]) -> Result<f64, RunError> {
        let Merging { base, shape, gradients, .. } = self.engine;
        if grad.len() != shape.n_params() {
            return Err(RunError::Input(format!("a gradient of {} for an adapter of {}", grad.len(), shape.n_params())));
        }
        // A poisoned lock only means that another call panicked; the buffers it did not return are lost, not broken.
        let free = || gradients.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free().pop();
        let mut whole = taken.unwrap_or_else(|| vec![0.0; base.n_params()]);
        let sum = self.merged.loss_and_gradient(batch, loss, &mut whole)?;
        shape.gradient(&self.params, &whole, grad);
        free().push(whole);
        Ok(sum)
    }
}
