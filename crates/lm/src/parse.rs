//! The text of a `config.json` as a configuration.

use std::path::Path;

use crate::arch::{Fields, ModelConfig};
use crate::read::LoadError;

impl ModelConfig {
    /// Reads the text of a `config.json`; `path` is only named in errors.
    ///
    /// # Errors
    /// When it is not JSON, the architecture is unknown, a value is missing or out of range, or an option is set that
    /// would change results and is not supported.
    pub fn parse(json: &str, path: &Path) -> Result<Self, LoadError> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| LoadError::Json { path: path.into(), why: error.to_string() })?;
        let config = |error| LoadError::Config { path: path.into(), error };
        let Some(map) = value.as_object() else {
            return Err(LoadError::Json { path: path.into(), why: "the top level is not an object".into() });
        };
        let fields = Fields::new(map);
        let model_type = fields.text("model_type").map_err(config)?;
        let parsed = Self::from_fields(model_type, &fields)
            .ok_or_else(|| LoadError::UnknownArchitecture {
                path: path.into(),
                found: model_type.to_string(),
                known: Self::KNOWN.join(", "),
            })?
            .map_err(config)?;
        fields.refuse_unread().map_err(config)?;
        Ok(parsed)
    }
}
