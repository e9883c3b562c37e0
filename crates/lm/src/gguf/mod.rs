//! GGUF files: configuration, weights and tokenizer of a model in one, as llama.cpp runs them.
//!
//! They are read for inference and training alike: whatever a tensor is stored as becomes `f32`, under the names and in the order
//! of rows that transformers has, so that nothing else here knows where a model came from. What a file says and this program does
//! not understand is refused by name, never passed over.

mod blocks;
mod config;
mod header;
mod keys;
mod metadata;
mod rope;
mod source;
mod tensors;
mod tokenizer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

#[doc(hidden)]
pub use blocks::BlockType;
#[doc(hidden)]
pub use header::{Header, TensorInfo};
#[doc(hidden)]
pub use metadata::{Metadata, Value};
#[doc(hidden)]
pub use source::HeaderError;

use crate::arch::ModelConfig;
use crate::pointer::refuse_pointer;
use crate::read::LoadError;

/// Ending of a file's name.
const ENDING: &str = "gguf";

/// The GGUF file that `path` names: itself, or the only one of a directory without safetensors. `None` when neither.
///
/// # Errors
/// When a directory holds several.
pub fn find(path: &Path) -> Result<Option<PathBuf>, LoadError> {
    if path.is_file() {
        return Ok((has_ending(path, ENDING) || begins_as_gguf(path)).then(|| path.to_path_buf()));
    }
    // what is no directory is refused by whoever opens it
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(None) };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    if files.iter().any(|file| has_ending(file, "safetensors") || file.ends_with(crate::checkpoint::INDEX)) {
        return Ok(None);
    }
    files.retain(|file| has_ending(file, ENDING));
    files.sort();
    if files.len() > 1 {
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy()).collect();
        let why = format!("holds several GGUF files ({}); name one of them", names.join(", "));
        return Err(LoadError::Gguf { path: path.into(), why });
    }
    Ok(files.pop())
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

fn begins_as_gguf(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"GGUF"
}

/// An open file with a checked header.
pub(crate) struct Gguf {
    path: PathBuf,
    file: File,
    header: Header,
}

impl Gguf {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or of a kind that is not read.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io { path: path.into(), source };
        crate::directory::check_file(path)?;
        refuse_pointer(path)?;
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let header = Header::read(BufReader::new(&file), len).map_err(|error| match error {
            HeaderError::Io(source) => io(source),
            HeaderError::Damaged(why) => LoadError::NotGguf { path: path.into(), why },
            HeaderError::Unsupported(why) => LoadError::Gguf { path: path.into(), why },
        })?;
        Ok(Self { path: path.into(), file, header })
    }

    /// The model's configuration.
    ///
    /// # Errors
    /// When the metadata is incomplete, out of range, or says something that is not understood.
    pub(crate) fn config(&mut self) -> Result<ModelConfig, LoadError> {
        let factors = match self.header.tensors.get(rope::FACTORS) {
            // as many as half a head has components, or refused where they are compared with those
            Some(info) => {
                let most = crate::arch::WIDEST as u64;
                let mut factors = vec![0.0; info.shape.iter().product::<u64>().min(most) as usize];
                if factors.len() as u64 == info.shape.iter().product::<u64>() {
                    tensors::read(&mut self.file, &self.header, info, &mut factors, &self.path)?;
                    crate::checkpoint::check_finite(&self.path, rope::FACTORS, &factors)?;
                }
                Some(factors)
            }
            None => None,
        };
        config::config(&self.header, factors.as_deref(), &self.path)
    }

    /// All weights in the layout order of `config`, which is this file's.
    ///
    /// # Errors
    /// When a tensor is missing, superfluous or of another shape, or the file cannot be read.
    pub(crate) fn weights(&mut self, config: &ModelConfig) -> Result<Vec<f32>, LoadError> {
        tensors::weights(&mut self.file, &self.header, config, &self.path)
    }

    /// Values of each type.
    pub(crate) fn dtypes(&self) -> BTreeMap<String, u64> {
        let mut dtypes = BTreeMap::new();
        for info in self.header.tensors.values() {
            *dtypes.entry(info.kind.name().to_string()).or_default() += info.shape.iter().product::<u64>();
        }
        dtypes
    }

    /// Whether the file has a tokenizer, of whatever kind.
    pub(crate) fn has_tokenizer(&self) -> bool {
        tokenizer::is_there(&self.header)
    }

    /// The tokenizer's files, as a model directory would have them.
    ///
    /// # Errors
    /// When they cannot be rebuilt.
    pub(crate) fn tokenizer_files(&self) -> Result<BTreeMap<&'static str, String>, LoadError> {
        tokenizer::files(&self.header).map_err(|reason| {
            let why = format!("its tokenizer cannot be rebuilt ({reason}): put the model's tokenizer.json beside it");
            LoadError::Tokenizer { path: self.path.clone(), why }
        })
    }

    /// What the file says about a tokenizer that lies beside it: files but for `tokenizer.json`.
    pub(crate) fn tokenizer_settings(&self) -> BTreeMap<&'static str, String> {
        tokenizer::settings(&self.header)
    }

    /// The ids of special tokens as a `config.json` names them.
    pub(crate) fn token_ids(&self) -> Json {
        let ids = config::token_ids(&self.header).unwrap_or_default();
        ids.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<serde_json::Map<_, _>>().into()
    }
}

#[cfg(test)]
mod tests;
