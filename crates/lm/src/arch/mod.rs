//! Architectures: what each computes, and the one list of them.
//!
//! An architecture is one file with three things: what an experiment states about it (shape only), what a Hugging Face
//! `config.json` says about it, and [`Arch`] for the latter, which names the parts of its blocks ([`decoder`]). Adding one is
//! that file and one entry in `architectures!` below; loading, saving, generating, scoring, training and the tests over the
//! registry follow from the entry.

mod architecture;
mod cache;
pub mod decoder;
mod fields;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod layout;
mod llama;
mod mistral;
mod olmo2;
mod opt;
mod phi3;
mod qwen2;
mod qwen3;
mod rope_keys;
mod rotary;
mod smollm3;
mod summed;
mod token_ids;
mod weights;
mod windows;

use oracle::{ConfigError, TokenId};
use serde::{Deserialize, Serialize};

pub use architecture::Arch;
pub use cache::KvCache;
pub use fields::Fields;
pub(crate) use fields::{LONGEST, WIDEST};
pub use gemma::GemmaConfig;
pub use gemma2::{Gemma2Config, GemmaCaps};
pub use gemma3::Gemma3Config;
pub use gpt_neo::{GptNeoConfig, GptNeoShape};
pub use gpt_neox::{GptNeoXConfig, GptNeoXShape};
pub use gpt2::{Gpt2Config, Gpt2Shape};
pub use layout::{Initialiser, Layout, Parameter};
pub use llama::LlamaConfig;
pub use mistral::MistralConfig;
pub use olmo2::Olmo2Config;
pub use opt::{OptConfig, OptShape};
pub use phi3::Phi3Config;
pub use qwen2::Qwen2Config;
pub use qwen3::Qwen3Config;
pub use rotary::RotaryShape;
pub use smollm3::SmolLm3Config;
pub(crate) use summed::Summed;
pub use token_ids::TokenIds;
pub use weights::Weights;
pub use windows::Windows;

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

            /// What it says of token ids, to be changed.
            pub(crate) fn tokens_mut(&mut self) -> &mut TokenIds {
                match self { $(Self::$variant(config) => &mut config.tokens,)+ }
            }

            /// `model_type` in its `config.json`.
            pub fn model_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $model_type,)+ }
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
                let tokens = TokenIds::new(vocab_size, bos, eos)?;
                match architecture {
                    $(ArchitectureConfig::$variant(shape) => Ok(Self::$variant(<$config>::from_architecture(shape, tokens)?)),)+
                }
            }

            /// Small configurations of every architecture, together with each switch on and off: what tests over the
            /// registry run on.
            pub fn examples() -> Vec<Self> {
                let mut examples = Vec::new();
                $(examples.extend(<$config>::examples().into_iter().map(Self::$variant));)+
                examples
            }

            /// The configuration that the fields of a `config.json` say; none when no architecture has that name.
            pub(crate) fn from_fields(model_type: &str, fields: &Fields<'_>) -> Option<Result<Self, ConfigError>> {
                match model_type {
                    $($model_type => Some(<$config>::from_fields(fields).map(Self::$variant)),)+
                    _ => None,
                }
            }
        }
    };
}

architectures! {
    /// LLaMA 1, 2 and 3 (Touvron et al. 2023, arXiv 2302.13971) with grouped queries (Ainslie et al. 2023, arXiv 2305.13245).
    Llama = "llama": RotaryShape, LlamaConfig;
    /// Mistral (Jiang et al. 2023, arXiv 2310.06825).
    Mistral = "mistral": RotaryShape, MistralConfig;
    /// Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671).
    Qwen2 = "qwen2": RotaryShape, Qwen2Config;
    /// Qwen 3 (Yang et al. 2025, arXiv 2505.09388).
    Qwen3 = "qwen3": RotaryShape, Qwen3Config;
    /// Gemma (Mesnard et al. 2024, arXiv 2403.08295).
    Gemma = "gemma": RotaryShape, GemmaConfig;
    /// Gemma 2 (Riviere et al. 2024, arXiv 2408.00118).
    Gemma2 = "gemma2": RotaryShape, Gemma2Config;
    /// Gemma 3, text (Kamath et al. 2025, arXiv 2503.19786).
    Gemma3 = "gemma3_text": RotaryShape, Gemma3Config;
    /// Phi 3 and 4 (Abdin et al. 2024, arXiv 2404.14219).
    Phi3 = "phi3": RotaryShape, Phi3Config;
    /// OLMo 2 (Walsh et al. 2025, arXiv 2501.00656).
    Olmo2 = "olmo2": RotaryShape, Olmo2Config;
    /// SmolLM 3 (Hugging Face 2025).
    SmolLm3 = "smollm3": RotaryShape, SmolLm3Config;
    /// GPT-2 (Radford et al. 2019).
    Gpt2 = "gpt2": Gpt2Shape, Gpt2Config;
    /// GPT-Neo (Black et al. 2021): the TinyStories models (Eldan & Li 2023, arXiv 2305.07759).
    GptNeo = "gpt_neo": GptNeoShape, GptNeoConfig;
    /// GPT-NeoX (Black et al. 2022, arXiv 2204.06745): Pythia (Biderman et al. 2023, arXiv 2304.01373).
    GptNeoX = "gpt_neox": GptNeoXShape, GptNeoXConfig;
    /// OPT (Zhang et al. 2022, arXiv 2205.01068).
    Opt = "opt": OptShape, OptConfig;
}

impl ModelConfig {
    /// Every parameter, in the order of the flat vector.
    pub fn layout(&self) -> Layout {
        self.arch().layout()
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.arch().vocab_size()
    }

    /// What its file says and cannot be, in words: the ends that no answer can have, say.
    pub fn notes(&self) -> &[String] {
        &self.arch().tokens().notes
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

    /// Bytes that the weights take in memory, as `f32`.
    pub fn inference_bytes(&self) -> u64 {
        4 * self.n_params() as u64
    }

    /// Bytes of keys and values that a token adds to the context of an answer, as `f32`.
    pub fn cache_bytes_per_token(&self) -> u64 {
        let of = |block: &decoder::Block| 2 * block.attention.layer.kv_heads * block.attention.layer.head_dim;
        4 * self.arch().decoder().blocks.iter().map(of).sum::<usize>() as u64
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
