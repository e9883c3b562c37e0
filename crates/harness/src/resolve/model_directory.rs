//! Telling models apart by the content of their files.

use std::path::{Path, PathBuf};

use super::{ModelDirectory, ModelFile};
use crate::hub::FoundModel;

/// What makes a tokenizer, in a model directory or beside a GGUF file.
const TOKENIZER: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json"];

/// What is asked for where no model is.
const REMEDY: &str = "name a local Hugging Face model directory (config.json, model.safetensors, tokenizer.json), a .gguf file, or \
                    org/name on the hub";

/// The files of a model, wherever it was found, that decide what it computes, with their hashes.
///
/// # Errors
/// As (what, remedy): when the model or one of the needed files is missing or cannot be read.
pub fn identify(found: FoundModel) -> Result<ModelDirectory, (String, String)> {
    identify_with(found, true)
}

/// As [`identify`]; a model below an adapter that brings a tokenizer needs none.
fn identify_with(found: FoundModel, tokenizer: bool) -> Result<ModelDirectory, (String, String)> {
    let path = found.directory.as_path();
    let paths = match lm::gguf::find(path).map_err(|error| (error.to_string(), String::new()))? {
        Some(file) => files_of_gguf(&file),
        None => files_of_directory(path, found.base.is_some(), tokenizer)?,
    };
    let hash = |path: PathBuf| {
        if let Some(why) = store::why_no_file(&path) {
            return Err((why, "put the model's file there, or take it away".into()));
        }
        lm::refuse_pointer(&path).map_err(|error| (error.to_string(), String::new()))?;
        let seen = store::Seen::read(&path).map_err(|error| (error.to_string(), String::new()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(ModelFile { name, bytes: seen.bytes, sha256: seen.sha256, path, seen })
    };
    let files = paths.into_iter().map(hash).collect::<Result<Vec<_>, (String, String)>>()?;
    let below = tokenizer && !files.iter().any(|file| file.name == TOKENIZER[0]);
    let base = found.base.map(|base| identify_with(*base, below)).transpose()?;
    Ok(ModelDirectory { path: found.directory, origin: found.origin, files, base: base.map(Box::new) })
}

/// A GGUF file and the tokenizer beside it, if there is one, by name.
fn files_of_gguf(file: &Path) -> Vec<PathBuf> {
    // without a tokenizer.json its settings are not looked at
    let has_own = file.with_file_name(TOKENIZER[0]).exists();
    let beside = TOKENIZER.iter().filter(|_| has_own).map(|name| file.with_file_name(name)).filter(|path| path.exists());
    let mut files: Vec<PathBuf> = beside.chain([file.to_path_buf()]).collect();
    files.sort();
    files
}

/// The files that count of a Hugging Face directory, of an adapter or a whole model, by name.
fn files_of_directory(path: &Path, adapter: bool, tokenizer: bool) -> Result<Vec<PathBuf>, (String, String)> {
    let shown = path.display();
    if !path.is_dir() {
        let what = if path.exists() { format!("{shown} is not a directory") } else { format!("no directory {shown}") };
        return Err((what, REMEDY.into()));
    }
    let entries = std::fs::read_dir(path).map_err(|error| (format!("cannot read {shown}: {error}"), String::new()))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let has = |name: &str| names.iter().any(|known| known == name);
    let needed = [("config.json", !adapter), ("tokenizer.json", !adapter && tokenizer)];
    for needed in needed.into_iter().filter_map(|(name, is_needed)| is_needed.then_some(name)) {
        if !has(needed) {
            return Err((format!("{shown} has no {needed}"), REMEDY.into()));
        }
    }
    if !names.iter().any(|name| name.ends_with(".safetensors")) {
        let pickle = names.iter().find(|name| [".bin", ".pt", ".pth", ".pkl", ".ckpt"].iter().any(|end| name.ends_with(end)));
        return Err(match pickle {
            Some(name) => (
                format!("{shown} has only {name}, a pickle checkpoint, which can run code when read and is refused"),
                "convert it to safetensors first".into(),
            ),
            None => (format!("{shown} has no model.safetensors"), REMEDY.into()),
        });
    }
    let decides = |name: &str| {
        name.ends_with(".safetensors")
            || TOKENIZER.contains(&name)
            || ["config.json", "generation_config.json", "model.safetensors.index.json"].contains(&name)
            || adapter && name == lm::lora::CONFIG
    };
    Ok(names.into_iter().filter(|name| decides(name)).map(|name| path.join(name)).collect())
}
