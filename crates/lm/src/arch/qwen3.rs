//! Qwen 3 (Yang et al. 2025, arXiv 2505.09388): a Llama with norms of queries and keys, head by head. Reference:
//! `Qwen3ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Decoder, HeadNorms, Norm, NormKind};
use super::rotary::{Defaults, RotaryShape, example_tokens, merged, part_of};
use super::{Arch, Fields, TokenIds, Windows, llama, qwen2};

/// What the `config.json` of a Qwen 3 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen3Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Layers that look through a window.
    pub windows: Windows,
    /// Biases on the four attention products.
    pub attention_bias: bool,
}

impl Qwen3Config {
    /// A new model of this shape, without windows and biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        let windows = Windows::none(shape.num_hidden_layers);
        Ok(Self { shape, tokens, windows, attention_bias: false })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        let default = Defaults { head_dim: Some(128), positions: 32_768, ..Defaults::LLAMA };
        let (tokens, shape) = (TokenIds::from_fields(fields)?, RotaryShape::from_fields(fields, default)?);
        let windows = qwen2::read_windows(fields, shape.num_hidden_layers)?;
        Ok(Self { shape, tokens, windows, attention_bias: fields.switch("attention_bias", false)? })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = RotaryShape::example();
        let windows = Windows::none(shape.num_hidden_layers);
        let plain = Self { shape, tokens: example_tokens(), windows, attention_bias: false };
        let mut biased = Self { attention_bias: true, ..plain.clone() };
        biased.shape.tie_word_embeddings = false;
        biased.windows = Windows { size: Some(3), layers: vec![true, false] };
        vec![plain, biased]
    }
}

impl Arch for Qwen3Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        self.shape.decoder(&self.tokens, |layer, block| {
            llama::add_biases(block, self.attention_bias, false);
            let norm = |part| Norm::new(part_of(layer, part), self.shape.head_dim(), NormKind::Rms(self.shape.rms_norm_eps));
            let attention = &mut block.attention.layer;
            attention.norms = HeadNorms::EachHead { q: norm("self_attn.q_norm"), k: norm("self_attn.k_norm") };
            attention.window = self.windows.of(layer);
        })
    }

    fn config_json(&self) -> Value {
        let own = json!({ "attention_bias": self.attention_bias, "hidden_act": "silu" });
        let own = merged([own, qwen2::windows_json(&self.windows)]);
        self.shape.json("qwen3", "Qwen3ForCausalLM", &self.tokens, own)
    }
}
