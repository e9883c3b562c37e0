//! What the descendants of LLaMA share: rotary positions, root-mean-square norms, gated feed-forward layers.

use oracle::{ConfigError, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decoder::{
    Activation, Attention, Block, Decoder, Embedding, FeedForward, Gate, Head, HeadNorms, Linear, Norm, NormKind, Projections,
    Rope, RopeScaling, SubLayer,
};
use super::fields::{DEEPEST, Fields, LONGEST, WIDEST, check_positive, check_sizes};
use super::rope_keys::{RopeKeys, check_scaling};
use super::token_ids::TokenIds;

/// The shape of a rotary decoder, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotaryShape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads per block.
    pub num_attention_heads: usize,
    /// Key-value heads per block; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, even; `hidden_size / num_attention_heads` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary frequencies are changed; unchanged when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square before the root.
    pub rms_norm_eps: f64,
    /// Whether the output product uses the embedding table.
    pub tie_word_embeddings: bool,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by
    /// `sqrt(2 * num_hidden_layers)`.
    #[serde(default = "usual_initializer_range")]
    pub initializer_range: f64,
}

/// What transformers assumes when `config.json` does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) rope_theta: f64,
    pub(super) tie_word_embeddings: bool,
    /// Width of a head; `hidden_size / num_attention_heads` without one.
    pub(super) head_dim: Option<usize>,
    /// Longest input.
    pub(super) positions: usize,
    pub(super) rms_norm_eps: f64,
}

impl Defaults {
    /// Those of LLaMA.
    pub(super) const LLAMA: Self =
        Self { rope_theta: 10_000.0, tie_word_embeddings: false, head_dim: None, positions: 2048, rms_norm_eps: 1e-6 };
}

fn usual_initializer_range() -> f64 {
    0.02
}

/// Name of the embedding table.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
/// Name of the output product.
pub(super) const HEAD: &str = "lm_head.weight";

impl RotaryShape {
    /// From the keys of `config.json`, in both dialects; all of a head's components are turned.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub(super) fn from_fields(fields: &Fields<'_>, default: Defaults) -> Result<Self, ConfigError> {
        let rope = fields.rope("rope_theta", "partial_rotary_factor", RopeKeys::of(default.rope_theta))?;
        if rope.part != 1.0 {
            return Err(ConfigError::new("partial_rotary_factor", rope.part, "not supported for this architecture, only 1 is"));
        }
        Self::with_rope(fields, default, rope)
    }

    /// The same with rotary positions that have been read.
    pub(super) fn with_rope(fields: &Fields<'_>, default: Defaults, rope: RopeKeys) -> Result<Self, ConfigError> {
        let heads = fields.count("num_attention_heads", 1..=WIDEST)?;
        Self {
            hidden_size: fields.count("hidden_size", 1..=WIDEST)?,
            num_hidden_layers: fields.count("num_hidden_layers", 1..=DEEPEST)?,
            num_attention_heads: heads,
            num_key_value_heads: fields.count_if("num_key_value_heads", 1..=WIDEST)?.unwrap_or(heads),
            head_dim: fields.count_if("head_dim", 1..=WIDEST)?.or(default.head_dim),
            intermediate_size: fields.count("intermediate_size", 1..=WIDEST)?,
            max_position_embeddings: fields.count_if("max_position_embeddings", 1..=LONGEST)?.unwrap_or(default.positions),
            rope_theta: rope.theta,
            rope_scaling: rope.scaling,
            rms_norm_eps: fields.positive_if("rms_norm_eps")?.unwrap_or(default.rms_norm_eps),
            tie_word_embeddings: fields.switch("tie_word_embeddings", default.tie_word_embeddings)?,
            initializer_range: fields.deviation("initializer_range", usual_initializer_range()),
        }
        .checked()
    }

    /// Refuses sizes that do not fit each other, and fills in the width of a head.
    ///
    /// # Errors
    /// Naming key, value and what to write.
    pub(super) fn checked(mut self) -> Result<Self, ConfigError> {
        check_sizes(&[
            ("hidden_size", self.hidden_size, WIDEST),
            ("num_hidden_layers", self.num_hidden_layers, DEEPEST),
            ("num_attention_heads", self.num_attention_heads, WIDEST),
            ("num_key_value_heads", self.num_key_value_heads, WIDEST),
            ("intermediate_size", self.intermediate_size, WIDEST),
            ("max_position_embeddings", self.max_position_embeddings, LONGEST),
        ])?;
        check_positive(&[
            ("rope_theta", self.rope_theta),
            ("rms_norm_eps", self.rms_norm_eps),
            ("initializer_range", self.initializer_range),
        ])?;
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(groups) {
            let remedy = format!("give a divisor of num_attention_heads = {heads}");
            return Err(ConfigError::new("num_key_value_heads", groups, remedy));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            let remedy = format!("give a multiple of num_attention_heads = {heads}, or head_dim");
            return Err(ConfigError::new("hidden_size", self.hidden_size, remedy));
        }
        let width = self.head_dim();
        if width == 0 || width % 2 == 1 {
            return Err(ConfigError::new("head_dim", width, "give an even number: rotary embedding turns pairs"));
        }
        if width.checked_mul(heads).is_none_or(|all| all > WIDEST) {
            return Err(ConfigError::new("head_dim", width, format!("give at most {WIDEST} for all heads together")));
        }
        if let Some(scaling) = self.rope_scaling {
            check_scaling("rope_scaling", scaling)?;
        }
        self.head_dim = Some(width);
        Ok(self)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// Rotary positions over whole heads.
    pub(super) fn rope(&self) -> Rope {
        Rope { theta: self.rope_theta, width: self.head_dim(), scaling: self.rope_scaling }
    }

    /// A decoder of this shape as LLaMA arranges it: norms before attention and feed-forward, nothing else special.
    /// `block` changes what an architecture does otherwise in layer `i`.
    pub(super) fn decoder(&self, tokens: &TokenIds, block: impl Fn(usize, &mut Block)) -> Decoder {
        let blocks = (0..self.num_hidden_layers).map(|layer| {
            let mut plain = self.block(layer);
            block(layer, &mut plain);
            plain
        });
        Decoder {
            vocab_size: tokens.vocab_size,
            hidden_size: self.hidden_size,
            initializer_range: self.initializer_range,
            embedding: Embedding { tokens: EMBEDDING, scale: None, positions: None },
            blocks: blocks.collect(),
            norm: Some(Norm::new("model.norm".into(), self.hidden_size, NormKind::Rms(self.rms_norm_eps))),
            head: Head { name: HEAD, tied: self.tie_word_embeddings, soft_cap: None },
        }
    }

    fn block(&self, layer: usize) -> Block {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (queries, keys) = (self.num_attention_heads * self.head_dim(), self.num_key_value_heads * self.head_dim());
        let product = |part: &str, inputs, outputs| Linear::new(part_of(layer, part), inputs, outputs, false);
        let attention = Attention {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim(),
            projections: Projections::Separate {
                q: product("self_attn.q_proj", hidden, queries),
                k: product("self_attn.k_proj", hidden, keys),
                v: product("self_attn.v_proj", hidden, keys),
            },
            norms: HeadNorms::None,
            rope: Some(self.rope()),
            scale: Attention::usual_scale(self.head_dim()),
            soft_cap: None,
            window: None,
            out: product("self_attn.o_proj", queries, hidden),
        };
        let feed_forward = FeedForward {
            gate: Gate::Product(product("mlp.gate_proj", hidden, inner)),
            up: product("mlp.up_proj", hidden, inner),
            down: product("mlp.down_proj", inner, hidden),
            activation: Activation::Silu,
        };
        let norm = |part| Some(self.norm(layer, part));
        Block {
            attention: SubLayer { before: norm("input_layernorm"), layer: attention, after: None },
            feed_forward: SubLayer { before: norm("post_attention_layernorm"), layer: feed_forward, after: None },
            parallel: false,
        }
    }

    /// A norm of the residual stream in a layer.
    pub(super) fn norm(&self, layer: usize, part: &str) -> Norm {
        Norm::new(part_of(layer, part), self.hidden_size, NormKind::Rms(self.rms_norm_eps))
    }

    /// Keys of `config.json` in the dialect of transformers 4, with those of the architecture in `own`.
    pub(super) fn json(&self, model_type: &str, class: &str, tokens: &TokenIds, own: Value) -> Value {
        let shape = json!({
            "architectures": [class],
            "model_type": model_type,
            "attention_dropout": 0.0,
            "head_dim": self.head_dim(),
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": self.rope_scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
        });
        merged([shape, tokens.json(), own])
    }

    /// A small shape for tests, with sizes that no block length divides.
    pub(super) fn example() -> Self {
        Self {
            hidden_size: 20,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: Some(6),
            intermediate_size: 13,
            max_position_embeddings: 48,
            rope_theta: 10_000.0,
            rope_scaling: None,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            initializer_range: 0.02,
        }
    }
}

/// Name of a part of a layer.
pub(super) fn part_of(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

/// Keys of all objects.
pub(super) fn merged<const N: usize>(objects: [Value; N]) -> Value {
    let maps = objects.into_iter().filter_map(|object| match object {
        Value::Object(map) => Some(map),
        _ => None,
    });
    Value::Object(maps.flatten().collect())
}

/// Token ids for tests.
pub(super) fn example_tokens() -> TokenIds {
    let (bos, eos): (TokenId, TokenId) = (0, 1);
    TokenIds { vocab_size: 37, bos: Some(bos), eos: vec![eos], pad: None, absent: Vec::new(), notes: Vec::new() }
}
