//! Weights rearranged for products with many rows.

use super::shape::LlamaShape;
use crate::buffer::Buffer;
use crate::matmul::{pack_block, pack_transposed, packed_len};

/// The weights of a model as a training step reads them: rearranged once for a step, and shared by all that compute a part of it.
#[derive(Debug, Default)]
pub struct StepWeights {
    /// As the forward sweep reads them.
    pub forward: PackedWeights,
    /// As the backward sweep reads them.
    pub backward: BackwardWeights,
}

impl StepWeights {
    /// Rearranges `params` (flat, layout order).
    ///
    /// # Panics
    /// If the length is not the shape's, or the shape is no Llama.
    pub fn new(shape: &LlamaShape, params: &[f32]) -> Self {
        let mut weights = Self::default();
        weights.forward.refill(shape, params);
        weights.backward.refill(shape, params);
        weights
    }
}

/// The forward weights of a model in the panel order the matrix products read, made once and shared by any number of decoders.
#[derive(Debug, Default)]
pub struct PackedWeights {
    pub(crate) shape: Option<LlamaShape>,
    pub(crate) embedding: Vec<f32>,
    pub(crate) layers: Vec<PackedLayer>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) head: Buffer,
}

/// One block's part of `PackedWeights`.
#[derive(Debug, Default)]
pub(crate) struct PackedLayer {
    pub norm1: Vec<f32>,
    pub qkv: Buffer,
    pub output: Buffer,
    pub norm2: Vec<f32>,
    pub gate_up: Buffer,
    pub down: Buffer,
}

impl PackedWeights {
    /// Rearranges `params` (flat, layout order).
    ///
    /// # Panics
    /// If the length is not the shape's, or the shape is no Llama.
    pub fn new(shape: &LlamaShape, params: &[f32]) -> Self {
        let mut packed = Self::default();
        packed.refill(shape, params);
        packed.embedding = params[shape.embedding()].to_vec();
        packed
    }

    /// Packs again into the same memory, leaving out the embedding table.
    ///
    /// # Panics
    /// As [`PackedWeights::new`].
    pub fn refill(&mut self, shape: &LlamaShape, params: &[f32]) {
        shape.check();
        assert_eq!(params.len(), shape.n_params(), "packed weights: number of parameters");
        let (h, f, width, attention) = (shape.hidden, shape.ffn, shape.head_layout().width(), shape.attention_width());
        let pack = |buffer: &mut Buffer, weights: &[f32], out: usize, inner: usize| {
            pack_transposed(weights, out, inner, buffer.take(packed_len(out, inner)));
        };
        let copy = |buffer: &mut Vec<f32>, weights: &[f32]| {
            buffer.clear();
            buffer.extend_from_slice(weights);
        };
        self.layers.resize_with(shape.layers, PackedLayer::default);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let ranges = shape.layer(index);
            copy(&mut layer.norm1, &params[ranges.norm1]);
            pack(&mut layer.qkv, &params[ranges.qkv], width, h);
            pack(&mut layer.output, &params[ranges.output], h, attention);
            copy(&mut layer.norm2, &params[ranges.norm2]);
            pack(&mut layer.gate_up, &params[ranges.gate_up], 2 * f, h);
            pack(&mut layer.down, &params[ranges.down], h, f);
        }
        copy(&mut self.final_norm, &params[shape.final_norm()]);
        pack(&mut self.head, &params[shape.head()], shape.vocab, h);
        self.shape = Some(shape.clone());
    }
}

/// The same weights as the backward sweep reads them: gradients times weights, (out, in) as they lie.
#[derive(Debug, Default)]
pub struct BackwardWeights {
    pub(crate) layers: Vec<BackwardLayer>,
    pub(crate) head: Buffer,
}

/// One block's part of `BackwardWeights`.
#[derive(Debug, Default)]
pub(crate) struct BackwardLayer {
    pub qkv: Buffer,
    pub output: Buffer,
    pub gate_up: Buffer,
    pub down: Buffer,
}

impl BackwardWeights {
    /// Packs again into the same memory.
    ///
    /// # Panics
    /// As [`PackedWeights::new`].
    pub fn refill(&mut self, shape: &LlamaShape, params: &[f32]) {
        shape.check();
        assert_eq!(params.len(), shape.n_params(), "packed weights: number of parameters");
        let (h, f, width, attention) = (shape.hidden, shape.ffn, shape.head_layout().width(), shape.attention_width());
        let pack = |buffer: &mut Buffer, weights: &[f32], out: usize, inner: usize| {
            pack_block(weights, inner, 0, out, buffer.take(packed_len(inner, out)));
        };
        self.layers.resize_with(shape.layers, BackwardLayer::default);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let ranges = shape.layer(index);
            pack(&mut layer.qkv, &params[ranges.qkv], width, h);
            pack(&mut layer.output, &params[ranges.output], h, attention);
            pack(&mut layer.gate_up, &params[ranges.gate_up], 2 * f, h);
            pack(&mut layer.down, &params[ranges.down], h, f);
        }
        pack(&mut self.head, &params[shape.head()], shape.vocab, h);
    }
}
