//! GPT-Neo (Black et al. 2021), the family of the TinyStories models: unscaled scores, windows in some layers. Reference:
//! `GPTNeoForCausalLM` of transformers.

use oracle::ConfigError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decoder::{
    Activation, Attention, Block, Decoder, Embedding, FeedForward, Gate, Head, HeadNorms, Linear, Norm, NormKind, Positions,
    Projections, SubLayer,
};
use super::fields::{DEEPEST, LONGEST, WIDEST, check_positive, check_sizes};
use super::rotary::{example_tokens, merged};
use super::{Arch, Fields, TokenIds, Windows};

/// The shape of a GPT-Neo, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GptNeoShape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Heads per block; divides `hidden_size`.
    pub num_heads: usize,
    /// Width of the feed-forward layer; `4 * hidden_size` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<usize>,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// A token sees itself and so many - 1 before it in every second layer.
    #[serde(default = "usual_window")]
    pub window_size: usize,
    /// Added to the variance before the root.
    #[serde(default = "usual_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by `sqrt(2 * num_layers)`.
    #[serde(default = "usual_initializer_range")]
    pub initializer_range: f64,
}

fn usual_window() -> usize {
    256
}

fn usual_epsilon() -> f64 {
    1e-5
}

fn usual_initializer_range() -> f64 {
    0.02
}

/// What the `config.json` of a GPT-Neo says.
#[derive(Debug, Clone, PartialEq)]
pub struct GptNeoConfig {
    /// Its shape.
    pub shape: GptNeoShape,
    /// Token ids.
    pub tokens: TokenIds,
    /// Whether each layer looks through the window.
    pub local_layers: Vec<bool>,
    /// Of the feed-forward layer.
    pub activation: Activation,
    /// Whether the output product uses the embedding table.
    pub tie_word_embeddings: bool,
}

/// Global and local layers by turns, as all published models have them.
fn by_turns(layers: usize) -> Vec<bool> {
    (0..layers).map(|layer| !layer.is_multiple_of(2)).collect()
}

impl GptNeoConfig {
    /// A new model of this shape, global and local layers by turns.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(shape: &GptNeoShape, tokens: TokenIds) -> Result<Self, ConfigError> {
        let shape = shape.clone();
        let local_layers = by_turns(shape.num_layers.min(DEEPEST));
        Self { shape, tokens, local_layers, activation: Activation::GeluTanh, tie_word_embeddings: true }.checked()
    }

    /// From the keys of `config.json`.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let num_layers = fields.count("num_layers", 1..=DEEPEST)?;
        let shape = GptNeoShape {
            hidden_size: fields.count("hidden_size", 1..=WIDEST)?,
            num_layers,
            num_heads: fields.count("num_heads", 1..=WIDEST)?,
            intermediate_size: fields.count_if("intermediate_size", 1..=WIDEST)?,
            max_position_embeddings: fields.count_if("max_position_embeddings", 1..=LONGEST)?.unwrap_or(2048),
            window_size: fields.count_if("window_size", 1..=usize::MAX)?.unwrap_or_else(usual_window),
            layer_norm_epsilon: fields.positive_if("layer_norm_epsilon")?.unwrap_or_else(usual_epsilon),
            initializer_range: fields.deviation("initializer_range", usual_initializer_range()),
        };
        Self {
            shape,
            tokens: TokenIds::from_fields(fields)?,
            local_layers: local_layers(fields, num_layers)?,
            activation: Activation::read(fields, "activation_function", Activation::GeluTanh)?,
            tie_word_embeddings: fields.switch("tie_word_embeddings", true)?,
        }
        .checked()
    }

    /// Small configurations for tests over the registry.
    pub fn examples() -> Vec<Self> {
        let shape = GptNeoShape {
            hidden_size: 20,
            num_layers: 2,
            num_heads: 4,
            intermediate_size: Some(13),
            max_position_embeddings: 48,
            window_size: 3,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
        };
        let (tokens, local_layers) = (example_tokens(), vec![false, true]);
        let tied = Self { shape, tokens, local_layers, activation: Activation::GeluTanh, tie_word_embeddings: true };
        let mut untied = Self { tie_word_embeddings: false, local_layers: vec![true, true], ..tied.clone() };
        untied.shape.intermediate_size = None;
        vec![tied, untied]
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let s = &self.shape;
        check_sizes(&[
            ("hidden_size", s.hidden_size, WIDEST),
            ("num_layers", s.num_layers, DEEPEST),
            ("num_heads", s.num_heads, WIDEST),
            ("intermediate_size", self.inner(), 4 * WIDEST),
            ("max_position_embeddings", s.max_position_embeddings, LONGEST),
            ("window_size", s.window_size, usize::MAX),
        ])?;
        check_positive(&[("layer_norm_epsilon", s.layer_norm_epsilon), ("initializer_range", s.initializer_range)])?;
        if !s.hidden_size.is_multiple_of(s.num_heads) {
            return Err(ConfigError::new(
                "hidden_size",
                s.hidden_size,
                format!("give a multiple of num_heads = {}", s.num_heads),
            ));
        }
        Ok(self)
    }

    fn inner(&self) -> usize {
        self.shape.intermediate_size.unwrap_or(4 * self.shape.hidden_size)
    }

    fn windows(&self) -> Windows {
        Windows { size: Some(self.shape.window_size), layers: self.local_layers.clone() }
    }

    fn block(&self, layer: usize, window: Option<usize>) -> Block {
        let s = &self.shape;
        let hidden = s.hidden_size;
        let name = |part: &str| format!("transformer.h.{layer}.{part}");
        let norm = |part| Some(Norm::new(name(part), hidden, NormKind::Layer(s.layer_norm_epsilon)));
        let product = |part, bias| Linear::new(name(part), hidden, hidden, bias);
        let attention = Attention {
            heads: s.num_heads,
            kv_heads: s.num_heads,
            head_dim: hidden / s.num_heads,
            projections: Projections::Separate {
                q: product("attn.attention.q_proj", false),
                k: product("attn.attention.k_proj", false),
                v: product("attn.attention.v_proj", false),
            },
            norms: HeadNorms::None,
            rope: None,
            scale: 1.0,
            soft_cap: None,
            window,
            out: product("attn.attention.out_proj", true),
        };
        let feed_forward = FeedForward {
            gate: Gate::None,
            up: Linear::new(name("mlp.c_fc"), hidden, self.inner(), true),
            down: Linear::new(name("mlp.c_proj"), self.inner(), hidden, true),
            activation: self.activation,
        };
        Block {
            attention: SubLayer { before: norm("ln_1"), layer: attention, after: None },
            feed_forward: SubLayer { before: norm("ln_2"), layer: feed_forward, after: None },
            parallel: false,
        }
    }
}

/// `attention_layers`, a name for each layer, or else `attention_types`, lists of names each with its number of repeats.
fn local_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>, ConfigError> {
    let is_local = |value: &Value| match value.as_str() {
        Some("local") => Some(true),
        Some("global") => Some(false),
        _ => None,
    };
    let names = |list: &Value| list.as_array()?.iter().map(is_local).collect::<Option<Vec<bool>>>();
    let repeated = |item: &Value| {
        let (list, times) = (names(item.get(0)?)?, usize::try_from(item.get(1)?.as_u64()?).ok()?);
        // more would be refused for their number anyway
        Some(list.repeat(times.min(DEEPEST + 1)))
    };
    let types = |value: &Value| Some(value.as_array()?.iter().map(repeated).collect::<Option<Vec<_>>>()?.concat());
    let both = [
        fields.get("attention_layers").map(|value| ("attention_layers", value, names(value))),
        fields.get("attention_types").map(|value| ("attention_types", value, types(value))),
    ];
    for (key, value, list) in both.iter().flatten() {
        if list.as_ref().is_none_or(|list| list.len() != layers) {
            let remedy = format!("give `global` or `local` for each of num_layers = {layers}");
            return Err(ConfigError::new(*key, value, remedy));
        }
    }
    let stated = both.into_iter().flatten().find_map(|(_, _, list)| list);
    Ok(stated.unwrap_or_else(|| by_turns(layers)))
}

impl Arch for GptNeoConfig {
    fn tokens(&self) -> &TokenIds {
        &self.tokens
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn decoder(&self) -> Decoder {
        let (s, windows) = (&self.shape, self.windows());
        let positions = Positions { name: "transformer.wpe.weight", rows: s.max_position_embeddings, first: 0 };
        Decoder {
            vocab_size: self.tokens.vocab_size,
            hidden_size: s.hidden_size,
            initializer_range: s.initializer_range,
            embedding: Embedding { tokens: "transformer.wte.weight", scale: None, positions: Some(positions) },
            blocks: (0..s.num_layers).map(|layer| self.block(layer, windows.of(layer))).collect(),
            norm: Some(Norm::new("transformer.ln_f".into(), s.hidden_size, NormKind::Layer(s.layer_norm_epsilon))),
            head: Head { name: "lm_head.weight", tied: self.tie_word_embeddings, soft_cap: None },
        }
    }

    fn config_json(&self) -> Value {
        let s = &self.shape;
        let name = |local: &bool| if *local { "local" } else { "global" };
        let layers: Vec<&str> = self.local_layers.iter().map(name).collect();
        let own = json!({
            "architectures": ["GPTNeoForCausalLM"],
            "model_type": "gpt_neo",
            "activation_function": self.activation.name("gelu_new"),
            "attention_layers": layers,
            "attention_types": [[layers, 1]],
            "hidden_size": s.hidden_size,
            "initializer_range": s.initializer_range,
            "intermediate_size": s.intermediate_size,
            "layer_norm_epsilon": s.layer_norm_epsilon,
            "max_position_embeddings": s.max_position_embeddings,
            "num_heads": s.num_heads,
            "num_layers": s.num_layers,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "window_size": s.window_size,
        });
        merged([self.tokens.json(), own])
    }

    fn base_prefix(&self) -> &'static str {
        "transformer."
    }

    /// Masks that older checkpoints carry.
    fn is_buffer(&self, name: &str) -> bool {
        name.ends_with(".attn.attention.bias") || name.ends_with(".attn.attention.masked_bias")
    }
}
