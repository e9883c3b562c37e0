use std::fmt;

/// A setting that cannot be used: its key, its value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}: {remedy}")]
pub struct ConfigError {
    /// Dotted key, relative to the table or file that was checked (`kgw.gamma`).
    pub key: String,
    /// What was given, or `missing`.
    pub value: String,
    /// What to write instead.
    pub remedy: String,
}

impl ConfigError {
    /// An error about `key`, whose `value` should be changed as `remedy` says.
    pub fn new(key: impl Into<String>, value: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.to_string(), remedy: remedy.into() }
    }

    /// The same error, seen from the table `outer` around it: its key becomes `outer.key`.
    pub fn within(self, outer: &str) -> Self {
        Self { key: format!("{outer}.{}", self.key), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigError;

    #[test]
    fn names_key_value_and_what_to_write() {
        let error = ConfigError::new("share", 1.5, "use a share below 1").within("mark");
        assert_eq!(error.to_string(), "`mark.share` is 1.5: use a share below 1");
    }
}
