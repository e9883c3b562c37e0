//! GPT-NeoX (Black et al. 2022, arXiv 2204.06745), the family of Pythia: part of each head is turned, attention and
//! feed-forward side by side. Reference: `GPTNeoXForCausalLM` of transformers.

use oracle::ConfigError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::architecture::is_frequencies;
use super::decoder::{
    Activation, Attention, Block, Decoder, Embedding, FeedForward, Gate, Head, HeadNorms, Linear, Norm, NormKind, Projections,
    Rope, RopeScaling, SubLayer,
};
use super::fields::{DEEPEST, LONGEST, WIDEST, check_positive, check_sizes};
use super::rope_keys::RopeKeys;
use super::rotary::{example_tokens, merged};
use super::{Arch, Fields, TokenIds};

/// The shape of a GPT-NeoX, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GptNeoXShape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Heads per block; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Part of a head's components that is turned.
    #[serde(default = "usual_part")]
    pub rotary_pct: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "usual_base")]
    pub rotary_emb_base: f64,
    /// Attention and feed-forward read the same states.
    #[serde(default = "yes")]
    pub use_parallel_residual: bool,
    /// Added to the variance before the root.
    #[serde(default = "usual_epsilon")]
    pub layer_norm_eps: f64,
    /// Whether the output product uses the embedding table.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by
    /// `sqrt(2 * num_hidden_layers)`.
    #[serde(default = "usual_initializer_range")]
    pub initializer_range: f64,
}

fn usual_part() -> f64 {
    0.25
}

fn usual_base() -> f64 {
    10_000.0
}

fn yes() -> bool {
    true
}

fn usual_epsilon() -> f64 {
    1e-5
}

fn usual_initializer_range() -> f64 {
    0.02
}

/// What the `config.json` of a GPT-NeoX says.
#[derive(Debug, Clone, PartialEq)]
pub struct GptNeoXConfig {
    /// Its shape.
    pub shape: GptNeoXShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// How rotary frequencies are changed.
    pub rope_scaling: Option<RopeScaling>,
    /// Of the feed-forward layer.
    pub activation: Activation,
    /// Biases on the two attention products.
    pub attention_bias: bool,
}

const PART: &str = "rotary_pct";
const HEAD: &str = "embed_out.weight";
const BASE: &str = "rotary_emb_base";

impl GptNeoXConfig {
    /// A new model of this shape.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &GptNeoXShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone();
        Self { shape, tokens, rope_scaling: None, activation: Activation::Gelu, attention_bias: true }.checked()
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let default = RopeKeys { part: usual_part(), ..RopeKeys::of(usual_base()) };
        let rope = fields.rope(BASE, PART, default)?;
        let shape = GptNeoXShape {
            hidden_size: fields.count("hidden_size", 1..=WIDEST)?,
            num_hidden_layers: fields.count("num_hidden_layers", 1..=DEEPEST)?,
            num_attention_heads: fields.count("num_attention_heads", 1..=WIDEST)?,
            intermediate_size: fields.count("intermediate_size", 1..=WIDEST)?,
            max_position_embeddings: fields.count_if("max_position_embeddings", 1..=LONGEST)?.unwrap_or(2048),
            rotary_pct: rope.part,
            rotary_emb_base: rope.theta,
            use_parallel_residual: fields.switch("use_parallel_residual", true)?,
            layer_norm_eps: fields.positive_if("layer_norm_eps")?.unwrap_or_else(usual_epsilon),
            tie_word_embeddings: fields.switch("tie_word_embeddings", false)?,
            initializer_range: fields.deviation("initializer_range", usual_initializer_range()),
        };
        Self {
            shape,
            tokens: TokenIds::from_fields(fields)?,
            rope_scaling: rope.scaling,
            activation: Activation::read(fields, "hidden_act", Activation::Gelu)?,
            attention_bias: fields.switch("attention_bias", true)?,
        }
        .checked()
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = GptNeoXShape {
            hidden_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            intermediate_size: 13,
            max_position_embeddings: 48,
            rotary_pct: 0.25,
            rotary_emb_base: 10_000.0,
            use_parallel_residual: true,
            layer_norm_eps: 1e-5,
            tie_word_embeddings: false,
            initializer_range: 0.02,
        };
        let tokens = example_tokens();
        let parallel = Self { shape, tokens, rope_scaling: None, activation: Activation::Gelu, attention_bias: true };
        let mut serial = Self { attention_bias: false, activation: Activation::GeluTanh, ..parallel.clone() };
        serial.shape.use_parallel_residual = false;
        serial.shape.rotary_pct = 1.0;
        serial.shape.tie_word_embeddings = true;
        serial.rope_scaling = Some(RopeScaling::Linear { factor: 2.0 });
        vec![parallel, serial]
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let s = &self.shape;
        check_sizes(&[
            ("hidden_size", s.hidden_size, WIDEST),
            ("num_hidden_layers", s.num_hidden_layers, DEEPEST),
            ("num_attention_heads", s.num_attention_heads, WIDEST),
            ("intermediate_size", s.intermediate_size, WIDEST),
            ("max_position_embeddings", s.max_position_embeddings, LONGEST),
        ])?;
        check_positive(&[
            (BASE, s.rotary_emb_base),
            ("layer_norm_eps", s.layer_norm_eps),
            ("initializer_range", s.initializer_range),
        ])?;
        if !s.hidden_size.is_multiple_of(s.num_attention_heads) {
            let remedy = format!("give a multiple of num_attention_heads = {}", s.num_attention_heads);
            return Err(ConfigError::new("hidden_size", s.hidden_size, remedy));
        }
        RopeKeys::width(s.rotary_pct, self.head_dim(), PART)?;
        Ok(self)
    }

    fn head_dim(&self) -> usize {
        self.shape.hidden_size / self.shape.num_attention_heads
    }

    fn block(&self, layer: usize) -> Block {
        let (s, head_dim) = (&self.shape, self.head_dim());
        let hidden = s.hidden_size;
        let name = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
        let norm = |part| Some(Norm::new(name(part), hidden, NormKind::Layer(s.layer_norm_eps)));
        let turned = (head_dim as f64 * s.rotary_pct) as usize;
        let queries = Linear::new(name("attention.query_key_value"), hidden, 3 * hidden, self.attention_bias);
        let attention = Attention {
            heads: s.num_attention_heads,
            kv_heads: s.num_attention_heads,
            head_dim,
            projections: Projections::Interleaved(queries),
            norms: HeadNorms::None,
            rope: Some(Rope { theta: s.rotary_emb_base, width: turned, scaling: self.rope_scaling }),
            scale: Attention::usual_scale(head_dim),
            soft_cap: None,
            window: None,
            out: Linear::new(name("attention.dense"), hidden, hidden, self.attention_bias),
        };
        let feed_forward = FeedForward {
            gate: Gate::None,
            up: Linear::new(name("mlp.dense_h_to_4h"), hidden, s.intermediate_size, true),
            down: Linear::new(name("mlp.dense_4h_to_h"), s.intermediate_size, hidden, true),
            activation: self.activation,
        };
        Block {
            attention: SubLayer { before: norm("input_layernorm"), layer: attention, after: None },
            feed_forward: SubLayer { before: norm("post_attention_layernorm"), layer: feed_forward, after: None },
            parallel: s.use_parallel_residual,
        }
    }
}

impl Arch for GptNeoXConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        Decoder {
            vocab_size: self.tokens.vocab_size,
            hidden_size: s.hidden_size,
            initializer_range: s.initializer_range,
            embedding: Embedding { tokens: "gpt_neox.embed_in.weight", scale: None, positions: None },
            blocks: (0..s.num_hidden_layers).map(|layer| self.block(layer)).collect(),
            norm: Some(Norm::new("gpt_neox.final_layer_norm".into(), s.hidden_size, NormKind::Layer(s.layer_norm_eps))),
            head: Head { name: HEAD, tied: s.tie_word_embeddings, soft_cap: None },
        }
    }

    fn config_json(&self) -> Value {
        let s = &self.shape;
        let own = json!({
            "architectures": ["GPTNeoXForCausalLM"],
            "model_type": "gpt_neox",
            "attention_bias": self.attention_bias,
            "hidden_act": self.activation.name("gelu_new"),
            "hidden_size": s.hidden_size,
            "initializer_range": s.initializer_range,
            "intermediate_size": s.intermediate_size,
            "layer_norm_eps": s.layer_norm_eps,
            "max_position_embeddings": s.max_position_embeddings,
            "num_attention_heads": s.num_attention_heads,
            "num_hidden_layers": s.num_hidden_layers,
            "rope_scaling": self.rope_scaling,
            "rotary_emb_base": s.rotary_emb_base,
            "rotary_pct": s.rotary_pct,
            "tie_word_embeddings": s.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "use_parallel_residual": s.use_parallel_residual,
        });
        merged([self.tokens.json(), own])
    }

    fn base_prefix(&self) -> &'static str {
        "gpt_neox."
    }

    fn renamed(&self, name: &str) -> Option<&'static str> {
        (name == "lm_head.weight").then_some(HEAD)
    }

    /// Masks and frequencies that older checkpoints carry.
    fn is_buffer(&self, name: &str) -> bool {
        name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") || is_frequencies(name)
    }
}
