//! Gemma (Mesnard et al. 2024, arXiv 2403.08295): a Llama with scaled embeddings, gains around one and GELU gates. Reference:
//! `GemmaForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Activation, Block, Decoder, NormKind};
use super::rotary::{Defaults, RotaryShape, example_tokens};
use super::{Arch, Fields, TokenIds, llama};

/// What the `config.json` of a Gemma says.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaConfig {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Of the gates.
    pub activation: Activation,
    /// Biases on the four attention products.
    pub attention_bias: bool,
}

/// What transformers assumes of every Gemma.
pub(super) const DEFAULTS: Defaults =
    Defaults { tie_word_embeddings: true, head_dim: Some(256), positions: 8192, ..Defaults::LLAMA };

/// The name by which Gemmas call the approximated GELU.
pub(super) const TANH: &str = "gelu_pytorch_tanh";

/// What all Gemmas do unlike LLaMA: embeddings times the root of their width, gains around one.
pub(super) fn decoder(shape: &RotaryShape, tokens: &TokenIds, block: impl Fn(usize, &mut Block)) -> Decoder {
    let mut decoder = shape.decoder(tokens, block);
    decoder.embedding.scale = Some((shape.hidden_size as f64).sqrt());
    let around_one = NormKind::RmsAroundOne(shape.rms_norm_eps);
    for block in &mut decoder.blocks {
        let (attention, feed_forward) = (&mut block.attention, &mut block.feed_forward);
        let norms = [&mut attention.before, &mut attention.after, &mut feed_forward.before, &mut feed_forward.after];
        norms.into_iter().flatten().for_each(|norm| norm.kind = around_one);
    }
    decoder.norm.iter_mut().for_each(|norm| norm.kind = around_one);
    decoder
}

impl GemmaConfig {
    /// A new model of this shape, without biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        Ok(Self { shape, tokens, activation: Activation::GeluTanh, attention_bias: false })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let older = Activation::read(fields, "hidden_act", Activation::GeluTanh)?;
        let activation = Activation::read(fields, "hidden_activation", older)?;
        Ok(Self {
            tokens: TokenIds::from_fields(fields)?,
            shape: RotaryShape::from_fields(fields, DEFAULTS)?,
            // the first releases say gelu and were trained with its approximation
            activation: if activation == Activation::Gelu { Activation::GeluTanh } else { activation },
            attention_bias: fields.switch("attention_bias", false)?,
        })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let (shape, tokens) = (RotaryShape::example(), example_tokens());
        let plain = Self { shape, tokens, activation: Activation::GeluTanh, attention_bias: false };
        let mut biased = Self { attention_bias: true, activation: Activation::Silu, ..plain.clone() };
        biased.shape.tie_word_embeddings = false;
        vec![plain, biased]
    }
}

impl Arch for GemmaConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        decoder(&self.shape, &self.tokens, |_, block| {
            llama::add_biases(block, self.attention_bias, false);
            block.feed_forward.layer.activation = self.activation;
        })
    }

    fn config_json(&self) -> Value {
        let activation = self.activation.name(TANH);
        let own = json!({
            "attention_bias": self.attention_bias,
            "hidden_act": activation,
            "hidden_activation": activation,
        });
        self.shape.json("gemma", "GemmaForCausalLM", &self.tokens, own)
    }
}
