//! What attacks and defences may use.

use std::sync::Arc;

use lm::{Model, Runtime};
use oracle::{Codec, Oracle, ServedLaw, Surface, TokenId};

use crate::error::DistillError;
use crate::served::Served;
use crate::train::TrainPlan;

/// What attacks and defences may use beside what they act on.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Text to token ids and back, in the tokens of what is at hand: the teacher's for answers and served laws, the student's where
    /// a student is trained.
    pub codec: &'a dyn Codec,
    /// Documents of clean text in these tokens, with their beginning and end tokens: the first that together hold at least so many
    /// tokens.
    pub texts: &'a dyn Fn(u64) -> Result<Vec<Vec<TokenId>>, DistillError>,
    /// The model that the experiment's `[models]` calls so; it reads the teacher's tokens.
    pub models: &'a dyn Fn(&str) -> Result<Arc<Model>, DistillError>,
    /// The experiment's optimiser over (steps, rows of a batch, peak rate).
    pub plan: &'a dyn Fn(u64, usize, f64) -> TrainPlan,
    /// Workers.
    pub runtime: &'a Arc<Runtime>,
    /// Seeds whatever is drawn.
    pub seed: u64,
}

impl Tools<'_> {
    /// The model that the experiment's `[models]` calls `name`, to be asked: raw, whole laws shown.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn asked(&self, name: &str) -> Result<Served, DistillError> {
        let surface = Surface::Logits { law: ServedLaw::PreWatermark };
        Ok(Served::new((self.models)(name)?, Vec::new(), surface, self.runtime.clone()))
    }
}

/// What a thief has.
pub struct Thief<'a> {
    /// His own model before distillation, raw, in the teacher's tokens; it shows whole laws where its tokens are the teacher's.
    pub base: &'a dyn Oracle,
    /// Everything else.
    pub tools: Tools<'a>,
}
