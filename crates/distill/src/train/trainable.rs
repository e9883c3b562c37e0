use std::sync::Arc;

use lm::lora::{Adapter, AdapterConfig, AdapterShape};
use lm::{GradientEngine, Model, Runtime};

/// A stretch of the flat parameters that is decayed, or not, as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number of parameters.
    pub len: usize,
    /// Whether weight decay applies: it does to matrices.
    pub decays: bool,
}

/// What a training changes: its parameters, the model they make, and the slope of a loss along them.
pub trait Trainable: Send + Sync {
    /// The parameters before the first step.
    fn start(&self) -> Vec<f32>;

    /// What they consist of, in order.
    fn parts(&self) -> Vec<Part>;

    /// The model that they make.
    ///
    /// # Panics
    /// When they are not as many as [`parts`](Self::parts) says.
    fn model(&self, params: &[f32]) -> Model;

    /// The engine for losses over them.
    fn engine(&self, rt: &Runtime) -> Box<dyn GradientEngine>;

    /// Number of parameters.
    fn n_params(&self) -> usize {
        self.parts().iter().map(|part| part.len).sum()
    }
}

/// All weights, in layout order.
impl Trainable for Model {
    fn start(&self) -> Vec<f32> {
        self.weights().to_vec()
    }

    fn parts(&self) -> Vec<Part> {
        self.layout().parameters().iter().map(|p| Part { len: p.range.len(), decays: p.shape.len() >= 2 }).collect()
    }

    fn model(&self, params: &[f32]) -> Model {
        self.with_weights(params.to_vec())
    }

    fn engine(&self, rt: &Runtime) -> Box<dyn GradientEngine> {
        lm::gradient_engine(self.config(), rt)
    }
}

/// An adapter on a model whose own weights stay as they are.
pub struct AdapterTraining {
    base: Model,
    config: AdapterConfig,
    shape: Arc<AdapterShape>,
    seed: u64,
}

impl AdapterTraining {
    /// An adapter of this configuration and shape on `base`, drawn from `seed`.
    pub(crate) fn new(base: &Model, config: AdapterConfig, shape: AdapterShape, seed: u64) -> Self {
        Self { base: base.clone(), config, shape: Arc::new(shape), seed }
    }

    /// The adapter of these parameters.
    ///
    /// # Panics
    /// When they are not as many as it has.
    pub fn adapter(&self, params: &[f32]) -> Adapter {
        Adapter::new(&self.config, &self.shape, params.to_vec())
    }
}

impl Trainable for AdapterTraining {
    fn start(&self) -> Vec<f32> {
        self.shape.init(self.seed)
    }

    fn parts(&self) -> Vec<Part> {
        let matrices = self.shape.pairs().iter().flat_map(|pair| [pair.a.len(), pair.b.len()]);
        matrices.map(|len| Part { len, decays: true }).collect()
    }

    fn model(&self, params: &[f32]) -> Model {
        self.adapter(params).merged(&self.base)
    }

    fn engine(&self, rt: &Runtime) -> Box<dyn GradientEngine> {
        lm::lora::adapter_engine(&self.base, &self.shape, rt)
    }
}
