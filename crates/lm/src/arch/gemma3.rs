//! Gemma 3, text (Kamath et al. 2025, arXiv 2503.19786): a Gemma 2 with norms of queries and keys instead of caps, five layers
//! with a window for each without, and other rotary positions in the former. Reference: `Gemma3ForCausalLM` of transformers.

use oracle::ConfigError;
use serde_json::{Value, json};

use super::decoder::{Activation, Decoder, HeadNorms, Norm, NormKind, Rope};
use super::fields::{check_positive, positive};
use super::gemma::{DEFAULTS, TANH};
use super::gemma2::GemmaCaps;
use super::rope_keys::{RopeKeys, rope_object};
use super::rotary::{Defaults, RotaryShape, example_tokens, merged, part_of};
use super::{Arch, Fields, TokenIds, Windows, gemma};

/// What the `config.json` of a Gemma 3 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Gemma3Config {
    /// Its shape, with the rotary positions of layers without a window; `head_dim` is always filled in.
    pub shape: RotaryShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// What Gemma 2 and 3 have in common.
    pub caps: GemmaCaps,
    /// Layers that look through a window.
    pub windows: Windows,
    /// Base of the rotary frequencies in them.
    pub rope_local_base_freq: f64,
}

/// Layers from one without a window to the next.
const PATTERN: usize = 6;
const LOCAL_BASE: f64 = 10_000.0;

fn slides(pattern: usize) -> impl Fn(usize) -> bool {
    move |layer| !(layer + 1).is_multiple_of(pattern)
}

impl Gemma3Config {
    /// A new model of this shape, with windows of half the context in five of six layers.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &RotaryShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone().checked()?;
        let size = Some((shape.max_position_embeddings / 2).max(1));
        let windows = Windows { size, layers: (0..shape.num_hidden_layers).map(slides(PATTERN)).collect() };
        let caps = plain_caps(shape.head_dim());
        Ok(Self { shape, tokens, caps, windows, rope_local_base_freq: LOCAL_BASE })
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let default = Defaults { rope_theta: 1_000_000.0, positions: 131_072, ..DEFAULTS };
        let (global, local) = rope(fields, default.rope_theta)?;
        let (tokens, shape) = (TokenIds::from_fields(fields)?, RotaryShape::with_rope(fields, default, global)?);
        // transformers keeps a soft cap of scores and applies none
        let caps = GemmaCaps { attn_logit_softcapping: None, ..GemmaCaps::from_fields(fields, [None, None])? };
        let size = fields.window("sliding_window", Some(4096))?;
        let pattern = fields.count_if("sliding_window_pattern", 1..=usize::MAX)?.unwrap_or(PATTERN);
        let windows = Windows::read(fields, size, shape.num_hidden_layers, slides(pattern))?;
        Ok(Self { shape, tokens, caps, windows, rope_local_base_freq: local })
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let windows = Windows { size: Some(3), layers: vec![true, false] };
        let (shape, tokens, caps) = (RotaryShape::example(), example_tokens(), plain_caps(6));
        let mixed = Self { shape, tokens, caps, windows, rope_local_base_freq: 100.0 };
        let mut capped = mixed.clone();
        capped.shape.tie_word_embeddings = false;
        capped.windows = Windows { size: Some(2), layers: vec![true, true] };
        capped.caps = GemmaCaps { final_logit_softcapping: Some(4.0), ..capped.caps };
        vec![mixed, capped]
    }
}

fn plain_caps(query_pre_attn_scalar: usize) -> GemmaCaps {
    GemmaCaps {
        activation: Activation::GeluTanh,
        attention_bias: false,
        query_pre_attn_scalar,
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
    }
}

/// Rotary positions of layers without a window, and the base of those with one. Version 5 has an object for each kind of layer.
fn rope(fields: &Fields<'_>, default: f64) -> Result<(RopeKeys, f64), ConfigError> {
    const OLDER: &str = "rope_local_base_freq";
    let nested = fields.get("rope_parameters").and_then(Value::as_object).filter(|map| map.contains_key("full_attention"));
    let (global, local) = match nested {
        None => {
            let local = fields.positive_if(OLDER)?.unwrap_or(LOCAL_BASE);
            (fields.rope("rope_theta", "partial_rotary_factor", RopeKeys::of(default))?, RopeKeys::of(local))
        }
        Some(map) => {
            let of = |kind: &str, default: f64| match map.get(kind) {
                Some(value) => rope_object(&format!("rope_parameters.{kind}"), value, RopeKeys::of(default)),
                None => Ok(RopeKeys::of(default)),
            };
            if let Some((key, value)) =
                map.iter().find(|(key, _)| !["full_attention", "sliding_attention"].contains(&key.as_str()))
            {
                return Err(ConfigError::new(format!("rope_parameters.{key}"), value, "no kind of layer of this architecture"));
            }
            if let Some(value) = fields.get(OLDER) {
                positive(OLDER, value)?;
            }
            (of("full_attention", default)?, of("sliding_attention", LOCAL_BASE)?)
        }
    };
    check_positive(&[(OLDER, local.theta)])?;
    if local.scaling.is_some() || local.part != 1.0 || global.part != 1.0 {
        let remedy = "only whole heads are turned, and only layers without a window by changed frequencies, in this architecture";
        return Err(ConfigError::new("rope_parameters.sliding_attention", "scaled or partial", remedy));
    }
    Ok((global, local.theta))
}

impl Arch for Gemma3Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        let mut decoder = gemma::decoder(s, &self.tokens, |layer, block| {
            self.caps.change(s, layer, block);
            let norm = |part| Norm::new(part_of(layer, part), s.head_dim(), NormKind::RmsAroundOne(s.rms_norm_eps));
            let attention = &mut block.attention.layer;
            attention.norms = HeadNorms::EachHead { q: norm("self_attn.q_norm"), k: norm("self_attn.k_norm") };
            attention.window = self.windows.of(layer);
            if attention.window.is_some() {
                attention.rope = Some(Rope { theta: self.rope_local_base_freq, width: s.head_dim(), scaling: None });
            }
        });
        decoder.head.soft_cap = self.caps.final_logit_softcapping;
        decoder
    }

    fn config_json(&self) -> Value {
        let own = json!({
            "hidden_act": self.caps.activation.name(TANH),
            "layer_types": self.windows.layer_types(),
            "rope_local_base_freq": self.rope_local_base_freq,
            "sliding_window": self.windows.size,
        });
        self.shape.json("gemma3_text", "Gemma3ForCausalLM", &self.tokens, merged([own, self.caps.json()]))
    }
}
