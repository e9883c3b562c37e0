//! The training step: forward, loss, hand-written backward.

use super::attention;
use super::forward::forward;
use super::packed::{BackwardLayer, StepWeights};
use super::shape::LlamaShape;
use super::workspace::Workspace;
use crate::RowLoss;
use crate::matmul::{Into, times_packed, transposed_times};
use crate::ops::{rms_norm_backward, rotary, swiglu_backward};
use crate::vecmath::axpy;

/// Sum of `loss` over the scored positions of `ids` (rows, time); `grad` (flat, layout order) is overwritten with the gradient of that sum.
/// `weights` are those of `params`.
///
/// Deterministic: equal inputs give equal bits, on any thread and after any other use of `workspace`.
///
/// # Panics
/// If a length does not fit the shape, or an id is not below `vocab`.
#[expect(clippy::too_many_arguments, reason = "a batch, a model, a loss and two outputs")]
pub fn loss_and_gradient(
    shape: &LlamaShape,
    params: &[f32],
    weights: &StepWeights,
    ids: &[u32],
    rows: usize,
    time: usize,
    loss: &dyn RowLoss,
    grad: &mut [f32],
    workspace: &mut Workspace,
) -> f64 {
    assert_eq!(weights.forward.shape.as_ref(), Some(shape), "llama: shape of the packed weights");
    assert_eq!(params.len(), shape.n_params(), "llama: number of parameters");
    assert_eq!(grad.len(), shape.n_params(), "llama: length of the gradient");
    assert_eq!(ids.len(), rows * time, "llama: ids must be rows * time");
    if ids.is_empty() {
        grad.fill(0.0);
        return 0.0;
    }
    let chunk = chunk_rows(shape, time);
    let mut total = 0.0;
    for first in (0..rows).step_by(chunk) {
        let rows = chunk.min(rows - first);
        let ids = &ids[first * time..][..rows * time];
        let part = Part { loss, offset: first * time };
        let into = if first == 0 { Into::Set } else { Into::Add };
        total += chunk_gradient(shape, params, weights, ids, rows, time, &part, grad, into, workspace);
    }
    total
}

/// Rows taken through the model together: a function of the shape and the row length, since it decides the order of summation.
///
/// Where the activations of some 64 tokens fit a second-level cache of a megabyte, they stay there from forward to backward, which more than pays for
/// reading and writing the gradient once per chunk (nano: 17 % faster). Where they do not, longer chunks spare that traffic.
fn chunk_rows(shape: &LlamaShape, time: usize) -> usize {
    const CACHE_FLOATS: usize = (1 << 20) / size_of::<f32>();
    let per_token = shape.layers * (5 * shape.hidden + shape.head_layout().width() + shape.attention_width() + 3 * shape.ffn);
    let cached = CACHE_FLOATS / per_token.max(1);
    let tokens = if cached >= 64 { cached } else { 512 };
    (tokens / time).max(1)
}

/// The loss of a later part of the batch.
struct Part<'a> {
    loss: &'a dyn RowLoss,
    offset: usize,
}

impl RowLoss for Part<'_> {
    fn scored(&self, position: usize) -> bool {
        self.loss.scored(self.offset + position)
    }
    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        self.loss.loss_and_gradient(self.offset + position, logits)
    }
}

/// One chunk's loss; its gradient is written or added to `grad`.
#[expect(clippy::too_many_arguments, reason = "one stage of the step, split out")]
fn chunk_gradient(
    shape: &LlamaShape,
    params: &[f32],
    weights: &StepWeights,
    ids: &[u32],
    rows: usize,
    time: usize,
    loss: &dyn RowLoss,
    grad: &mut [f32],
    into: Into,
    workspace: &mut Workspace,
) -> f64 {
    let (m, h) = (rows * time, shape.hidden);
    forward(shape, &weights.forward, &params[shape.embedding()], ids, rows, time, true, workspace);
    if into == Into::Set && !shape.tied {
        grad[shape.embedding()].fill(0.0);
    }
    let Workspace { x, head, gradients, scratch, .. } = workspace;
    let dx = gradients.x.take(m * h);
    let total = head.loss_and_gradient(shape, weights, x.take(m * h), loss, dx, grad, into, scratch);
    for index in (0..shape.layers).rev() {
        block(shape, params, &weights.backward.layers[index], index, rows, time, grad, into, workspace);
    }
    let d_embedding = &mut grad[shape.embedding()];
    for (&id, d) in ids.iter().zip(workspace.gradients.x.take(m * h).chunks_exact(h)) {
        axpy(1.0, d, &mut d_embedding[id as usize * h..][..h]);
    }
    total
}

/// Takes `gradients.x` from a block's output to its input and writes the gradients of the block's weights.
#[expect(clippy::too_many_arguments, reason = "one stage of the step, split out")]
fn block(
    shape: &LlamaShape,
    params: &[f32],
    weights: &BackwardLayer,
    index: usize,
    rows: usize,
    time: usize,
    grad: &mut [f32],
    into: Into,
    workspace: &mut Workspace,
) {
    let Workspace { layers, rotary: table, positions, attention: attention_scratch, gradients, scratch, .. } = workspace;
    let (layer, ranges, m) = (&mut layers[index], shape.layer(index), rows * time);
    let (h, f, layout) = (shape.hidden, shape.ffn, shape.head_layout());
    let (width, attention_width) = (layout.width(), shape.attention_width());
    let dx = gradients.x.take(m * h);
    let d_normed = gradients.normed.take(m * h);

    let d_activated = gradients.activated.take(m * f);
    times_packed(m, f, h, dx, weights.down.all(), d_activated, Into::Set);
    transposed_times(h, f, m, dx, layer.activated.take(m * f), &mut grad[ranges.down], into, scratch);
    let d_gate_up = layer.gate_up.take(m * 2 * f);
    swiglu_backward(d_gate_up, f, d_activated);
    transposed_times(2 * f, h, m, d_gate_up, layer.normed2.take(m * h), &mut grad[ranges.gate_up], into, scratch);
    times_packed(m, h, 2 * f, d_gate_up, weights.gate_up.all(), d_normed, Into::Set);
    let d_weight = &mut grad[ranges.norm2.clone()];
    if into == Into::Set {
        d_weight.fill(0.0);
    }
    rms_norm_backward(d_normed, layer.middle.take(m * h), &params[ranges.norm2], layer.inverse_rms2.take(m), dx, d_weight);

    let d_attended = gradients.attended.take(m * attention_width);
    let attended = layer.attended.take(m * attention_width);
    times_packed(m, attention_width, h, dx, weights.output.all(), d_attended, Into::Set);
    transposed_times(h, attention_width, m, dx, attended, &mut grad[ranges.output], into, scratch);
    let d_qkv = gradients.qkv.take(m * width);
    let softmax = layer.softmax.take(rows * shape.heads * time * 2);
    attention::backward(layout, rows, time, layer.qkv.take(m * width), attended, softmax, d_attended, d_qkv, attention_scratch);
    rotary(d_qkv, layout, positions, table, true);
    transposed_times(width, h, m, d_qkv, layer.normed1.take(m * h), &mut grad[ranges.qkv], into, scratch);
    times_packed(m, h, width, d_qkv, weights.qkv.all(), d_normed, Into::Set);
    let d_weight = &mut grad[ranges.norm1.clone()];
    if into == Into::Set {
        d_weight.fill(0.0);
    }
    rms_norm_backward(d_normed, layer.x.take(m * h), &params[ranges.norm1], layer.inverse_rms1.take(m), dx, d_weight);
}
