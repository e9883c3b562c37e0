//! A model that was found: a whole one in a directory or a GGUF file, or an adapter on another model.

use std::path::{Path, PathBuf};

use lm::lora::{Adapter, AdapterShape};
use lm::{LoadError, Model, ModelConfig, Tokenizer, lora, tokenizer_file};
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

/// What configurations and tokenizer say of a model, no weight read: all that can be known before it is loaded.
pub struct Said {
    /// The configuration of the whole model, all rows of its tables counted.
    pub config: ModelConfig,
    /// Its tokenizer, for its rows; `None` where it has come without one.
    pub tokenizer: Option<Tokenizer>,
    /// What its user should know, a sentence each.
    pub notes: Vec<String>,
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

    /// What its files say, refused wherever loading it would be refused for that.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn said(&self) -> Result<Said, LoadError> {
        let config = self.config()?;
        let tokenizer = self.tokenizer_for(&config)?;
        let mut notes = config.notes().to_vec();
        notes.extend(tokenizer.iter().flat_map(|tokenizer| tokenizer.notes().to_vec()));
        let mut at = self;
        while let Some(base) = &at.base {
            let said = lora::read_config(&at.directory)?;
            let path = at.directory.join(lora::CONFIG);
            notes.extend(said.notes());
            AdapterShape::new(&said, &config).map_err(|error| LoadError::Config { path, error })?;
            at = base;
        }
        Ok(Said { config, tokenizer, notes })
    }

    /// The model, every adapter merged, with all rows of its tables.
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

    /// Its tokenizer for the rows of its tables, if it has one.
    ///
    /// # Errors
    /// When it cannot be read, or does not belong to the model.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, LoadError> {
        self.tokenizer_for(&self.config()?)
    }

    /// As [`tokenizer`](Self::tokenizer), which must be there.
    ///
    /// # Errors
    /// As [`tokenizer`](Self::tokenizer), and when there is none.
    pub fn needed_tokenizer(&self) -> Result<Tokenizer, LoadError> {
        match self.tokenizer()? {
            Some(tokenizer) => Ok(tokenizer),
            // says what is missing
            None => Tokenizer::load(self.tokenizer_place()),
        }
    }

    fn tokenizer_for(&self, config: &ModelConfig) -> Result<Option<Tokenizer>, LoadError> {
        let (place, root) = (self.tokenizer_place(), &self.root().directory);
        let found = match place == root {
            true => Tokenizer::find(place)?,
            false => Some(Tokenizer::load_for(place, root)?),
        };
        found.map(|tokenizer| tokenizer.for_rows(config.vocab_size(), &tokenizer_file(place)?)).transpose()
    }

    /// The model with its tokenizer, each as the other leaves it: rows that stand for no token are left out.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with_tokenizer(&self) -> Result<(Model, Tokenizer), LoadError> {
        if self.base.is_none() {
            return Model::load_with_tokenizer(&self.directory);
        }
        let (model, place) = (self.load()?, self.tokenizer_place());
        let tokenizer = Tokenizer::load_for(place, &self.root().directory)?;
        let tokenizer = tokenizer.for_rows(model.vocab_size(), &tokenizer_file(place)?)?;
        Ok((model.for_tokens(&tokenizer), tokenizer))
    }
}
