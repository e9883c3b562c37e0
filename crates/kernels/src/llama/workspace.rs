//! Memory reused from one step to the next.

use super::attention::AttentionScratch;
use super::shape::LlamaShape;
use crate::buffer::Buffer;
use crate::ops::RotaryTable;

/// Buffers of one worker, grown at first use and kept; usable with any shape and batch in turn.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) layers: Vec<LayerBuffers>,
    /// Output of the last block so far, (m, hidden).
    pub(crate) x: Buffer,
    pub(crate) rotary: RotaryTable,
    pub(crate) positions: Vec<usize>,
    pub(crate) attention: AttentionScratch,
    pub(crate) head: HeadBuffers,
    pub(crate) gradients: GradientBuffers,
    pub(crate) scratch: Buffer,
}

/// What the backward sweep of one block needs from its forward sweep.
#[derive(Debug, Default)]
pub(crate) struct LayerBuffers {
    /// Input of the block, (m, hidden).
    pub x: Buffer,
    pub inverse_rms1: Buffer,
    /// Normed input, (m, hidden).
    pub normed1: Buffer,
    /// Queries (scaled, rotated), keys (rotated), values, (m, width).
    pub qkv: Buffer,
    /// Maximum and inverse sum of each softmax, (rows, heads, time, 2).
    pub softmax: Buffer,
    /// Attention output, (m, heads * head_dim).
    pub attended: Buffer,
    /// Input of the MLP half, (m, hidden).
    pub middle: Buffer,
    pub inverse_rms2: Buffer,
    /// Normed input of the MLP, (m, hidden).
    pub normed2: Buffer,
    /// Gate and up projections, (m, 2 ffn).
    pub gate_up: Buffer,
    /// `silu(gate) * up`, (m, ffn).
    pub activated: Buffer,
}

/// One tile of scored positions on its way through the head.
#[derive(Debug, Default)]
pub(crate) struct HeadBuffers {
    pub positions: Vec<usize>,
    pub x: Buffer,
    pub inverse_rms: Buffer,
    pub normed: Buffer,
    pub logits: Buffer,
    pub d_normed: Buffer,
    pub dx: Buffer,
}

/// Gradients with respect to activations.
#[derive(Debug, Default)]
pub(crate) struct GradientBuffers {
    pub x: Buffer,
    pub normed: Buffer,
    pub qkv: Buffer,
    pub attended: Buffer,
    pub activated: Buffer,
}

impl Workspace {
    /// Empty; buffers grow at first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prepares what depends only on the shape and the length of rows.
    pub(crate) fn prepare(&mut self, shape: &LlamaShape, rows: usize, time: usize) {
        self.rotary.prepare(time, shape.head_dim, shape.rope_theta);
        self.positions.clear();
        self.positions.extend((0..rows).flat_map(|_| 0..time));
    }
}
