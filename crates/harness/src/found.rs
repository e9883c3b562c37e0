//! A model that was found: a whole one in a directory or a GGUF file, or an adapter on another model.

use std::path::{Path, PathBuf};

use lm::lora::Adapter;
use lm::{LoadError, Model, ModelConfig, Tokenizer};
use serde::Serialize;

/// Where a model came from when it was named and not given as a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// `org/name`.
    pub name: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that it was.
    pub commit: String,
}

impl Origin {
    /// Whether the revision that was asked for is the commit, which never moves.
    pub fn is_pinned(&self) -> bool {
        self.revision == self.commit
    }
}

/// A model directory, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// The directory, or the GGUF file.
    pub directory: PathBuf,
    /// `None` for a directory that was given as one.
    pub origin: Option<Origin>,
    /// The base of an adapter; `None` for a whole model.
    pub base: Option<Box<FoundModel>>,
}

impl FoundModel {
    /// The whole model below all adapters.
    pub fn root(&self) -> &Self {
        self.base.as_deref().map_or(self, Self::root)
    }

    /// The configuration of the whole model.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn config(&self) -> Result<ModelConfig, LoadError> {
        ModelConfig::load(&self.root().directory)
    }

    /// The model, every adapter merged.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self) -> Result<Model, LoadError> {
        let Some(base) = &self.base else { return Model::load(&self.directory) };
        let base = base.load()?;
        Ok(Adapter::load(&self.directory, base.config())?.merged(&base))
    }

    /// Where its tokenizer lies: an adapter's own, if it brings one, else its base's; a directory or a GGUF file.
    pub fn tokenizer_place(&self) -> &Path {
        match &self.base {
            Some(base) if !self.directory.join("tokenizer.json").exists() => base.tokenizer_place(),
            _ => &self.directory,
        }
    }

    /// Its tokenizer, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, LoadError> {
        let place = self.tokenizer_place();
        match place == self.root().directory {
            true => Tokenizer::find(place),
            false => Tokenizer::load_for(place, &self.root().directory).map(Some),
        }
    }

    /// The model with its tokenizer, which must fit it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with_tokenizer(&self) -> Result<(Model, Tokenizer), LoadError> {
        if self.base.is_none() {
            return Model::load_with_tokenizer(&self.directory);
        }
        let (model, place) = (self.load()?, self.tokenizer_place());
        let tokenizer = Tokenizer::load_for(place, &self.root().directory)?;
        tokenizer.check_fits(model.vocab_size(), place)?;
        Ok((model, tokenizer))
    }
}
