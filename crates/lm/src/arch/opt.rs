//! OPT (Zhang et al. 2022, arXiv 2205.01068): learned positions that begin at the third row, ReLU. Reference: `OPTForCausalLM`
//! of transformers.

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

/// The shape of an OPT, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptShape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Heads per block; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub ffn_dim: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by
    /// `sqrt(2 * num_hidden_layers)`.
    #[serde(default = "usual_init_std")]
    pub init_std: f64,
}

fn usual_init_std() -> f64 {
    0.02
}

/// What the `config.json` of an OPT says.
#[derive(Debug, Clone, PartialEq)]
pub struct OptConfig {
    /// Its shape.
    pub shape: OptShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Of the feed-forward layer.
    pub activation: Activation,
    /// Biases on all products.
    pub enable_bias: bool,
    /// Whether the output product uses the embedding table.
    pub tie_word_embeddings: bool,
}

/// Rows of the table of positions before that of the first token.
const FIRST: usize = 2;
/// The norms have no option for it.
const EPSILON: f64 = 1e-5;

impl OptConfig {
    /// A new model of this shape.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &OptShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone();
        Self { shape, tokens, activation: Activation::Relu, enable_bias: true, tie_word_embeddings: true }.checked()
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let hidden_size = fields.count("hidden_size", 1..=WIDEST)?;
        fields.only("do_layer_norm_before", json!(true))?;
        fields.only("layer_norm_elementwise_affine", json!(true))?;
        fields.only("_remove_final_layer_norm", json!(false))?;
        fields.only("word_embed_proj_dim", json!(hidden_size))?;
        let shape = OptShape {
            hidden_size,
            num_hidden_layers: fields.count("num_hidden_layers", 1..=DEEPEST)?,
            num_attention_heads: fields.count("num_attention_heads", 1..=WIDEST)?,
            ffn_dim: fields.count("ffn_dim", 1..=WIDEST)?,
            max_position_embeddings: fields.count_if("max_position_embeddings", 1..=LONGEST)?.unwrap_or(2048),
            init_std: fields.deviation("init_std", usual_init_std()),
        };
        Self {
            shape,
            tokens: TokenIds::from_fields(fields)?,
            activation: Activation::read(fields, "activation_function", Activation::Relu)?,
            enable_bias: fields.switch("enable_bias", true)?,
            tie_word_embeddings: fields.switch("tie_word_embeddings", true)?,
        }
        .checked()
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = OptShape {
            hidden_size: 20,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            ffn_dim: 13,
            max_position_embeddings: 48,
            init_std: 0.02,
        };
        let tokens = example_tokens();
        let tied = Self { shape, tokens, activation: Activation::Gelu, enable_bias: true, tie_word_embeddings: true };
        let untied = Self { activation: Activation::GeluTanh, enable_bias: false, tie_word_embeddings: false, ..tied.clone() };
        vec![tied, untied]
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let s = &self.shape;
        check_sizes(&[
            ("hidden_size", s.hidden_size, WIDEST),
            ("num_hidden_layers", s.num_hidden_layers, DEEPEST),
            ("num_attention_heads", s.num_attention_heads, WIDEST),
            ("ffn_dim", s.ffn_dim, WIDEST),
            ("max_position_embeddings", s.max_position_embeddings, LONGEST),
        ])?;
        check_positive(&[("init_std", s.init_std)])?;
        if !s.hidden_size.is_multiple_of(s.num_attention_heads) {
            let remedy = format!("give a multiple of num_attention_heads = {}", s.num_attention_heads);
            return Err(ConfigError::new("hidden_size", s.hidden_size, remedy));
        }
        Ok(self)
    }

    fn block(&self, layer: usize) -> Block {
        let s = &self.shape;
        let hidden = s.hidden_size;
        let name = |part: &str| format!("model.decoder.layers.{layer}.{part}");
        let norm = |part| Some(Norm::new(name(part), hidden, NormKind::Layer(EPSILON)));
        let product = |part, inputs, outputs| Linear::new(name(part), inputs, outputs, self.enable_bias);
        let attention = Attention {
            heads: s.num_attention_heads,
            kv_heads: s.num_attention_heads,
            head_dim: hidden / s.num_attention_heads,
            projections: Projections::Separate {
                q: product("self_attn.q_proj", hidden, hidden),
                k: product("self_attn.k_proj", hidden, hidden),
                v: product("self_attn.v_proj", hidden, hidden),
            },
            norms: HeadNorms::None,
            rope: None,
            scale: Attention::usual_scale(hidden / s.num_attention_heads),
            soft_cap: None,
            window: None,
            out: product("self_attn.out_proj", hidden, hidden),
        };
        let feed_forward = FeedForward {
            gate: Gate::None,
            up: product("fc1", hidden, s.ffn_dim),
            down: product("fc2", s.ffn_dim, hidden),
            activation: self.activation,
        };
        Block {
            attention: SubLayer { before: norm("self_attn_layer_norm"), layer: attention, after: None },
            feed_forward: SubLayer { before: norm("final_layer_norm"), layer: feed_forward, after: None },
            parallel: false,
        }
    }
}

impl Arch for OptConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let s = &self.shape;
        let rows = s.max_position_embeddings + FIRST;
        let positions = Positions { name: "model.decoder.embed_positions.weight", rows, first: FIRST };
        Decoder {
            vocab_size: self.tokens.vocab_size,
            hidden_size: s.hidden_size,
            initializer_range: s.init_std,
            embedding: Embedding { tokens: "model.decoder.embed_tokens.weight", scale: None, positions: Some(positions) },
            blocks: (0..s.num_hidden_layers).map(|layer| self.block(layer)).collect(),
            norm: Some(Norm::new("model.decoder.final_layer_norm".into(), s.hidden_size, NormKind::Layer(EPSILON))),
            head: Head { name: "lm_head.weight", tied: self.tie_word_embeddings, soft_cap: None },
        }
    }

    fn config_json(&self) -> Value {
        let s = &self.shape;
        let own = json!({
            "architectures": ["OPTForCausalLM"],
            "model_type": "opt",
            "activation_function": self.activation.name("gelu_new"),
            "do_layer_norm_before": true,
            "enable_bias": self.enable_bias,
            "ffn_dim": s.ffn_dim,
            "hidden_size": s.hidden_size,
            "init_std": s.init_std,
            "layer_norm_elementwise_affine": true,
            "max_position_embeddings": s.max_position_embeddings,
            "num_attention_heads": s.num_attention_heads,
            "num_hidden_layers": s.num_hidden_layers,
            "pad_token_id": self.tokens.pad, // absent it would be 1
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "word_embed_proj_dim": s.hidden_size,
        });
        merged([self.tokens.json(), own])
    }
}
