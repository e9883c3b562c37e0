//! Mistral (Jiang et al. 2023, arXiv 2310.06825): a Llama whose tokens may see a window only. Reference:
//! `MistralForCausalLM` of transformers.

use kernels::llama::LlamaShape;
use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::Decoder;
use super::rotary::{Defaults, RotaryShape, example_tokens};
use super::{Arch, Fields, TokenIds, llama};

/// What the `config.json` of a Mistral says.
#[derive(Debug, Clone, PartialEq)]
pub struct MistralConfig {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// A token sees itself and so many - 1 before it.
    pub sliding_window: Option<usize>,
}

impl MistralConfig {
    /// A new model of this shape, without a window, as later releases are.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        Ok(Self { shape, tokens, sliding_window: None })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        Ok(Self {
            tokens: TokenIds::from_fields(fields)?,
            shape: RotaryShape::from_fields(fields, Defaults { positions: 131_072, ..Defaults::LLAMA })?,
            sliding_window: fields.window("sliding_window", Some(4096))?,
        })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let everything = Self { shape: RotaryShape::example(), tokens: example_tokens(), sliding_window: None };
        let mut windowed = Self { sliding_window: Some(3), ..everything.clone() };
        windowed.shape.tie_word_embeddings = false;
        vec![everything, windowed]
    }
}

impl Arch for MistralConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        self.shape.decoder(&self.tokens, |_, block| block.attention.layer.window = self.sliding_window)
    }

    fn config_json(&self) -> Value {
        let own = json!({ "hidden_act": "silu", "sliding_window": self.sliding_window });
        self.shape.json("mistral", "MistralForCausalLM", &self.tokens, own)
    }

    /// A window longer than any text changes nothing.
    fn fused(&self) -> Option<LlamaShape> {
        let sees_all = self.sliding_window.is_none_or(|window| window >= self.context_length());
        if sees_all { llama::fused(&self.shape, &self.tokens) } else { None }
    }
}
