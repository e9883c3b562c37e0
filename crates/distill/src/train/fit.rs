//! A whole training in one call.

use lm::{Model, Runtime};

use super::{BatchSource, Curve, CurvePoint, TrainPlan, TrainState, Trainable, train};
use crate::error::DistillError;

/// A trained model and how its training went.
pub struct Trained {
    /// The model after the last step.
    pub model: Model,
    /// Loss by step.
    pub curve: Curve,
}

/// Trains a copy of `model` by the whole plan from a fresh optimiser: continued training, distillation.
///
/// # Errors
/// As [`train`]; the half-trained state is lost, so long trainings go through [`Checkpoints`](super::Checkpoints).
pub fn fit(
    model: &Model,
    plan: &TrainPlan,
    source: &dyn BatchSource,
    rt: &Runtime,
    observe: &mut dyn FnMut(&CurvePoint),
) -> Result<Trained, DistillError> {
    let engine = model.engine(rt);
    let mut state = TrainState::new(model);
    train(&*engine, plan, source, &mut state, plan.steps, rt, observe)?;
    let model = state.model(model);
    Ok(Trained { model, curve: state.curve })
}
