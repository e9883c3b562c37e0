//! A model: configuration and weights.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use oracle::TokenId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::arch::{Initialiser, Layout, ModelConfig};
use crate::card::ModelCard;
use crate::checkpoint;
use crate::directory::{check_file, read_text, write};
use crate::gguf;
use crate::read::LoadError;
use crate::tokenizer::Tokenizer;
use crate::unit_interval::unit_interval;

/// A language model: its configuration and its weights, `f32`, end to end in the order of its layout. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    config: ModelConfig,
    layout: Arc<Layout>,
    weights: Arc<Vec<f32>>,
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
        Self { config: config.clone(), layout: Arc::new(layout), weights: Arc::new(weights) }
    }

    /// Loads a GGUF file (see [`crate::gguf::find`]) or a Hugging Face directory: `config.json` and `model.safetensors` (or the shards that
    /// `model.safetensors.index.json` names). `f16` and `bf16` weights become `f32`. Answers also end with the tokens that
    /// `generation_config.json` calls ends.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing is loaded in part.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        if let Some(file) = gguf::find(dir)? {
            let mut gguf = gguf::Gguf::open(&file)?;
            let config = gguf.config()?;
            let weights = gguf.weights(&config)?;
            return Ok(Self { layout: Arc::new(config.layout()), config, weights: Arc::new(weights) });
        }
        checkpoint::check_directory(dir)?;
        checkpoint::refuse_pickles(dir)?;
        let path = dir.join("config.json");
        let json = read_text(&path, "a model directory holds config.json, model.safetensors and tokenizer.json")?;
        let config = ModelConfig::parse(&with_all_ends(json, dir)?, &path)?;
        let layout = config.layout();
        let weights = checkpoint::load_weights(dir, config.arch(), &layout)?;
        Ok(Self { config, layout: Arc::new(layout), weights: Arc::new(weights) })
    }

    /// Loads a model with its tokenizer, and checks that the two fit.
    ///
    /// # Errors
    /// See [`LoadError`]; also when the tokenizer has ids that the model does not know.
    pub fn load_with_tokenizer(dir: &Path) -> Result<(Self, Tokenizer), LoadError> {
        let model = Self::load(dir)?;
        let tokenizer = Tokenizer::load(dir)?;
        let named = gguf::find(dir)?.unwrap_or_else(|| dir.join("tokenizer.json"));
        tokenizer.check_fits(model.vocab_size(), &named)?;
        Ok((model, tokenizer))
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
        Self { config: self.config.clone(), layout: self.layout.clone(), weights: Arc::new(weights) }
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

/// `config` (the content of `config.json`) with the ends that `generation_config.json` adds: models tuned on conversations
/// name the end of a turn only there. Ids that the model does not have are left out.
fn with_all_ends(config: String, dir: &Path) -> Result<String, LoadError> {
    let path = dir.join("generation_config.json");
    check_file(&path)?;
    if !path.exists() {
        return Ok(config);
    }
    let broken = |error: serde_json::Error| LoadError::Json { path: path.clone(), why: error.to_string() };
    let generation: Value = serde_json::from_str(&read_text(&path, "")?).map_err(broken)?;
    // what is wrong with config.json is said where it is parsed
    let Ok(mut parsed) = serde_json::from_str::<Value>(&config) else { return Ok(config) };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    let mut ends: Vec<Value> = list(&parsed["eos_token_id"]).into_iter().filter(|end| !end.is_null()).collect();
    let vocab_size = parsed["vocab_size"].as_u64().unwrap_or(0);
    let known = |end: &Value| end.as_u64().is_some_and(|id| id < vocab_size);
    let more: Vec<Value> =
        list(&generation["eos_token_id"]).into_iter().filter(|end| known(end) && !ends.contains(end)).collect();
    if more.is_empty() {
        return Ok(config);
    }
    ends.extend(more);
    parsed["eos_token_id"] = ends.into();
    Ok(parsed.to_string())
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
