//! The files of a model directory: names that several readers share, reading a text, writing.

use std::path::Path;

use anyhow::Context;

use crate::pointer;
use crate::read::LoadError;

pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const SETTINGS: &str = "tokenizer_config.json";
pub(crate) const SPECIALS: &str = "special_tokens_map.json";
/// Files that may hold a chat template, the first of them before the one in `tokenizer_config.json`.
pub(crate) const CHAT_JINJA: &str = "chat_template.jinja";
pub(crate) const CHAT_JSON: &str = "chat_template.json";
/// Files of the model that name the tokens of a text's beginning and end.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const GENERATION: &str = "generation_config.json";

/// Reads a text file of a model directory.
pub(crate) fn read_text(path: &Path, remedy: &str) -> Result<String, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing { path: path.into(), remedy: remedy.into() },
        std::io::ErrorKind::InvalidData => LoadError::Json { path: path.into(), why: "it is not UTF-8 text".into() },
        _ => LoadError::Io { path: path.into(), source },
    })?;
    pointer::refuse(path, text.as_bytes())?;
    Ok(text)
}

/// Writes one file of a model directory.
pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("{}: writing", path.display()))
}
