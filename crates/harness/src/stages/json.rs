use std::path::Path;

use serde::Serialize;

/// Writes a value as canonical JSON.
///
/// # Errors
/// When a number in it is not finite, or the file cannot be written.
pub fn save_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    Ok(store::write_atomic(path, &store::canonical_json(value)?)?)
}

/// Reads a value that [`save_json`] wrote.
///
/// # Errors
/// When the file is not there or not of this form.
pub fn load_json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    use anyhow::Context as _;
    let bytes = store::read_plain(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not what this version writes", path.display()))
}
