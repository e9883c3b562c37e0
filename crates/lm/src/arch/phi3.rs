//! Phi 3 (Abdin et al. 2024, arXiv 2404.14219): a Llama whose products are stacked, and whose heads may be turned in part.
//! Reference: `Phi3ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Decoder, Gate, Linear, Projections, Rope};
use super::rope_keys::RopeKeys;
use super::rotary::{Defaults, RotaryShape, example_tokens, part_of};
use super::{Arch, Fields, TokenIds};

/// What the `config.json` of a Phi 3 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Phi3Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Part of a head's components that is turned.
    pub partial_rotary_factor: f64,
    /// A token sees itself and so many - 1 before it.
    pub sliding_window: Option<usize>,
}

impl Phi3Config {
    /// A new model of this shape, whole heads turned, without a window.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        Ok(Self { shape, tokens, partial_rotary_factor: 1.0, sliding_window: None })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        // concerns a scaling that is refused
        fields.get("original_max_position_embeddings");
        // of Phi 4 mini's own code; here they are as if they were not there
        fields.only("full_attn_mod", json!(1))?;
        fields.only("interpolate_factor", json!(1))?;
        let default = Defaults { positions: 4096, rms_norm_eps: 1e-5, ..Defaults::LLAMA };
        let rope = fields.rope("rope_theta", PART, RopeKeys::of(Defaults::LLAMA.rope_theta))?;
        let (tokens, shape) = (TokenIds::from_fields(fields)?, RotaryShape::with_rope(fields, default, rope)?);
        RopeKeys::width(rope.part, shape.head_dim(), PART)?;
        let sliding_window = fields.window("sliding_window", None)?;
        Ok(Self { shape, tokens, partial_rotary_factor: rope.part, sliding_window })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = RotaryShape { head_dim: Some(4), hidden_size: 16, ..RotaryShape::example() };
        let whole = Self { shape, tokens: example_tokens(), partial_rotary_factor: 1.0, sliding_window: None };
        let mut part = Self { partial_rotary_factor: 0.5, sliding_window: Some(3), ..whole.clone() };
        part.shape.tie_word_embeddings = false;
        vec![whole, part]
    }
}

const PART: &str = "partial_rotary_factor";

impl Arch for Phi3Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        let stacked = (s.num_attention_heads + 2 * s.num_key_value_heads) * s.head_dim();
        let turned = (s.head_dim() as f64 * self.partial_rotary_factor) as usize;
        s.decoder(&self.tokens, |layer, block| {
            let product = |part, outputs| Linear::new(part_of(layer, part), s.hidden_size, outputs, false);
            let attention = &mut block.attention.layer;
            attention.projections = Projections::Stacked(product("self_attn.qkv_proj", stacked));
            attention.rope = Some(Rope { width: turned, ..s.rope() });
            attention.window = self.sliding_window;
            let feed_forward = &mut block.feed_forward.layer;
            feed_forward.gate = Gate::Stacked;
            feed_forward.up = product("mlp.gate_up_proj", 2 * s.intermediate_size);
        })
    }

    fn config_json(&self) -> Value {
        let own = json!({
            "embd_pdrop": 0.0,
            "hidden_act": "silu",
            "original_max_position_embeddings": self.shape.max_position_embeddings,
            "pad_token_id": self.tokens.pad, // absent it would be 32000
            "partial_rotary_factor": self.partial_rotary_factor,
            "resid_pdrop": 0.0,
            "sliding_window": self.sliding_window,
        });
        self.shape.json("phi3", "Phi3ForCausalLM", &self.tokens, own)
    }
}
