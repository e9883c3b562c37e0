//! The configuration of the model at a path, in whatever form it is kept.

use std::path::Path;

use crate::arch::ModelConfig;
use crate::read::LoadError;
use crate::{checkpoint, directory, gguf};

impl ModelConfig {
    /// The configuration of the model at `path`: that of a GGUF file, or the `config.json` of a directory.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        if let Some(file) = gguf::find(path)? {
            return gguf::Gguf::open(&file)?.config();
        }
        checkpoint::check_directory(path)?;
        let path = path.join("config.json");
        let remedy = "a model directory holds config.json, model.safetensors and tokenizer.json, or a .gguf file";
        Self::parse(&directory::read_text(&path, remedy)?, &path)
    }
}
