use distill::{Decay, TrainPlan};
use lm::ArchitectureConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) with linear warm-up and decay; each training states its own peak rate. A key that is
/// left out has the value stated here; the resolved experiment (`experiment.json`) holds all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Part of the steps over which the rate rises from 0 to its peak: 0.05 where left out.
    pub warmup_fraction: f64,
    /// Rate at the last step, as a part of the peak: 0.05 where left out.
    pub final_lr_fraction: f64,
    /// How it gets there: `cosine` where left out.
    pub decay: Decay,
    /// Decoupled weight decay: 0.1 where left out.
    pub weight_decay: f64,
    /// Decay of the first moment: 0.9 where left out.
    pub beta1: f64,
    /// Decay of the second moment: 0.98 where left out.
    pub beta2: f64,
    /// Guard against division by zero: 1e-8 where left out.
    pub epsilon: f64,
    /// Gradients longer than this (2-norm over all parameters) are scaled down to it; 0 leaves them as they are. 1 where left out.
    pub grad_clip: f64,
    /// A batch is summed in this many parts, in a fixed order: results do not depend on the number of threads,
    /// and no more than this many threads train one model. 4 where left out.
    pub logical_shards: usize,
}

impl Default for Optimizer {
    /// What the quickstart's trainings have.
    fn default() -> Self {
        Self {
            warmup_fraction: 0.05,
            final_lr_fraction: 0.05,
            decay: Decay::Cosine,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            grad_clip: 1.0,
            logical_shards: 4,
        }
    }
}

impl Optimizer {
    /// The plan of one training.
    pub fn plan(&self, steps: u64, batch_rows: usize, peak_lr: f64) -> TrainPlan {
        let warmup_steps = (self.warmup_fraction * steps as f64).round() as u64;
        TrainPlan {
            steps,
            batch_rows,
            logical_shards: self.logical_shards,
            peak_lr: peak_lr as f32,
            warmup_steps,
            decay_from: warmup_steps,
            final_lr_fraction: self.final_lr_fraction as f32,
            decay: self.decay,
            weight_decay: self.weight_decay as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
            grad_clip: self.grad_clip as f32,
        }
    }
}

/// Training from scratch on the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// Family and shape.
    pub architecture: ArchitectureConfig,
    /// Training tokens, rounded up to whole batches.
    pub tokens: u64,
    /// Tokens in a row; documents are packed into rows.
    pub row_tokens: usize,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// Highest learning rate.
    pub peak_lr: f64,
    /// Kinds of the corpus' text that it never sees, by name: what a thief's base does not know yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
}

impl Pretraining {
    /// Optimiser steps: `tokens` over tokens per batch, rounded up.
    pub fn steps(&self) -> u64 {
        self.tokens.div_ceil((self.row_tokens * self.batch_rows).max(1) as u64)
    }
}

/// Further training of a model that came trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContinuedTraining {
    /// Training tokens, rounded up to whole batches.
    pub tokens: u64,
    /// Tokens in a row; documents are packed into rows.
    pub row_tokens: usize,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// Highest learning rate.
    pub peak_lr: f64,
}

impl ContinuedTraining {
    /// Optimiser steps: `tokens` over tokens per batch, rounded up.
    pub fn steps(&self) -> u64 {
        self.tokens.div_ceil((self.row_tokens * self.batch_rows).max(1) as u64)
    }
}

/// The model that is served: exactly one of `train` and `model`.
///
/// Two keys rather than a choice of tables, so that `--set teacher.model=DIR` reads naturally.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Train it on the corpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Pretraining>,
    /// An open model: a local Hugging Face directory, or `org/name[@revision]` on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Further training of an open model, into which canaries are planted; its clean twin gets the same without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued: Option<ContinuedTraining>,
}

/// An independently trained model of the same vocabulary: exactly one of `train` and `model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrangerConfig {
    /// Train it on the corpus, with its own data order and initialisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Pretraining>,
    /// An open model with the teacher's tokenizer: a local Hugging Face directory, or `org/name[@revision]` on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The student before distillation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BaseConfig {
    /// Trained a little on the corpus, never on canaries.
    Train(Pretraining),
    /// Freshly initialised.
    Cold(ColdStart),
    /// An open model: a local Hugging Face directory, or `org/name[@revision]` on the hub. Its tokenizer may be another than the
    /// teacher's; see `student.tokenizer`.
    Model(String),
}

/// A freshly initialised student.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColdStart {
    /// Family and shape.
    pub architecture: ArchitectureConfig,
}
