//! A model at a path, in whatever form it is kept, and what of it and its tokenizer belongs together.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::arch::ModelConfig;
use crate::directory::{CONFIG, GENERATION, TOKENIZER, check_file, read_text};
use crate::model::Model;
use crate::read::LoadError;
use crate::tokenizer::Tokenizer;
use crate::{checkpoint, gguf};

impl ModelConfig {
    /// The configuration of the model at `path`: that of a GGUF file, or the `config.json` of a directory. Answers also end with the
    /// tokens that `generation_config.json` calls ends.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        if let Some(file) = gguf::find(path)? {
            return gguf::Gguf::open(&file)?.config();
        }
        checkpoint::check_directory(path)?;
        let dir = path;
        let path = dir.join(CONFIG);
        let remedy = "a model directory holds config.json, model.safetensors and tokenizer.json, or a .gguf file";
        Self::parse(&with_all_ends(read_text(&path, remedy)?, dir)?, &path)
    }

    /// The same as the tokenizer leaves it (see [`Model::for_tokens`]).
    #[must_use]
    pub fn for_tokens(mut self, tokenizer: &Tokenizer) -> Self {
        self.tokens_mut().cut(tokenizer.size(), tokenizer.absent());
        self
    }
}

impl Model {
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
            let (weights, notes) = (gguf.weights(&config)?, config.notes().to_vec());
            return Ok(Self::of(config, weights, notes));
        }
        checkpoint::check_directory(dir)?;
        checkpoint::refuse_pickles(dir)?;
        let config = ModelConfig::load(dir)?;
        let (weights, left_out) = checkpoint::load_weights(dir, config.arch(), &config.layout())?;
        let notes = config.notes().iter().cloned().chain(left_out).collect();
        Ok(Self::of(config, weights, notes))
    }

    /// Loads a model with its tokenizer, each as the other leaves it: see [`Tokenizer::for_rows`] and [`Model::for_tokens`].
    ///
    /// # Errors
    /// See [`LoadError`]; also when the two do not belong together.
    pub fn load_with_tokenizer(dir: &Path) -> Result<(Self, Tokenizer), LoadError> {
        let model = Self::load(dir)?;
        let tokenizer = Tokenizer::load(dir)?.for_rows(model.vocab_size(), &tokenizer_file(dir)?)?;
        Ok((model.for_tokens(&tokenizer), tokenizer))
    }

    /// The same without rows that `tokenizer` has no token for: published tables are padded to round numbers. Ids of its that lie
    /// between tokens and are none stay, and no law gives them any probability. Notes of the tokenizer become the model's.
    ///
    /// # Panics
    /// When the tokenizer was not made [for its rows](Tokenizer::for_rows).
    #[must_use]
    pub fn for_tokens(self, tokenizer: &Tokenizer) -> Self {
        self.cut(tokenizer.size(), tokenizer.absent()).with_notes(tokenizer.notes().to_vec())
    }
}

/// The file of the model at `dir` that its tokenizer is in, for messages.
///
/// # Errors
/// When a directory holds several GGUF files.
pub fn tokenizer_file(dir: &Path) -> Result<PathBuf, LoadError> {
    let beside = |file: PathBuf| {
        let own = file.with_file_name(TOKENIZER);
        if own.exists() { own } else { file }
    };
    Ok(gguf::find(dir)?.map_or_else(|| dir.join(TOKENIZER), beside))
}

/// `config` (the content of `config.json`) with the ends that `generation_config.json` adds: models tuned on conversations
/// name the end of a turn only there. Ids that the model does not have are left out.
fn with_all_ends(config: String, dir: &Path) -> Result<String, LoadError> {
    let path = dir.join(GENERATION);
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
