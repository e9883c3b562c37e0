//! Architectures: what each computes, and the one list of them.
//!
//! An architecture is one file with three things: what an experiment states about it (shape only), what a Hugging Face
//! `config.json` says about it, and [`Arch`] for the latter. Adding one is that file and one entry in `architectures!`
//! below; loading, saving, generating, scoring, training and the tests over the registry follow from the entry.

mod cache;
mod fields;
mod layers;
mod layout;
mod llama;
mod weights;

use std::path::Path;

use candle_core::{Result as TensorResult, Tensor};
use kernels::llama::LlamaShape;
use oracle::TokenId;
use serde::{Deserialize, Serialize};

pub use cache::KvCache;
pub use fields::{ConfigError, Fields};
pub use layout::{Initialiser, Layout, Parameter};
pub use llama::{LlamaArchitecture, LlamaConfig};
pub use weights::Weights;

use crate::read::LoadError;

/// One configured architecture: names and shapes of its weights, and the function they parametrise.
pub trait Arch: Send + Sync {
    /// `model_type` in `config.json`.
    fn model_type(&self) -> &'static str;

    /// Number of token ids the embedding and the output law cover.
    fn vocab_size(&self) -> usize;

    /// Longest input, in tokens, that the model accepts.
    fn context_length(&self) -> usize;

    /// Token that begins every text, if `config.json` names one.
    fn bos(&self) -> Option<TokenId>;

    /// Tokens that end a text; generation stops at any of them. The first is the one that training data uses.
    fn eos(&self) -> &[TokenId];

    /// Every parameter with its checkpoint name, shape and initialiser, in the order of the flat vector.
    fn layout(&self) -> Layout;

    /// States after the last norm: `ids` (batch, time), `u32` -> (batch, time, hidden). With a cache, `ids` continue
    /// the tokens that the cache has seen. Uses differentiable operations only: candle's fused `rms_norm`, `layer_norm`,
    /// `softmax_last_dim`, `rope` and `sdpa` end the gradient silently.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn hidden(&self, weights: &Weights, ids: &Tensor, cache: Option<&mut KvCache>) -> TensorResult<Tensor>;

    /// Logits of the next token: `hidden` (n, hidden) -> (n, vocab).
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn logits(&self, weights: &Weights, hidden: &Tensor) -> TensorResult<Tensor>;

    /// Logits at every position: `ids` (batch, time) -> (batch, time, vocab).
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn forward(&self, weights: &Weights, ids: &Tensor, cache: Option<&mut KvCache>) -> TensorResult<Tensor> {
        let (batch, time) = ids.dims2()?;
        let hidden = self.hidden(weights, ids, cache)?;
        self.logits(weights, &hidden.flatten_to(1)?)?.reshape((batch, time, ()))
    }

    /// The content of `config.json`, in the dialect of transformers 4, which version 5 reads too.
    fn config_json(&self) -> serde_json::Value;

    /// The name under which a tied weight is held, when checkpoints may also carry it as `name`.
    fn tied_to(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// Whether `name` is a table that older checkpoints carry though it follows from the configuration.
    fn is_buffer(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The shape for the fused kernels, when they compute exactly this function and their layout is this one.
    fn fused(&self) -> Option<LlamaShape> {
        None
    }
}

macro_rules! architectures {
    ($($(#[$doc:meta])* $variant:ident = $model_type:literal: $shape:ty, $config:ty;)+) => {
        /// The shape of a model as an experiment states it; the vocabulary comes from the tokenizer.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum ArchitectureConfig {
            $($(#[$doc])* #[serde(rename = $model_type)] $variant($shape),)+
        }

        /// A model's configuration: what its `config.json` says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum ModelConfig {
            $($(#[$doc])* $variant($config),)+
        }

        impl ModelConfig {
            /// `model_type` of every known architecture.
            pub const KNOWN: &'static [&'static str] = &[$($model_type),+];

            /// The architecture behind it.
            pub fn arch(&self) -> &dyn Arch {
                match self { $(Self::$variant(config) => config,)+ }
            }

            /// The configuration of a new model of this shape.
            ///
            /// # Errors
            /// When sizes do not fit each other or are out of range.
            pub fn from_architecture(
                architecture: &ArchitectureConfig,
                vocab_size: usize,
                bos: Option<TokenId>,
                eos: Option<TokenId>,
            ) -> Result<Self, ConfigError> {
                match architecture {
                    $(ArchitectureConfig::$variant(shape) =>
                        Ok(Self::$variant(<$config>::from_architecture(shape, vocab_size, bos, eos)?)),)+
                }
            }

            /// Small configurations of every architecture, together with each switch on and off: what tests over the
            /// registry run on.
            pub fn examples() -> Vec<Self> {
                let mut examples = Vec::new();
                $(examples.extend(<$config>::examples().into_iter().map(Self::$variant));)+
                examples
            }

            fn from_fields(model_type: &str, fields: &Fields<'_>) -> Option<Result<Self, ConfigError>> {
                match model_type {
                    $($model_type => Some(<$config>::from_fields(fields).map(Self::$variant)),)+
                    _ => None,
                }
            }
        }
    };
}

architectures! {
    /// LLaMA (Touvron et al. 2023, arXiv 2302.13971) with grouped queries (Ainslie et al. 2023, arXiv 2305.13245).
    Llama = "llama": LlamaArchitecture, LlamaConfig;
}

impl ModelConfig {
    /// Reads the text of a `config.json`; `path` is only named in errors.
    ///
    /// # Errors
    /// When it is not JSON, the architecture is unknown, a value is missing or out of range, or an option is set that
    /// would change results and is not supported.
    pub fn parse(json: &str, path: &Path) -> Result<Self, LoadError> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| LoadError::Json { path: path.into(), why: error.to_string() })?;
        let config = |error| LoadError::Config { path: path.into(), error };
        let Some(map) = value.as_object() else {
            return Err(LoadError::Json { path: path.into(), why: "the top level is not an object".into() });
        };
        let fields = Fields::new(map);
        let model_type = fields.text("model_type").map_err(config)?;
        let parsed = Self::from_fields(model_type, &fields)
            .ok_or_else(|| LoadError::UnknownArchitecture {
                path: path.into(),
                found: model_type.to_string(),
                known: Self::KNOWN.join(", "),
            })?
            .map_err(config)?;
        fields.refuse_unread().map_err(config)?;
        Ok(parsed)
    }

    /// Every parameter, in the order of the flat vector.
    pub fn layout(&self) -> Layout {
        self.arch().layout()
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.arch().vocab_size()
    }

    /// Longest input in tokens.
    pub fn context_length(&self) -> usize {
        self.arch().context_length()
    }

    /// Number of parameters.
    pub fn n_params(&self) -> usize {
        self.layout().n_params()
    }

    /// Bytes that a training state of this model takes in memory: weights, gradient and the two moments of AdamW, 4 bytes
    /// each. Activations come on top, about `4 * tokens * vocab` bytes for the logits alone.
    pub fn training_state_bytes(&self) -> u64 {
        16 * self.n_params() as u64
    }

    /// Floating-point operations to compute one token's law: 2 N, where N counts every parameter except embedding tables
    /// that are only looked up (a tied embedding counts, because it is also the output product). The products inside
    /// attention, `4 * layers * time * width`, are not counted, as in the usual 6 N rule (Kaplan et al. 2020, section 2.1).
    pub fn flops_per_token_forward(&self) -> f64 {
        2.0 * self.layout().n_multiplied() as f64
    }

    /// Floating-point operations to train on one token: 6 N, N as in [`Self::flops_per_token_forward`].
    pub fn flops_per_token_train(&self) -> f64 {
        6.0 * self.layout().n_multiplied() as f64
    }
}
