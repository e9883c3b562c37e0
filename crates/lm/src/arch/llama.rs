//! LLaMA (Touvron et al. 2023, arXiv 2302.13971): pre-norm, rotary positions, SiLU-gated feed-forward; grouped queries
//! (Ainslie et al. 2023, arXiv 2305.13245). Reference: `LlamaForCausalLM` of transformers.

use std::ops::RangeInclusive;

use candle_core::{Result as TensorResult, Tensor};
use kernels::llama::LlamaShape;
use oracle::TokenId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Arch, ConfigError, Fields, Initialiser, KvCache, Layout, Weights, layers};

/// The shape of a Llama, as an experiment states it. Names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlamaArchitecture {
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
    /// Added to the mean square before the root.
    pub rms_norm_eps: f64,
    /// Whether the output product uses the embedding table.
    pub tie_word_embeddings: bool,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by
    /// `sqrt(2 * num_hidden_layers)`.
    #[serde(default = "usual_initializer_range")]
    pub initializer_range: f64,
}

fn usual_initializer_range() -> f64 {
    0.02
}

/// What the `config.json` of a Llama says.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Its shape; `head_dim` is always filled in.
    pub shape: LlamaArchitecture,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Token that begins every text.
    pub bos: Option<TokenId>,
    /// Tokens that end a text.
    pub eos: Vec<TokenId>,
    /// Biases on the four attention products.
    pub attention_bias: bool,
    /// Biases on the three feed-forward products.
    pub mlp_bias: bool,
}

impl LlamaConfig {
    /// A new model of this shape, without biases.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn from_architecture(
        shape: &LlamaArchitecture,
        vocab_size: usize,
        bos: Option<TokenId>,
        eos: Option<TokenId>,
    ) -> Result<Self, ConfigError> {
        let eos = eos.into_iter().collect();
        let config = Self { shape: shape.clone(), vocab_size, bos, eos, attention_bias: false, mlp_bias: false };
        config.checked()
    }

    /// From the keys of `config.json`, in the dialects of transformers 4 and 5.
    ///
    /// # Errors
    /// When a value is missing, out of range, or asks for what is not supported.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        const WIDTH: RangeInclusive<usize> = 1..=WIDEST;
        fields.only("hidden_act", json!("silu"))?;
        fields.only("pretraining_tp", json!(1))?;
        let vocab_size = fields.count("vocab_size", 1..=LONGEST)?;
        let heads = fields.count("num_attention_heads", WIDTH)?;
        let shape = LlamaArchitecture {
            hidden_size: fields.count("hidden_size", WIDTH)?,
            num_hidden_layers: fields.count("num_hidden_layers", 1..=DEEPEST)?,
            num_attention_heads: heads,
            num_key_value_heads: fields.count_if("num_key_value_heads", WIDTH)?.unwrap_or(heads),
            head_dim: fields.count_if("head_dim", WIDTH)?,
            intermediate_size: fields.count("intermediate_size", WIDTH)?,
            max_position_embeddings: fields.count("max_position_embeddings", 1..=LONGEST)?,
            rope_theta: fields.plain_rope_theta(10_000.0)?,
            rms_norm_eps: fields.positive("rms_norm_eps")?,
            tie_word_embeddings: fields.switch("tie_word_embeddings", false)?,
            initializer_range: fields.get("initializer_range").map_or(Ok(0.02), |_| fields.positive("initializer_range"))?,
        };
        let config = Self {
            shape,
            vocab_size,
            bos: fields.tokens("bos_token_id", vocab_size)?.first().copied(),
            eos: fields.tokens("eos_token_id", vocab_size)?,
            attention_bias: fields.switch("attention_bias", false)?,
            mlp_bias: fields.switch("mlp_bias", false)?,
        };
        config.checked()
    }

    /// Small configurations with every switch on and off, and sizes that no block length divides.
    pub fn examples() -> Vec<Self> {
        let shape = LlamaArchitecture {
            hidden_size: 20,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: Some(6),
            intermediate_size: 13,
            max_position_embeddings: 48,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            initializer_range: 0.02,
        };
        let grouped = Self { shape, vocab_size: 37, bos: Some(0), eos: vec![1], attention_bias: false, mlp_bias: false };
        let mut untied = grouped.clone();
        untied.shape.tie_word_embeddings = false;
        untied.shape.num_key_value_heads = 4;
        untied.shape.num_hidden_layers = 1;
        let biased = Self { attention_bias: true, mlp_bias: true, ..untied.clone() };
        vec![grouped, untied, biased]
    }

    fn checked(mut self) -> Result<Self, ConfigError> {
        let shape = &mut self.shape;
        let sizes = [
            ("hidden_size", shape.hidden_size, WIDEST),
            ("num_hidden_layers", shape.num_hidden_layers, DEEPEST),
            ("num_attention_heads", shape.num_attention_heads, WIDEST),
            ("num_key_value_heads", shape.num_key_value_heads, WIDEST),
            ("intermediate_size", shape.intermediate_size, WIDEST),
            ("max_position_embeddings", shape.max_position_embeddings, LONGEST),
            ("vocab_size", self.vocab_size, LONGEST),
        ];
        for (key, value, most) in sizes {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::new(key, value, format!("give a whole number from 1 to {most}")));
            }
        }
        let reals = [
            ("rope_theta", shape.rope_theta),
            ("rms_norm_eps", shape.rms_norm_eps),
            ("initializer_range", shape.initializer_range),
        ];
        for (key, value) in reals {
            if !(value.is_finite() && value > 0.0) {
                return Err(ConfigError::new(key, value, "give a number above 0"));
            }
        }
        let (heads, groups) = (shape.num_attention_heads, shape.num_key_value_heads);
        if !heads.is_multiple_of(groups) {
            let mend = format!("give a divisor of num_attention_heads = {heads}");
            return Err(ConfigError::new("num_key_value_heads", groups, mend));
        }
        if shape.head_dim.is_none() && !shape.hidden_size.is_multiple_of(heads) {
            let mend = format!("give a multiple of num_attention_heads = {heads}, or head_dim");
            return Err(ConfigError::new("hidden_size", shape.hidden_size, mend));
        }
        let width = shape.head_dim.unwrap_or(shape.hidden_size / heads);
        if width == 0 || width % 2 == 1 {
            return Err(ConfigError::new("head_dim", width, "give an even number: rotary embedding turns pairs"));
        }
        shape.head_dim = Some(width);
        for id in self.bos.iter().chain(&self.eos) {
            if *id as usize >= self.vocab_size {
                let mend = format!("give at least {}: the first or last token of a text has this id", *id as u64 + 1);
                return Err(ConfigError::new("vocab_size", self.vocab_size, mend));
            }
        }
        Ok(self)
    }

    fn head_dim(&self) -> usize {
        self.shape.head_dim.unwrap_or(self.shape.hidden_size / self.shape.num_attention_heads)
    }
}

/// Bounds far beyond any model, so that sizes of a damaged or hostile file are refused before memory is taken for them.
const WIDEST: usize = 1 << 20;
const DEEPEST: usize = 1024;
const LONGEST: usize = 1 << 24;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

impl Arch for LlamaConfig {
    fn model_type(&self) -> &'static str {
        "llama"
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn context_length(&self) -> usize {
        self.shape.max_position_embeddings
    }

    fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    fn eos(&self) -> &[TokenId] {
        &self.eos
    }

    fn layout(&self) -> Layout {
        let s = &self.shape;
        let (hidden, ffn) = (s.hidden_size, s.intermediate_size);
        let (q, kv) = (s.num_attention_heads * self.head_dim(), s.num_key_value_heads * self.head_dim());
        let usual = Initialiser::Normal(s.initializer_range);
        // GPT-2's scaling: what 2 L additions put into the residual stream keeps the variance of one (Radford 2019, 2.3).
        let residual = Initialiser::Normal(s.initializer_range / (2.0 * s.num_hidden_layers as f64).sqrt());
        let mut layout = Layout::default();
        if s.tie_word_embeddings {
            layout.push(EMBEDDING, &[self.vocab_size, hidden], usual);
        } else {
            layout.push_table(EMBEDDING, &[self.vocab_size, hidden], usual);
        }
        for layer in 0..s.num_hidden_layers {
            let products = [
                ("self_attn.q_proj", q, hidden, usual, self.attention_bias),
                ("self_attn.k_proj", kv, hidden, usual, self.attention_bias),
                ("self_attn.v_proj", kv, hidden, usual, self.attention_bias),
                ("self_attn.o_proj", hidden, q, residual, self.attention_bias),
                ("mlp.gate_proj", ffn, hidden, usual, self.mlp_bias),
                ("mlp.up_proj", ffn, hidden, usual, self.mlp_bias),
                ("mlp.down_proj", hidden, ffn, residual, self.mlp_bias),
            ];
            for (i, (name, outputs, inputs, initialiser, bias)) in products.into_iter().enumerate() {
                match i {
                    0 => layout.push(format!("model.layers.{layer}.input_layernorm.weight"), &[hidden], Initialiser::Ones),
                    4 => {
                        layout.push(format!("model.layers.{layer}.post_attention_layernorm.weight"), &[hidden], Initialiser::Ones)
                    }
                    _ => {}
                }
                layout.push(format!("model.layers.{layer}.{name}.weight"), &[outputs, inputs], initialiser);
                if bias {
                    layout.push(format!("model.layers.{layer}.{name}.bias"), &[outputs], Initialiser::Zeros);
                }
            }
        }
        layout.push("model.norm.weight", &[hidden], Initialiser::Ones);
        if !s.tie_word_embeddings {
            layout.push(HEAD, &[self.vocab_size, hidden], usual);
        }
        layout
    }

    fn hidden(&self, weights: &Weights, ids: &Tensor, mut cache: Option<&mut KvCache>) -> TensorResult<Tensor> {
        let (batch, time) = ids.dims2()?;
        let seen = cache.as_deref().map_or(0, KvCache::seen);
        let (s, width) = (&self.shape, self.head_dim());
        let tables = layers::rotary_tables(width, s.rope_theta, seen, time, weights.device())?;
        let mask = layers::causal_mask(time, seen, weights.device())?;
        let scale = 1.0 / (width as f64).sqrt();
        let heads = |x: Tensor, n: usize| x.reshape((batch, time, n, width))?.transpose(1, 2);

        let mut x = weights.get(EMBEDDING)?.index_select(&ids.flatten_all()?, 0)?; // (batch * time, hidden)
        for layer in 0..s.num_hidden_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let normed = layers::rms_norm(&x, weights.get(&name("input_layernorm.weight"))?, s.rms_norm_eps)?;
            let q = heads(layers::linear(weights, &name("self_attn.q_proj"), &normed)?, s.num_attention_heads)?;
            let k = heads(layers::linear(weights, &name("self_attn.k_proj"), &normed)?, s.num_key_value_heads)?;
            let v = heads(layers::linear(weights, &name("self_attn.v_proj"), &normed)?, s.num_key_value_heads)?;
            let q = layers::rotate_halves(&q, &tables)?;
            let k = layers::rotate_halves(&k, &tables)?;
            let (k, v) = match cache.as_deref_mut() {
                Some(cache) => cache.append(layer, k, v)?,
                None => (k, v),
            };
            let attended = layers::grouped_attention(&q, &k, &v, mask.as_ref(), scale)?.flatten_to(1)?;
            x = (x + layers::linear(weights, &name("self_attn.o_proj"), &attended)?)?;

            let normed = layers::rms_norm(&x, weights.get(&name("post_attention_layernorm.weight"))?, s.rms_norm_eps)?;
            let gate = layers::linear(weights, &name("mlp.gate_proj"), &normed)?.silu()?;
            let up = layers::linear(weights, &name("mlp.up_proj"), &normed)?;
            x = (x + layers::linear(weights, &name("mlp.down_proj"), &(gate * up)?)?)?;
        }
        if let Some(cache) = cache {
            cache.advance(time);
        }
        layers::rms_norm(&x, weights.get("model.norm.weight")?, s.rms_norm_eps)?.reshape((batch, time, s.hidden_size))
    }

    fn logits(&self, weights: &Weights, hidden: &Tensor) -> TensorResult<Tensor> {
        let head = weights.get(if self.shape.tie_word_embeddings { EMBEDDING } else { HEAD })?;
        hidden.matmul(&head.t()?)
    }

    fn config_json(&self) -> serde_json::Value {
        let s = &self.shape;
        let eos = match self.eos.as_slice() {
            [] => json!(null),
            [one] => json!(one),
            several => json!(several),
        };
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": self.attention_bias,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos,
            "eos_token_id": eos,
            "head_dim": self.head_dim(),
            "hidden_act": "silu",
            "hidden_size": s.hidden_size,
            "initializer_range": s.initializer_range,
            "intermediate_size": s.intermediate_size,
            "max_position_embeddings": s.max_position_embeddings,
            "mlp_bias": self.mlp_bias,
            "num_attention_heads": s.num_attention_heads,
            "num_hidden_layers": s.num_hidden_layers,
            "num_key_value_heads": s.num_key_value_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": s.rms_norm_eps,
            "rope_scaling": null,
            "rope_theta": s.rope_theta,
            "tie_word_embeddings": s.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        })
    }

    fn tied_to(&self, name: &str) -> Option<&'static str> {
        (self.shape.tie_word_embeddings && name == HEAD).then_some(EMBEDDING)
    }

    fn is_buffer(&self, name: &str) -> bool {
        name.ends_with("rotary_emb.inv_freq")
    }

    fn fused(&self) -> Option<LlamaShape> {
        let s = &self.shape;
        let plain = !(self.attention_bias || self.mlp_bias);
        plain.then(|| LlamaShape {
            vocab: self.vocab_size,
            hidden: s.hidden_size,
            layers: s.num_hidden_layers,
            heads: s.num_attention_heads,
            kv_heads: s.num_key_value_heads,
            head_dim: self.head_dim(),
            ffn: s.intermediate_size,
            tied: s.tie_word_embeddings,
            norm_eps: s.rms_norm_eps as f32,
            rope_theta: s.rope_theta,
        })
    }
}
