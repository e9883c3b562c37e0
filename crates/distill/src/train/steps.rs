//! The loop over steps.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use kernels::adamw::{self, AdamW};
use lm::{GradientAt, GradientEngine, Runtime};
use rayon::prelude::*;

use super::{BatchSource, CurvePoint, ShardBatch, TrainPlan, TrainState, reduce};
use crate::error::DistillError;

/// Elements per piece of the elementwise passes: large enough that a piece outlives its scheduling, small enough that a few shards'
/// pieces fit a second-level cache.
const PIECE: usize = 1 << 14;

/// Trains `state` on `source` until `until_step` steps (at most `plan.steps`) are done, calling `observe` after each.
///
/// Does nothing when the state is already there, so a caller may train in stretches and save or branch the state between them.
///
/// # Errors
/// [`DistillError::Cancelled`] between steps once the runtime's flag is raised, [`DistillError::Diverged`], or whatever the
/// source and the engine report; in every case `state` is that of the last finished step.
pub fn train(
    engine: &dyn GradientEngine,
    plan: &TrainPlan,
    source: &dyn BatchSource,
    state: &mut TrainState,
    until_step: u64,
    rt: &Runtime,
    observe: &mut dyn FnMut(&CurvePoint),
) -> Result<(), DistillError> {
    steps(engine, plan, source, state, until_step, rt, &mut |_, point| {
        observe(point);
        Ok(())
    })
}

/// [`train`], with the state in sight after every step.
pub(super) fn steps(
    engine: &dyn GradientEngine,
    plan: &TrainPlan,
    source: &dyn BatchSource,
    state: &mut TrainState,
    until_step: u64,
    rt: &Runtime,
    after_step: &mut dyn FnMut(&TrainState, &CurvePoint) -> Result<(), DistillError>,
) -> Result<(), DistillError> {
    plan.validate()?;
    let n_shards = plan.logical_shards;
    let mut gradients = vec![vec![0.0_f32; state.params.len()]; n_shards];
    while state.step < until_step.min(plan.steps) {
        if rt.cancelled.load(Ordering::Relaxed) {
            return Err(DistillError::Cancelled);
        }
        let step = state.step;
        let params = &state.params;
        let shards = rt.pool.install(|| -> Result<Vec<_>, DistillError> {
            let engine = engine.at(Cow::Borrowed(params))?;
            let shards: Vec<Result<ShardSum, DistillError>> = gradients
                .par_iter_mut()
                .enumerate()
                .with_max_len(1)
                .map(|(shard, gradient)| shard_gradient(&*engine, source, step, shard, gradient))
                .collect();
            shards.into_iter().collect()
        })?;
        let weight: f64 = shards.iter().map(|s| s.weight).sum();
        if weight.is_nan() || weight <= 0.0 {
            return Err(DistillError::Data(format!("step {step} has no scored position: every answer in its batch is empty")));
        }
        let loss = shards.iter().map(|s| s.loss).sum::<f64>() / weight;
        let norm = rt.pool.install(|| reduce::sum_tree(&mut gradients, PIECE)) / weight;
        for (what, value) in [("loss", loss), ("gradient norm", norm)] {
            if !value.is_finite() {
                return Err(DistillError::Diverged { step, what, value });
            }
        }
        let clip = if plan.grad_clip > 0.0 { (f64::from(plan.grad_clip) / norm.max(f64::MIN_POSITIVE)).min(1.0) } else { 1.0 };
        let lr = plan.learning_rate(step);
        rt.pool.install(|| update(state, &gradients[0], plan, lr, (clip / weight) as f32));
        state.step += 1;
        let tokens = state.curve.last().map_or(0, |p| p.tokens) + shards.iter().map(|s| s.tokens).sum::<u64>();
        let point = CurvePoint { step: state.step, tokens, loss, learning_rate: f64::from(lr), gradient_norm: norm };
        state.curve.points.push(point);
        after_step(state, &point)?;
    }
    Ok(())
}

/// Loss, weight and tokens of one shard.
struct ShardSum {
    loss: f64,
    weight: f64,
    tokens: u64,
}

fn shard_gradient(
    engine: &dyn GradientAt,
    source: &dyn BatchSource,
    step: u64,
    shard: usize,
    gradient: &mut [f32],
) -> Result<ShardSum, DistillError> {
    let ShardBatch { batch, loss, weight, tokens } = source.shard(step, shard)?;
    if batch.rows == 0 {
        gradient.fill(0.0);
        return Ok(ShardSum { loss: 0.0, weight, tokens });
    }
    let sum = engine.loss_and_gradient(&batch, &*loss, gradient)?;
    Ok(ShardSum { loss: sum, weight, tokens })
}

/// One AdamW step over all parameters; weight decay on matrices only, as the embedding's and the norms' scale is no capacity.
fn update(state: &mut TrainState, gradient: &[f32], plan: &TrainPlan, lr: f32, grad_scale: f32) {
    let decayed = AdamW { lr, beta1: plan.beta1, beta2: plan.beta2, eps: plan.epsilon, weight_decay: plan.weight_decay };
    let plain = AdamW { weight_decay: 0.0, ..decayed };
    let adam_step = state.step + 1;
    let (mut params, mut m, mut v, mut gradient) = (&mut state.params[..], &mut state.m[..], &mut state.v[..], gradient);
    let mut pieces = Vec::new();
    for part in &state.parts {
        let mut left = part.len;
        while left > 0 {
            let len = left.min(PIECE);
            left -= len;
            let p = params.split_off_mut(..len).expect("parts add up to the number of parameters");
            let m = m.split_off_mut(..len).expect("the moments are as long as the parameters");
            let v = v.split_off_mut(..len).expect("the moments are as long as the parameters");
            let g = gradient.split_off(..len).expect("the gradient is as long as the parameters");
            pieces.push((p, g, m, v, if part.decays { &decayed } else { &plain }));
        }
    }
    pieces.into_par_iter().for_each(|(p, g, m, v, config)| adamw::step(p, g, m, v, config, adam_step, grad_scale));
}
