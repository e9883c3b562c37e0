//! LLaMA (Touvron et al. 2023, arXiv 2302.13971; 3: arXiv 2407.21783): norms before attention and feed-forward, rotary
//! positions, SiLU gates, grouped queries. Reference: `LlamaForCausalLM` of transformers.

use kernels::llama::LlamaShape;
use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Block, Decoder, Gate, Projections};
use super::rotary::{Defaults, RotaryShape, example_tokens};
use super::{Arch, Fields, TokenIds};

/// What the `config.json` of a Llama says.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Biases on the four attention products.
    pub attention_bias: bool,
    /// Biases on the three feed-forward products.
    pub mlp_bias: bool,
}

impl LlamaConfig {
    /// A new model of this shape, without biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        Ok(Self { shape, tokens, attention_bias: false, mlp_bias: false })
    }

    /// From the keys of `config.json`, in the dialects of transformers 4 and 5.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        Ok(Self {
            tokens: TokenIds::from_fields(fields)?,
            shape: RotaryShape::from_fields(fields, Defaults::LLAMA)?,
            attention_bias: fields.switch("attention_bias", false)?,
            mlp_bias: fields.switch("mlp_bias", false)?,
        })
    }

    /// Small configurations with every switch on and off, and sizes that no block length divides.
    pub fn examples() -> Vec<Self> {
        let grouped = Self { shape: RotaryShape::example(), tokens: example_tokens(), attention_bias: false, mlp_bias: false };
        let mut untied = grouped.clone();
        untied.shape.tie_word_embeddings = false;
        untied.shape.num_key_value_heads = 4;
        untied.shape.num_hidden_layers = 1;
        let biased = Self { attention_bias: true, mlp_bias: true, ..untied.clone() };
        vec![grouped, untied, biased]
    }
}

/// Gives biases to the products of attention and of the feed-forward layer.
pub(super) fn add_biases(block: &mut Block, attention: bool, mlp: bool) {
    let layer = &mut block.attention.layer;
    if let Projections::Separate { q, k, v } = &mut layer.projections {
        [q, k, v, &mut layer.out].into_iter().for_each(|product| product.bias = attention);
    }
    let layer = &mut block.feed_forward.layer;
    if let Gate::Product(gate) = &mut layer.gate {
        [gate, &mut layer.up, &mut layer.down].into_iter().for_each(|product| product.bias = mlp);
    }
}

/// The shape for the fused kernels of a decoder that is a plain Llama.
pub(super) fn fused(shape: &RotaryShape, tokens: &TokenIds) -> Option<LlamaShape> {
    shape.rope_scaling.is_none().then(|| LlamaShape {
        vocab: tokens.vocab_size,
        hidden: shape.hidden_size,
        layers: shape.num_hidden_layers,
        heads: shape.num_attention_heads,
        kv_heads: shape.num_key_value_heads,
        head_dim: shape.head_dim(),
        ffn: shape.intermediate_size,
        tied: shape.tie_word_embeddings,
        norm_eps: shape.rms_norm_eps as f32,
        rope_theta: shape.rope_theta,
    })
}

impl Arch for LlamaConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        self.shape.decoder(&self.tokens, |_, block| add_biases(block, self.attention_bias, self.mlp_bias))
    }

    fn config_json(&self) -> Value {
        let own = json!({
            "attention_bias": self.attention_bias,
            "hidden_act": "silu",
            "mlp_bias": self.mlp_bias,
            "pretraining_tp": 1,
        });
        self.shape.json("llama", "LlamaForCausalLM", &self.tokens, own)
    }

    fn fused(&self) -> Option<LlamaShape> {
        if self.attention_bias || self.mlp_bias {
            return None;
        }
        fused(&self.shape, &self.tokens)
    }
}
