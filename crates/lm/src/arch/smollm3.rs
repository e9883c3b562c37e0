//! SmolLM 3 (Hugging Face 2025): a Llama in which every fourth layer has no positions (Yang et al. 2025, arXiv 2501.18795).
//! Reference: `SmolLM3ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::Decoder;
use super::rotary::{Defaults, RotaryShape, example_tokens};
use super::{Arch, Fields, TokenIds, Windows, llama};

/// What the `config.json` of a SmolLM 3 says.
#[derive(Debug, Clone, PartialEq)]
pub struct SmolLm3Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Whether a layer has rotary positions.
    pub rotary_layers: Vec<bool>,
    /// Layers that look through a window.
    pub windows: Windows,
    /// Biases on the four attention products.
    pub attention_bias: bool,
    /// Biases on the three feed-forward products.
    pub mlp_bias: bool,
}

/// Layers from one without positions to the next.
const INTERVAL: usize = 4;

fn every(interval: usize) -> impl Fn(usize) -> bool {
    move |layer| !(layer + 1).is_multiple_of(interval)
}

impl SmolLm3Config {
    /// A new model of this shape, every fourth layer without positions; no windows and biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        let layers = shape.num_hidden_layers;
        let rotary_layers = (0..layers).map(every(INTERVAL)).collect();
        Ok(Self { shape, tokens, rotary_layers, windows: Windows::none(layers), attention_bias: false, mlp_bias: false })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        let default = Defaults { rope_theta: 2_000_000.0, tie_word_embeddings: true, positions: 32_768, ..Defaults::LLAMA };
        let (tokens, shape) = (TokenIds::from_fields(fields)?, RotaryShape::from_fields(fields, default)?);
        let layers = shape.num_hidden_layers;
        let rotary_layers = rotary_layers(fields, layers)?;
        let size = fields.window("sliding_window", None)?;
        // only layers without positions ever look through one, wherever a count says they begin
        fields.get("max_window_layers");
        let size = if fields.switch("use_sliding_window", false)? { size } else { None };
        let windows = Windows::read(fields, size, layers, |layer| !rotary_layers[layer])?;
        let (attention_bias, mlp_bias) = (fields.switch("attention_bias", false)?, fields.switch("mlp_bias", false)?);
        Ok(Self { shape, tokens, rotary_layers, windows, attention_bias, mlp_bias })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let (shape, tokens) = (RotaryShape::example(), example_tokens());
        let windows = Windows::none(shape.num_hidden_layers);
        let rotary_layers = vec![true, false];
        let plain = Self { shape, tokens, rotary_layers, windows, attention_bias: false, mlp_bias: false };
        let mut biased = Self { attention_bias: true, mlp_bias: true, ..plain.clone() };
        biased.windows = Windows { size: Some(3), layers: vec![false, true] };
        vec![plain, biased]
    }
}

/// `no_rope_layers`: despite its name, 1 where a layer has rotary positions and 0 where it has none.
fn rotary_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>, ConfigError> {
    let interval = fields.count_if("no_rope_layer_interval", 1..=usize::MAX)?.unwrap_or(INTERVAL);
    let Some(value) = fields.get("no_rope_layers") else { return Ok((0..layers).map(every(interval)).collect()) };
    let one = |value: &Value| match value.as_u64() {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => None,
    };
    let list: Option<Vec<bool>> = value.as_array().and_then(|list| list.iter().map(one).collect());
    list.filter(|list| list.len() == layers)
        .ok_or_else(|| ConfigError::new("no_rope_layers", value, format!("give a list of {layers} numbers, each 0 or 1")))
}

impl Arch for SmolLm3Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        self.shape.decoder(&self.tokens, |layer, block| {
            llama::add_biases(block, self.attention_bias, self.mlp_bias);
            let attention = &mut block.attention.layer;
            attention.window = self.windows.of(layer);
            if !self.rotary_layers[layer] {
                attention.rope = None;
            }
        })
    }

    fn config_json(&self) -> Value {
        let own = json!({
            "attention_bias": self.attention_bias,
            "hidden_act": "silu",
            "layer_types": self.windows.layer_types(),
            "mlp_bias": self.mlp_bias,
            "no_rope_layers": self.rotary_layers.iter().map(|rotary| u8::from(*rotary)).collect::<Vec<_>>(),
            "pad_token_id": self.tokens.pad, // absent it would be 128004
            "sliding_window": self.windows.size,
            "use_sliding_window": self.windows.size.is_some(),
        });
        self.shape.json("smollm3", "SmolLM3ForCausalLM", &self.tokens, own)
    }
}
