//! A model: configuration and weights.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use oracle::TokenId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use crate::arch::{Initialiser, Layout, ModelConfig};
use crate::card::ModelCard;
use crate::checkpoint;
use crate::directory::write;
use crate::tokenizer::Tokenizer;
use crate::unit_interval::unit_interval;

/// A language model: its configuration and its weights, `f32`, end to end in the order of its layout. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    config: ModelConfig,
    layout: Arc<Layout>,
    weights: Arc<Vec<f32>>,
    notes: Arc<Vec<String>>,
}

impl Model {
    /// A new model whose weights are drawn as its architecture says; parameter i of the layout takes stream i of `seed`,
    /// so that a change to one parameter's shape leaves the others as they were.
    pub fn init(config: &ModelConfig, seed: u64) -> Self {
        let layout = config.layout();
        let mut weights = vec![0.0; layout.n_params()];
        for (i, parameter) in layout.parameters().iter().enumerate() {
            let part = &mut weights[parameter.range.clone()];
            match parameter.initialiser {
                Initialiser::Zeros => {}
                Initialiser::Ones => part.fill(1.0),
                Initialiser::Normal(deviation) => {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    rng.set_stream(i as u64);
                    fill_normal(part, deviation, &mut rng);
                }
            }
        }
        Self { config: config.clone(), layout: Arc::new(layout), weights: Arc::new(weights), notes: Arc::default() }
    }

    /// The model of this configuration whose weights are `weights`, with what was met in reading them.
    ///
    /// # Panics
    /// When the weights are not as many as the configuration's layout has.
    pub(crate) fn of(config: ModelConfig, weights: Vec<f32>, notes: Vec<String>) -> Self {
        let layout = config.layout();
        assert_eq!(weights.len(), layout.n_params(), "as many weights as the layout has");
        Self { config, layout: Arc::new(layout), weights: Arc::new(weights), notes: Arc::new(notes) }
    }

    /// Writes a directory that transformers loads: `config.json`, `generation_config.json`, `model.safetensors`, the
    /// tokenizer's files and a `README.md` with model-card front matter. Equal models give equal bytes.
    ///
    /// # Errors
    /// When a file cannot be written; the `std::io::Error` is in the chain.
    pub fn save(&self, dir: &Path, tokenizer: Option<&Tokenizer>, card: &ModelCard) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("{}: creating", dir.display()))?;
        let arch = self.config.arch();
        let config = arch.config_json();
        let generation = json!({
            "_from_model_config": true,
            "bos_token_id": config["bos_token_id"],
            "eos_token_id": config["eos_token_id"],
        });
        write(dir, "config.json", format!("{config:#}\n").as_bytes())?;
        write(dir, "generation_config.json", format!("{generation:#}\n").as_bytes())?;
        checkpoint::save_weights(dir, &self.layout, &self.weights)?;
        if let Some(tokenizer) = tokenizer {
            tokenizer.save(dir)?;
        }
        write(dir, "README.md", card.readme().as_bytes())
    }

    /// The same configuration with other weights.
    ///
    /// # Panics
    /// When the length is not [`Self::n_params`].
    pub fn with_weights(&self, weights: Vec<f32>) -> Self {
        assert_eq!(weights.len(), self.n_params(), "as many weights as the layout has");
        Self { weights: Arc::new(weights), ..self.clone() }
    }

    /// The same with more to be said of how it was read.
    #[must_use]
    pub fn with_notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        Arc::make_mut(&mut self.notes).extend(notes);
        self
    }

    /// What its user should know of how it was read, a sentence each: what its files say and cannot be, what was left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same without the rows of its tables from `rows` on, and without any probability for the ids `absent`, which stand for
    /// no token.
    ///
    /// # Panics
    /// When its tables have fewer rows.
    #[must_use]
    pub fn cut(self, rows: usize, absent: &[TokenId]) -> Self {
        if rows == self.vocab_size() && absent == self.config.arch().absent() {
            return self;
        }
        assert!(rows <= self.vocab_size(), "rows can only be left out");
        let mut config = self.config.clone();
        config.tokens_mut().cut(rows, absent);
        let layout = config.layout();
        let mut weights = Arc::unwrap_or_clone(self.weights);
        // only tables of tokens get shorter, at their ends, so that what stays moves forward
        for (kept, whole) in layout.parameters().iter().zip(self.layout.parameters()) {
            let start = whole.range.start;
            weights.copy_within(start..start + kept.range.len(), kept.range.start);
        }
        weights.truncate(layout.n_params());
        Self { config, layout: Arc::new(layout), weights: Arc::new(weights), notes: self.notes }
    }

    /// All weights in layout order.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Which parameter lies where.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of parameters.
    pub fn n_params(&self) -> usize {
        self.weights.len()
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size()
    }

    /// Longest input in tokens.
    pub fn context_length(&self) -> usize {
        self.config.context_length()
    }

    /// Token before every text.
    pub fn bos(&self) -> Option<TokenId> {
        self.config.arch().bos()
    }

    /// Token after every text (the first, if several end one).
    pub fn eos(&self) -> Option<TokenId> {
        self.config.arch().eos().first().copied()
    }

    /// See [`ModelConfig::flops_per_token_forward`].
    pub fn flops_per_token_forward(&self) -> f64 {
        self.config.flops_per_token_forward()
    }

    /// See [`ModelConfig::flops_per_token_train`].
    pub fn flops_per_token_train(&self) -> f64 {
        self.config.flops_per_token_train()
    }
}

/// Normals by Box and Muller (1958), two at a time.
fn fill_normal(part: &mut [f32], deviation: f64, rng: &mut impl Rng) {
    for pair in part.chunks_mut(2) {
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let radius = deviation * (-2.0 * libm::log(1.0 - unit_interval(rng))).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * unit_interval(rng));
        for (value, factor) in pair.iter_mut().zip([cos, sin]) {
            *value = (radius * factor) as f32;
        }
    }
}
