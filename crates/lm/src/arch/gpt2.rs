//! GPT-2 (Radford et al. 2019): learned positions, layer norms, one product for queries, keys and values. Reference:
//! `GPT2LMHeadModel` of transformers.

use oracle::ConfigError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decoder::{
    Activation, Attention, Block, Decoder, Embedding, FeedForward, Gate, Head, HeadNorms, Linear, Norm, NormKind, Positions,
    Projections, SubLayer,
};
use super::fields::{DEEPEST, LONGEST, WIDEST, check_positive, check_sizes};
use super::rotary::{example_tokens, merged};
use super::{Arch, Fields, TokenIds};

/// The shape of a GPT-2, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gpt2Shape {
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Heads per block; divides `n_embd`.
    pub n_head: usize,
    /// Width of the feed-forward layer; `4 * n_embd` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_inner: Option<usize>,
    /// Longest input in tokens.
    pub n_positions: usize,
    /// Added to the variance before the root.
    #[serde(default = "usual_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by `sqrt(2 * n_layer)`.
    #[serde(default = "usual_initializer_range")]
    pub initializer_range: f64,
}

fn usual_epsilon() -> f64 {
    1e-5
}

fn usual_initializer_range() -> f64 {
    0.02
}

/// What the `config.json` of a GPT-2 says.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpt2Config {
    /// Its shape.
    pub shape: Gpt2Shape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Of the feed-forward layer.
    pub activation: Activation,
    /// Whether the output product uses the embedding table.
    pub tie_word_embeddings: bool,
    /// Whether scores are divided by the root of a head's width.
    pub scale_attn_weights: bool,
    /// Whether scores of layer i are divided by i + 1 too.
    pub scale_attn_by_inverse_layer_idx: bool,
}

impl Gpt2Config {
    /// A new model of this shape.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &Gpt2Shape, tokens: TokenIds) -> Result<Self, ConfigError> {
        Self {
            shape: shape.clone(),
            tokens,
            activation: Activation::GeluTanh,
            tie_word_embeddings: true,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
        }
        .checked()
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let n_positions = fields.count_if("n_positions", 1..=LONGEST)?.unwrap_or(1024);
        // scores in another order and at least in f32: the same values in f32
        fields.switch("reorder_and_upcast_attn", false)?;
        let shape = Gpt2Shape {
            n_embd: fields.count("n_embd", 1..=WIDEST)?,
            n_layer: fields.count("n_layer", 1..=DEEPEST)?,
            n_head: fields.count("n_head", 1..=WIDEST)?,
            n_inner: fields.count_if("n_inner", 1..=WIDEST)?,
            n_positions,
            layer_norm_epsilon: fields.positive_if("layer_norm_epsilon")?.unwrap_or_else(usual_epsilon),
            initializer_range: fields.deviation("initializer_range", usual_initializer_range()),
        };
        Self {
            shape,
            tokens: TokenIds::from_fields(fields)?,
            activation: Activation::read(fields, "activation_function", Activation::GeluTanh)?,
            tie_word_embeddings: fields.switch("tie_word_embeddings", true)?,
            scale_attn_weights: fields.switch("scale_attn_weights", true)?,
            scale_attn_by_inverse_layer_idx: fields.switch("scale_attn_by_inverse_layer_idx", false)?,
        }
        .checked()
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = Gpt2Shape {
            n_embd: 20,
            n_layer: 2,
            n_head: 4,
            n_inner: Some(13),
            n_positions: 48,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
        };
        let tied = Self {
            shape,
            tokens: example_tokens(),
            activation: Activation::GeluTanh,
            tie_word_embeddings: true,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
        };
        let mut untied = Self { tie_word_embeddings: false, activation: Activation::Gelu, ..tied.clone() };
        untied.shape.n_inner = None;
        untied.scale_attn_by_inverse_layer_idx = true;
        untied.scale_attn_weights = false;
        vec![tied, untied]
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let s = &self.shape;
        check_sizes(&[
            ("n_embd", s.n_embd, WIDEST),
            ("n_layer", s.n_layer, DEEPEST),
            ("n_head", s.n_head, WIDEST),
            ("n_inner", self.inner(), 4 * WIDEST),
            ("n_positions", s.n_positions, LONGEST),
        ])?;
        check_positive(&[("layer_norm_epsilon", s.layer_norm_epsilon), ("initializer_range", s.initializer_range)])?;
        if !s.n_embd.is_multiple_of(s.n_head) {
            return Err(ConfigError::new("n_embd", s.n_embd, format!("give a multiple of n_head = {}", s.n_head)));
        }
        Ok(self)
    }

    fn inner(&self) -> usize {
        self.shape.n_inner.unwrap_or(4 * self.shape.n_embd)
    }

    fn block(&self, layer: usize) -> Block {
        let s = &self.shape;
        let (hidden, head_dim) = (s.n_embd, s.n_embd / s.n_head);
        let name = |part: &str| format!("transformer.h.{layer}.{part}");
        let norm = |part| Some(Norm::new(name(part), hidden, NormKind::Layer(s.layer_norm_epsilon)));
        let plain = if self.scale_attn_weights { Attention::usual_scale(head_dim) } else { 1.0 };
        let attention = Attention {
            heads: s.n_head,
            kv_heads: s.n_head,
            head_dim,
            projections: Projections::Stacked(Linear::transposed(name("attn.c_attn"), hidden, 3 * hidden)),
            norms: HeadNorms::None,
            rope: None,
            scale: if self.scale_attn_by_inverse_layer_idx { plain / (layer + 1) as f64 } else { plain },
            soft_cap: None,
            window: None,
            out: Linear::transposed(name("attn.c_proj"), hidden, hidden),
        };
        let feed_forward = FeedForward {
            gate: Gate::None,
            up: Linear::transposed(name("mlp.c_fc"), hidden, self.inner()),
            down: Linear::transposed(name("mlp.c_proj"), self.inner(), hidden),
            activation: self.activation,
        };
        Block {
            attention: SubLayer { before: norm("ln_1"), layer: attention, after: None },
            feed_forward: SubLayer { before: norm("ln_2"), layer: feed_forward, after: None },
            parallel: false,
        }
    }
}

impl Arch for Gpt2Config {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.n_positions
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        let positions = Positions { name: "transformer.wpe.weight", rows: s.n_positions, first: 0 };
        Decoder {
            vocab_size: self.tokens.vocab_size,
            hidden_size: s.n_embd,
            initializer_range: s.initializer_range,
            embedding: Embedding { tokens: "transformer.wte.weight", scale: None, positions: Some(positions) },
            blocks: (0..s.n_layer).map(|layer| self.block(layer)).collect(),
            norm: Some(Norm::new("transformer.ln_f".into(), s.n_embd, NormKind::Layer(s.layer_norm_epsilon))),
            head: Head { name: "lm_head.weight", tied: self.tie_word_embeddings, soft_cap: None },
        }
    }

    fn config_json(&self) -> Value {
        let s = &self.shape;
        let own = json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": self.activation.name("gelu_new"),
            "initializer_range": s.initializer_range,
            "layer_norm_epsilon": s.layer_norm_epsilon,
            "n_embd": s.n_embd,
            "n_head": s.n_head,
            "n_inner": s.n_inner,
            "n_layer": s.n_layer,
            "n_positions": s.n_positions,
            "scale_attn_by_inverse_layer_idx": self.scale_attn_by_inverse_layer_idx,
            "scale_attn_weights": self.scale_attn_weights,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
        });
        merged([self.tokens.json(), own])
    }

    fn base_prefix(&self) -> &'static str {
        "transformer."
    }

    /// Masks that older checkpoints carry.
    fn is_buffer(&self, name: &str) -> bool {
        name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
    }
}
