//! The keys of one architecture, remembering which were read: nothing that could change results is ignored.

use std::cell::RefCell;
use std::collections::BTreeSet;

use oracle::ConfigError;

use super::metadata::{Metadata, Value};

/// The keys under an architecture's prefix (`llama.`).
pub(super) struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, prefix: &'a str) -> Self {
        Self { metadata, prefix, read: RefCell::default() }
    }

    /// The key in full.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        let full = self.full(key);
        let value = self.metadata.get(&full);
        self.read.borrow_mut().insert(full);
        value
    }

    fn wrong(&self, key: &str, value: &Value, what: &str) -> ConfigError {
        ConfigError::new(self.full(key), value, format!("not supported, only {what} is"))
    }

    /// A whole number, if the key is there.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        let number = |value: &Value| value.as_count().ok_or_else(|| self.wrong(key, value, "a whole number"));
        self.get(key).map(number).transpose()
    }

    /// A whole number.
    pub(super) fn needed_count(&self, key: &str) -> Result<u64, ConfigError> {
        self.count(key)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number, if the key is there.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        let number = |value: &Value| {
            value.as_number().filter(|number| number.is_finite()).ok_or_else(|| self.wrong(key, value, "a number"))
        };
        self.get(key).map(number).transpose()
    }

    /// A finite number.
    pub(super) fn needed_number(&self, key: &str) -> Result<f64, ConfigError> {
        self.number(key)?.ok_or_else(|| self.missing(key))
    }

    /// A text, if the key is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.get(key).map(|value| value.as_text().ok_or_else(|| self.wrong(key, value, "a text"))).transpose()
    }

    fn missing(&self, key: &str) -> ConfigError {
        ConfigError::new(self.full(key), "missing", "convert the model again")
    }

    /// Refuses any other value of `key` than `only`, which is also what its absence means.
    pub(super) fn only(&self, key: &str, only: &Value) -> Result<(), ConfigError> {
        let same = |value: &Value| match (value.as_number(), only.as_number()) {
            (Some(a), Some(b)) => a == b,
            _ => value == only,
        };
        match self.get(key) {
            Some(value) if !same(value) => Err(self.wrong(key, value, &only.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses keys that nobody read.
    pub(super) fn refuse_unread(&self) -> Result<(), ConfigError> {
        let read = self.read.borrow();
        let prefix = self.full("");
        match self.metadata.under(&prefix).find(|(key, _)| !read.contains(*key)) {
            Some((key, value)) => {
                let remedy = "this option is not known here and could change results; use a checkpoint in safetensors";
                Err(ConfigError::new(super::source::shown(key), value, remedy))
            }
            None => Ok(()),
        }
    }
}
