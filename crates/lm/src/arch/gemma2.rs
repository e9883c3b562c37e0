//! Gemma 2 (Riviere et al. 2024, arXiv 2408.00118): norms before and after, soft caps, windows in every other layer.
//! Reference: `Gemma2ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Activation, Attention, Block, Decoder};
use super::fields::LONGEST;
use super::gemma::{DEFAULTS, TANH};
use super::rotary::{RotaryShape, example_tokens, merged};
use super::{Arch, Fields, TokenIds, Windows, gemma, llama};

/// What the `config.json` of a Gemma 2 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Gemma2Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// What Gemma 2 and 3 have in common.
    pub caps: GemmaCaps,
    /// Layers that look through a window.
    pub windows: Windows,
}

/// What Gemma 2 and 3 have in common beside their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct GemmaCaps {
    /// Of the gates.
    pub activation: Activation,
    /// Biases on the four attention products.
    pub attention_bias: bool,
    /// Scores are divided by its root.
    pub query_pre_attn_scalar: usize,
    /// Soft cap of scores.
    pub attn_logit_softcapping: Option<f64>,
    /// Soft cap of logits.
    pub final_logit_softcapping: Option<f64>,
}

impl GemmaCaps {
    /// From the keys of `config.json`; a soft cap that it does not mention is one of `caps` (scores, logits).
    pub(super) fn from_fields(fields: &Fields<'_>, caps: [Option<f64>; 2]) -> Result<Self, ConfigError> {
        // version 4 writes it beside the key that counts
        fields.get("hidden_act");
        let query_pre_attn_scalar = fields.count_if("query_pre_attn_scalar", 1..=LONGEST)?.unwrap_or(256);
        let [scores, logits] = caps;
        Ok(Self {
            activation: Activation::read(fields, "hidden_activation", Activation::GeluTanh)?,
            attention_bias: fields.switch("attention_bias", false)?,
            query_pre_attn_scalar,
            attn_logit_softcapping: fields.positive_or_null("attn_logit_softcapping", scores)?,
            final_logit_softcapping: fields.positive_or_null("final_logit_softcapping", logits)?,
        })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "attention_bias": self.attention_bias,
            "attn_logit_softcapping": self.attn_logit_softcapping,
            "final_logit_softcapping": self.final_logit_softcapping,
            "hidden_activation": self.activation.name(TANH),
            "query_pre_attn_scalar": self.query_pre_attn_scalar,
        })
    }

    /// What Gemma 2 and 3 change in a block: norms after attention and feed-forward too, scale, caps.
    pub(super) fn change(&self, shape: &RotaryShape, layer: usize, block: &mut Block) {
        llama::add_biases(block, self.attention_bias, false);
        block.attention.layer.scale = Attention::usual_scale(self.query_pre_attn_scalar);
        block.attention.layer.soft_cap = self.attn_logit_softcapping;
        block.feed_forward.layer.activation = self.activation;
        block.attention.after = Some(shape.norm(layer, "post_attention_layernorm"));
        block.feed_forward.before = Some(shape.norm(layer, "pre_feedforward_layernorm"));
        block.feed_forward.after = Some(shape.norm(layer, "post_feedforward_layernorm"));
    }
}

/// Whether a layer of Gemma 2 slides: every other one, beginning with the first.
fn slides(layer: usize) -> bool {
    layer.is_multiple_of(2)
}

impl Gemma2Config {
    /// A new model of this shape with the published caps, and windows of half the context in every other layer.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        let size = Some((shape.max_position_embeddings / 2).max(1));
        let windows = Windows { size, layers: (0..shape.num_hidden_layers).map(slides).collect() };
        let caps = GemmaCaps {
            activation: Activation::GeluTanh,
            attention_bias: false,
            query_pre_attn_scalar: shape.head_dim(),
            attn_logit_softcapping: Some(50.0),
            final_logit_softcapping: Some(30.0),
        };
        Ok(Self { shape, tokens, caps, windows })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let (tokens, shape) = (TokenIds::from_fields(fields)?, RotaryShape::from_fields(fields, DEFAULTS)?);
        let caps = GemmaCaps::from_fields(fields, [Some(50.0), Some(30.0)])?;
        let size = fields.window("sliding_window", Some(4096))?;
        let windows = Windows::read(fields, size, shape.num_hidden_layers, slides)?;
        Ok(Self { shape, tokens, caps, windows })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let caps = GemmaCaps {
            activation: Activation::GeluTanh,
            attention_bias: false,
            query_pre_attn_scalar: 5,
            attn_logit_softcapping: Some(3.0),
            final_logit_softcapping: Some(4.0),
        };
        let windows = Windows { size: Some(3), layers: vec![true, false] };
        let capped = Self { shape: RotaryShape::example(), tokens: example_tokens(), caps, windows };
        let mut plain = capped.clone();
        plain.shape.tie_word_embeddings = false;
        plain.windows = Windows::none(2);
        plain.caps =
            GemmaCaps { attn_logit_softcapping: None, final_logit_softcapping: None, attention_bias: true, ..plain.caps };
        vec![capped, plain]
    }
}

impl Arch for Gemma2Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let mut decoder = gemma::decoder(&self.shape, &self.tokens, |layer, block| {
            self.caps.change(&self.shape, layer, block);
            block.attention.layer.window = self.windows.of(layer);
        });
        decoder.head.soft_cap = self.caps.final_logit_softcapping;
        decoder
    }

    fn config_json(&self) -> Value {
        let own = json!({
            "hidden_act": self.caps.activation.name(TANH),
            "layer_types": self.windows.layer_types(),
            "sliding_window": self.windows.size,
        });
        let own = merged([own, self.caps.json()]);
        self.shape.json("gemma2", "Gemma2ForCausalLM", &self.tokens, own)
    }
}
