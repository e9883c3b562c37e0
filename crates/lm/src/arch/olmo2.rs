//! OLMo 2 (Walsh et al. 2025, arXiv 2501.00656): norms after attention and feed-forward instead of before, and norms over all
//! queries and all keys. Reference: `Olmo2ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Decoder, HeadNorms, Norm, NormKind};
use super::rotary::{Defaults, RotaryShape, example_tokens, part_of};
use super::{Arch, Fields, TokenIds, llama};

/// What the `config.json` of an OLMo 2 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Olmo2Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Biases on the four attention products.
    pub attention_bias: bool,
}

impl Olmo2Config {
    /// A new model of this shape, without biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        Ok(Self { shape, tokens, attention_bias: false })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        Ok(Self {
            tokens: TokenIds::from_fields(fields)?,
            shape: RotaryShape::from_fields(fields, Defaults { rms_norm_eps: 1e-5, ..Defaults::LLAMA })?,
            attention_bias: fields.switch("attention_bias", false)?,
        })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let plain = Self { shape: RotaryShape::example(), tokens: example_tokens(), attention_bias: false };
        let mut biased = Self { attention_bias: true, ..plain.clone() };
        biased.shape.tie_word_embeddings = false;
        vec![plain, biased]
    }
}

impl Arch for Olmo2Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        s.decoder(&self.tokens, |layer, block| {
            llama::add_biases(block, self.attention_bias, false);
            let norm = |part, heads| Norm::new(part_of(layer, part), heads * s.head_dim(), NormKind::Rms(s.rms_norm_eps));
            block.attention.layer.norms = HeadNorms::AllHeads {
                q: norm("self_attn.q_norm", s.num_attention_heads),
                k: norm("self_attn.k_norm", s.num_key_value_heads),
            };
            block.attention.before = None;
            block.attention.after = Some(s.norm(layer, "post_attention_layernorm"));
            block.feed_forward.before = None;
            block.feed_forward.after = Some(s.norm(layer, "post_feedforward_layernorm"));
        })
    }

    fn config_json(&self) -> Value {
        let own = json!({ "attention_bias": self.attention_bias, "hidden_act": "silu" });
        self.shape.json("olmo2", "Olmo2ForCausalLM", &self.tokens, own)
    }
}
