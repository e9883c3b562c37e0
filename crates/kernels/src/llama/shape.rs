//! Sizes of a Llama and the place of each tensor in the flat parameter slice.

use crate::ops::HeadLayout;
use std::ops::Range;

/// Sizes and constants of a Llama without biases, with SiLU and plain rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaShape {
    /// Vocabulary entries (`vocab_size`).
    pub vocab: usize,
    /// Residual width (`hidden_size`).
    pub hidden: usize,
    /// Blocks (`num_hidden_layers`).
    pub layers: usize,
    /// Query heads (`num_attention_heads`).
    pub heads: usize,
    /// Key/value heads (`num_key_value_heads`); divides `heads`.
    pub kv_heads: usize,
    /// Width of one head (`head_dim`); even.
    pub head_dim: usize,
    /// Inner width of the MLP (`intermediate_size`).
    pub ffn: usize,
    /// Whether the head is the embedding matrix (`tie_word_embeddings`).
    pub tied: bool,
    /// Added to the mean square in RMSNorm (`rms_norm_eps`).
    pub norm_eps: f32,
    /// Base of the rotary frequencies (`rope_theta`).
    pub rope_theta: f64,
}

/// Where the parts of one block lie; adjacent projections of one input are one matrix.
#[derive(Debug, Clone)]
pub(crate) struct LayerRanges {
    pub norm1: Range<usize>,
    /// Query, key and value projections, (heads + 2 kv_heads) * head_dim rows.
    pub qkv: Range<usize>,
    pub output: Range<usize>,
    pub norm2: Range<usize>,
    /// Gate and up projections, 2 ffn rows.
    pub gate_up: Range<usize>,
    pub down: Range<usize>,
}

impl LlamaShape {
    /// Number of parameters: the length of the flat slice.
    pub fn n_params(&self) -> usize {
        let head = if self.tied { 0 } else { self.vocab * self.hidden };
        self.vocab * self.hidden + self.layers * self.layer_params() + self.hidden + head
    }

    /// HF name, range in the flat slice, and shape (out, in) of every tensor, in order: embedding, blocks, final norm, head if untied.
    pub fn layout(&self) -> Vec<(String, Range<usize>, Vec<usize>)> {
        let (h, f) = (self.hidden, self.ffn);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab, h])];
        for layer in 0..self.layers {
            let block: [(&str, Vec<usize>); 9] = [
                ("input_layernorm", vec![h]),
                ("self_attn.q_proj", vec![q, h]),
                ("self_attn.k_proj", vec![kv, h]),
                ("self_attn.v_proj", vec![kv, h]),
                ("self_attn.o_proj", vec![h, q]),
                ("post_attention_layernorm", vec![h]),
                ("mlp.gate_proj", vec![f, h]),
                ("mlp.up_proj", vec![f, h]),
                ("mlp.down_proj", vec![h, f]),
            ];
            tensors.extend(block.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
        }
        tensors.push(("model.norm.weight".to_owned(), vec![h]));
        if !self.tied {
            tensors.push(("lm_head.weight".to_owned(), vec![self.vocab, h]));
        }
        let mut start = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let range = start..start + shape.iter().product::<usize>();
            start = range.end;
            (name, range, shape)
        };
        tensors.into_iter().map(place).collect()
    }

    /// Panics on sizes that are no Llama; called at each boundary.
    pub(crate) fn check(&self) {
        assert!(
            self.vocab > 0 && self.hidden > 0 && self.heads > 0 && self.kv_heads > 0 && self.ffn > 0,
            "llama shape: a size is 0"
        );
        assert!(self.heads.is_multiple_of(self.kv_heads), "llama shape: kv_heads must divide heads");
        assert!(self.head_dim > 0 && self.head_dim.is_multiple_of(2), "llama shape: head_dim must be even");
    }

    pub(crate) fn head_layout(&self) -> HeadLayout {
        HeadLayout { heads: self.heads, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Width of the concatenated heads.
    pub(crate) fn attention_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn layer_params(&self) -> usize {
        let (h, d) = (self.hidden, self.head_dim);
        2 * h + h * d * (2 * self.heads + 2 * self.kv_heads) + 3 * h * self.ffn
    }

    pub(crate) fn embedding(&self) -> Range<usize> {
        0..self.vocab * self.hidden
    }

    pub(crate) fn layer(&self, layer: usize) -> LayerRanges {
        let (h, width) = (self.hidden, self.head_layout().width());
        let mut at = self.embedding().end + layer * self.layer_params();
        let mut next = |len: usize| {
            at += len;
            at - len..at
        };
        LayerRanges {
            norm1: next(h),
            qkv: next(width * h),
            output: next(h * self.attention_width()),
            norm2: next(h),
            gate_up: next(2 * self.ffn * h),
            down: next(h * self.ffn),
        }
    }

    pub(crate) fn final_norm(&self) -> Range<usize> {
        let start = self.embedding().end + self.layers * self.layer_params();
        start..start + self.hidden
    }

    pub(crate) fn head(&self) -> Range<usize> {
        if self.tied { self.embedding() } else { self.final_norm().end..self.n_params() }
    }
}
