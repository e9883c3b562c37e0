use std::path::Path;

use super::ModelDirectory;
use super::model_directory::identify;
use crate::exit::UsageError;
use crate::hub::Models;

/// The model that was typed as `typed` after `flag`, wherever it is: a directory, a GGUF file, an adapter, a name on the hub.
///
/// # Errors
/// When it is nowhere or lacks a file, as a [`UsageError`] that names the flag; what kept it from being fetched.
pub fn from_outside(flag: &str, typed: &str, models: &Models<'_>) -> anyhow::Result<ModelDirectory> {
    let found = models.find(Path::new(typed), typed, None).map_err(|error| error.context(format!("{flag} {typed}")))?;
    identify(found).map_err(|(what, remedy)| {
        let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
        UsageError(format!("{flag} {typed}: {what}{remedy}")).into()
    })
}

impl ModelDirectory {
    /// What people call it: its name on the hub, or the last part of its path; of an artifact kind and the first digits of the hash.
    pub fn short_name(&self) -> String {
        let name = match &self.origin {
            Some(origin) => origin.name.clone(),
            None => {
                let whole = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
                let parts: Vec<String> = whole.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                let is_hash = |part: &str| part.len() == 64 && part.chars().all(|c| c.is_ascii_hexdigit());
                match &parts[..] {
                    [.., kind, hash] if is_hash(hash) => format!("{kind}/{}", &hash[..8]),
                    [.., last] => last.clone(),
                    [] => self.path.display().to_string(),
                }
            }
        };
        name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }
}
