//! Qwen 2 (Yang et al. 2024, arXiv 2407.10671): a Llama with biases on queries, keys and values. Reference:
//! `Qwen2ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Decoder, Projections};
use super::rotary::{Defaults, RotaryShape, example_tokens, merged};
use super::{Arch, Fields, TokenIds, Windows};

/// What the `config.json` of a Qwen 2 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen2Config {
    /// Its shape; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Layers that look through a window.
    pub windows: Windows,
}

/// Windows in the layers from `max_window_layers` on, if `use_sliding_window` says so, in Qwen 2 and 3.
pub(super) fn read_windows(fields: &Fields<'_>, layers: usize) -> Result<Windows, ConfigError> {
    let size = fields.window("sliding_window", Some(4096))?;
    let first = fields.count_if("max_window_layers", 0..=usize::MAX)?.unwrap_or(28);
    let used = fields.switch("use_sliding_window", false)?;
    Windows::read(fields, size.filter(|_| used), layers, |layer| layer >= first)
}

/// What [`read_windows`] reads.
pub(super) fn windows_json(windows: &Windows) -> Value {
    let first = windows.layers.iter().position(|sliding| *sliding).unwrap_or(windows.layers.len());
    json!({
        "layer_types": windows.layer_types(),
        "max_window_layers": first,
        "sliding_window": windows.size,
        "use_sliding_window": windows.size.is_some(),
    })
}

impl Qwen2Config {
    /// A new model of this shape, without windows.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        let windows = Windows::none(shape.num_hidden_layers);
        Ok(Self { shape, tokens, windows })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        fields.only("hidden_act", json!("silu"))?;
        let (tokens, shape) = (
            TokenIds::from_fields(fields)?,
            RotaryShape::from_fields(fields, Defaults { positions: 32_768, ..Defaults::LLAMA })?,
        );
        let windows = read_windows(fields, shape.num_hidden_layers)?;
        Ok(Self { shape, tokens, windows })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = RotaryShape { head_dim: Some(4), hidden_size: 16, ..RotaryShape::example() };
        let plain = Self { windows: Windows::none(shape.num_hidden_layers), shape, tokens: example_tokens() };
        let mut windowed = plain.clone();
        windowed.shape.tie_word_embeddings = false;
        windowed.windows = Windows { size: Some(3), layers: vec![false, true] };
        vec![plain, windowed]
    }
}

impl Arch for Qwen2Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        self.shape.decoder(&self.tokens, |layer, block| {
            let attention = &mut block.attention.layer;
            attention.window = self.windows.of(layer);
            if let Projections::Separate { q, k, v } = &mut attention.projections {
                [q, k, v].into_iter().for_each(|product| product.bias = true);
            }
        })
    }

    fn config_json(&self) -> Value {
        let own = merged([json!({ "hidden_act": "silu" }), windows_json(&self.windows)]);
        self.shape.json("qwen2", "Qwen2ForCausalLM", &self.tokens, own)
    }
}
