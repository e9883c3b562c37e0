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
    /// What people call it: its name on the hub, or the last part of its path.
    pub fn short_name(&self) -> String {
        let name = match &self.origin {
            Some(origin) => origin.name.clone(),
            None => {
                let whole = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
                let last = whole.components().next_back().map(|part| part.as_os_str().to_string_lossy().into_owned());
                last.unwrap_or_else(|| self.path.display().to_string())
            }
        };
        name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }
}
