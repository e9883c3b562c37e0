//! Telling model directories apart by the content of their files.

use super::{ModelDirectory, ModelFile};
use crate::hub::FoundModel;

/// The files of a Hugging Face directory, wherever it was found, that decide what the model computes, with their hashes.
///
/// # Errors
/// As (what, mend): when the directory or one of the needed files is missing or cannot be read.
pub fn identify(found: FoundModel) -> Result<ModelDirectory, (String, String)> {
    identify_with(found, true)
}

/// As [`identify`]; a model below an adapter that brings a tokenizer needs none.
fn identify_with(found: FoundModel, tokenizer: bool) -> Result<ModelDirectory, (String, String)> {
    let path = found.directory.as_path();
    let shown = path.display();
    let directory = "name a local Hugging Face model directory (config.json, model.safetensors, tokenizer.json), or org/name on \
                     the hub";
    if !path.is_dir() {
        let what = if path.exists() { format!("{shown} is not a directory") } else { format!("no directory {shown}") };
        return Err((what, directory.into()));
    }
    let entries = std::fs::read_dir(path).map_err(|error| (format!("cannot read {shown}: {error}"), String::new()))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let has = |name: &str| names.iter().any(|known| known == name);
    let adapter = found.base.is_some();
    let needed = [("config.json", !adapter), ("tokenizer.json", !adapter && tokenizer)];
    for needed in needed.into_iter().filter_map(|(name, is_needed)| is_needed.then_some(name)) {
        if !has(needed) {
            return Err((format!("{shown} has no {needed}"), directory.into()));
        }
    }
    if !names.iter().any(|name| name.ends_with(".safetensors")) {
        let pickle = names.iter().find(|name| [".bin", ".pt", ".pth", ".pkl", ".ckpt"].iter().any(|end| name.ends_with(end)));
        return Err(match pickle {
            Some(name) => (
                format!("{shown} has only {name}, a pickle checkpoint, which can run code when read and is refused"),
                "convert it to safetensors first".into(),
            ),
            None => (format!("{shown} has no model.safetensors"), directory.into()),
        });
    }
    let decides = |name: &str| {
        name.ends_with(".safetensors")
            || [
                "config.json",
                "generation_config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "chat_template.jinja",
                "chat_template.json",
                "model.safetensors.index.json",
            ]
            .contains(&name)
            || adapter && name == lm::lora::CONFIG
    };
    let tokenizer = tokenizer && !has("tokenizer.json");
    let files = names
        .into_iter()
        .filter(|name| decides(name))
        .map(|name| {
            let hashed = store::sha256_file(&path.join(&name)).map_err(|error| (error.to_string(), String::new()));
            hashed.map(|(sha256, bytes)| ModelFile { name, bytes, sha256 })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let base = found.base.map(|base| identify_with(*base, tokenizer)).transpose()?;
    Ok(ModelDirectory { path: found.directory, origin: found.origin, files, base: base.map(Box::new) })
}
