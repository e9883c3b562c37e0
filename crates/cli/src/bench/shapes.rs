use clap::ValueEnum;
use lm::{ArchitectureConfig, Model, ModelConfig};
use oracle::TokenId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;

/// A Llama with tied embeddings, and the batches it is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// 0.17 M parameters, 1,024 tokens.
    Nano,
    /// 1.1 M parameters, 2,048 tokens.
    Micro,
    /// 15 M parameters, 32,000 tokens.
    S15,
}

/// Batches of a shape.
pub(super) struct Batches {
    pub train_rows: usize,
    pub train_time: usize,
    pub answers: usize,
    pub prompt_tokens: usize,
    pub new_tokens: usize,
}

impl Shape {
    /// A model with random weights and no end token, so that no answer ends early.
    pub fn model(self) -> anyhow::Result<Model> {
        let (vocab, hidden, layers, heads, ffn) = match self {
            Self::Nano => (1_024, 64, 2, 4, 176),
            Self::Micro => (2_048, 128, 4, 4, 352),
            Self::S15 => (32_000, 288, 6, 6, 768),
        };
        // as an experiment file would state it
        let architecture: ArchitectureConfig = serde_json::from_value(json!({ "llama": {
            "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads,
            "intermediate_size": ffn, "max_position_embeddings": 256, "rope_theta": 10_000.0, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": true,
        } }))?;
        Ok(Model::init(&ModelConfig::from_architecture(&architecture, vocab, None, None)?, 1))
    }

    pub fn batches(self) -> Batches {
        match self {
            Self::Nano | Self::Micro => {
                Batches { train_rows: 64, train_time: 64, answers: 256, prompt_tokens: 16, new_tokens: 32 }
            }
            Self::S15 => Batches { train_rows: 8, train_time: 128, answers: 32, prompt_tokens: 16, new_tokens: 16 },
        }
    }
}

/// Random token ids below `vocab`.
pub(super) fn random_ids(count: usize, vocab: usize, seed: u64) -> Vec<TokenId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u32() % vocab as u32).collect()
}
