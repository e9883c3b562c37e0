//! Forward sweep over whole rows, and scoring.

use super::attention;
use super::head::tile_rows;
use super::packed::{PackedLayer, PackedWeights};
use super::shape::LlamaShape;
use super::workspace::{LayerBuffers, Workspace};
use crate::matmul::{Into, times_packed};
use crate::ops::{rms_norm, rotary, swiglu};

/// Raw logits at the wanted positions (`position = row * time + t`; they predict the token at `t + 1`), handed to `sink` in ascending order of position.
///
/// `ids`: (rows, time). The bits of a position's logits depend only on the tokens of its row up to it: not on `rows`, on later tokens (padding),
/// on `time`, or on what else is wanted. Forward only: memory for one block, whatever the number of layers.
///
/// # Panics
/// If the number of ids is not `rows * time`, an id is not below `vocab`, or `weights` were not made by [`PackedWeights::new`].
pub fn for_each_logits(
    weights: &PackedWeights,
    ids: &[u32],
    rows: usize,
    time: usize,
    wanted: &dyn Fn(usize) -> bool,
    sink: &mut dyn FnMut(usize, &mut [f32]),
    workspace: &mut Workspace,
) {
    if ids.is_empty() {
        return;
    }
    let shape = weights.shape.as_ref().expect("packed weights know their shape");
    forward(shape, weights, &weights.embedding, ids, rows, time, false, workspace);
    let Workspace { x, head, .. } = workspace;
    head.positions.clear();
    head.positions.extend((0..rows * time).filter(|&position| wanted(position)));
    let tile = tile_rows(shape);
    for first in (0..head.positions.len()).step_by(tile) {
        let n = tile.min(head.positions.len() - first);
        head.forward(shape, weights, x.all(), first, n);
        let positions = &head.positions[first..first + n];
        for (&position, logits) in positions.iter().zip(head.logits.all_mut().chunks_exact_mut(shape.vocab)) {
            sink(position, logits);
        }
    }
}

/// Runs all blocks; `workspace.x` then holds the residual stream. `keep` stores every block's activations for the backward sweep.
#[expect(clippy::too_many_arguments, reason = "a batch, a model and where it is computed")]
pub(crate) fn forward(
    shape: &LlamaShape,
    packed: &PackedWeights,
    embedding: &[f32],
    ids: &[u32],
    rows: usize,
    time: usize,
    keep: bool,
    workspace: &mut Workspace,
) {
    let (h, m) = (shape.hidden, rows * time);
    assert_eq!(ids.len(), m, "llama: ids must be rows * time");
    assert!(ids.iter().all(|&id| (id as usize) < shape.vocab), "llama: a token id is not below the vocabulary size");
    workspace.prepare(shape, rows, time);
    for (&id, x) in ids.iter().zip(workspace.x.take(m * h).chunks_exact_mut(h)) {
        x.copy_from_slice(&embedding[id as usize * h..][..h]);
    }
    let buffers = if keep { shape.layers } else { shape.layers.min(1) };
    if workspace.layers.len() < buffers {
        workspace.layers.resize_with(buffers, LayerBuffers::default);
    }
    for index in 0..shape.layers {
        block(shape, &packed.layers[index], if keep { index } else { 0 }, rows, time, workspace);
    }
}

/// One block from `workspace.x` to `workspace.x`.
fn block(shape: &LlamaShape, weights: &PackedLayer, slot: usize, rows: usize, time: usize, workspace: &mut Workspace) {
    let Workspace { layers, x, rotary: table, positions, attention: scratch, .. } = workspace;
    let (layer, m) = (&mut layers[slot], rows * time);
    let (h, f, layout) = (shape.hidden, shape.ffn, shape.head_layout());
    let (width, attention_width) = (layout.width(), shape.attention_width());
    std::mem::swap(x, &mut layer.x);
    let input = layer.x.take(m * h);

    let normed = layer.normed1.take(m * h);
    rms_norm(input, &weights.norm1, shape.norm_eps, normed, layer.inverse_rms1.take(m));
    let qkv = layer.qkv.take(m * width);
    times_packed(m, width, h, normed, weights.qkv.all(), qkv, Into::Set);
    rotary(qkv, layout, positions, table, false);
    let attended = layer.attended.take(m * attention_width);
    attention::forward(layout, rows, time, qkv, attended, layer.softmax.take(rows * shape.heads * time * 2), scratch);
    let middle = layer.middle.take(m * h);
    middle.copy_from_slice(input);
    times_packed(m, h, attention_width, attended, weights.output.all(), middle, Into::Add);

    let normed = layer.normed2.take(m * h);
    rms_norm(middle, &weights.norm2, shape.norm_eps, normed, layer.inverse_rms2.take(m));
    let gate_up = layer.gate_up.take(m * 2 * f);
    times_packed(m, 2 * f, h, normed, weights.gate_up.all(), gate_up, Into::Set);
    let activated = layer.activated.take(m * f);
    swiglu(gate_up, f, activated);
    let output = x.take(m * h);
    output.copy_from_slice(middle);
    times_packed(m, h, f, activated, weights.down.all(), output, Into::Add);
}
