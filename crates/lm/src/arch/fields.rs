//! Reading `config.json` so that nothing in it is silently ignored.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use oracle::TokenId;
use serde_json::{Map, Value};

/// A configuration that cannot be used: which key, what it says, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}: {mend}")]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// Its value, or `missing`.
    pub value: String,
    /// What to do about it.
    pub mend: String,
}

impl ConfigError {
    /// An error about `key`.
    pub fn new(key: &str, value: impl ToString, mend: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.to_string(), mend: mend.into() }
    }
}

/// Keys that describe the file, its training or its use, never what the model computes. Keys with a leading underscore
/// count as such too.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "bad_words_ids",
    "chunk_size_feed_forward",
    "dtype",
    "hidden_dropout",
    "id2label",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "max_sequence_length",
    "model_type",
    "num_return_sequences",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    "use_return_dict",
];

/// The keys of a `config.json`, remembering which were read.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Fields<'a> {
    /// Over the top level of a `config.json`.
    pub fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, read: RefCell::default() }
    }

    /// The value of `key`; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.map.get_key_value(key)?;
        self.read.borrow_mut().insert(key);
        (!value.is_null()).then_some(value)
    }

    fn need(&self, key: &str, what: &str) -> Result<&'a Value, ConfigError> {
        self.get(key).ok_or_else(|| ConfigError::new(key, "missing", format!("give {what}")))
    }

    /// A text.
    ///
    /// # Errors
    /// When absent or not a text.
    pub fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        let value = self.need(key, "a text")?;
        value.as_str().ok_or_else(|| ConfigError::new(key, value, "give a text"))
    }

    /// A whole number in `range`.
    ///
    /// # Errors
    /// When absent, not a whole number, or outside.
    pub fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.need(key, &what)?;
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| ConfigError::new(key, value, format!("give {what}")))
    }

    /// A whole number in `range`, if the key is there.
    ///
    /// # Errors
    /// When not a whole number, or outside.
    pub fn count_if(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, ConfigError> {
        self.get(key).map(|_| self.count(key, range)).transpose()
    }

    /// A finite number above 0.
    ///
    /// # Errors
    /// When absent, not a number, or not above 0.
    pub fn positive(&self, key: &str) -> Result<f64, ConfigError> {
        let value = self.need(key, "a number above 0")?;
        positive(key, value)
    }

    /// A switch; `default` is what transformers assumes when the key is absent.
    ///
    /// # Errors
    /// When neither true nor false.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| ConfigError::new(key, value, "give true or false"))
    }

    /// Refuses any value of `key` but `only`, which is also what its absence means.
    ///
    /// # Errors
    /// When the key has another value.
    pub fn only(&self, key: &str, only: Value) -> Result<(), ConfigError> {
        match self.get(key) {
            Some(value) if *value != only => {
                Err(ConfigError::new(key, value, format!("not supported for this architecture, only {only} is")))
            }
            _ => Ok(()),
        }
    }

    /// A token id, or a list of them, or nothing.
    ///
    /// # Errors
    /// When not whole numbers below `vocab_size`.
    pub fn tokens(&self, key: &str, vocab_size: usize) -> Result<Vec<TokenId>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let one = |value: &Value| {
            let id = value.as_u64().and_then(|id| TokenId::try_from(id).ok()).filter(|id| (*id as usize) < vocab_size);
            id.ok_or_else(|| ConfigError::new(key, value, format!("give a token id below vocab_size = {vocab_size}")))
        };
        match value {
            Value::Array(list) => list.iter().map(one).collect(),
            other => Ok(vec![one(other)?]),
        }
    }

    /// The base of rotary embedding in both dialects, `rope_theta` (transformers 4) and
    /// `rope_parameters.rope_theta` (5); any scaling of it is refused.
    ///
    /// # Errors
    /// When a scaling other than the default is asked for, or the base is not a number above 0.
    pub fn plain_rope_theta(&self, default: f64) -> Result<f64, ConfigError> {
        let mut theta = self.get("rope_theta").map(|value| positive("rope_theta", value)).transpose()?;
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.get(key) else { continue };
            let Some(map) = value.as_object() else {
                return Err(ConfigError::new(key, value, "give an object or null"));
            };
            for (inner, value) in map {
                match (inner.as_str(), value.as_str()) {
                    ("rope_type" | "type", Some("default")) => {}
                    ("rope_theta", _) => theta = Some(positive(&format!("{key}.rope_theta"), value)?),
                    _ if value.is_null() => {}
                    _ => {
                        let mend = "only unscaled rotary embedding (rope_type \"default\") is supported for this architecture";
                        return Err(ConfigError::new(&format!("{key}.{inner}"), value, mend));
                    }
                }
            }
        }
        Ok(theta.unwrap_or(default))
    }

    /// Refuses keys that nobody read, unless they are known to be harmless or switched off: what they mean is unknown, so
    /// running the model without them could silently compute something else.
    ///
    /// # Errors
    /// Naming the first such key.
    pub fn refuse_unread(&self) -> Result<(), ConfigError> {
        let read = self.read.borrow();
        for (key, value) in self.map {
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !(off || read.contains(key.as_str()) || key.starts_with('_') || HARMLESS.contains(&key.as_str())) {
                let mend = "this option is not known here and could change results; remove it if it does not concern the model";
                return Err(ConfigError::new(key, value, mend));
            }
        }
        Ok(())
    }
}

fn positive(key: &str, value: &Value) -> Result<f64, ConfigError> {
    value
        .as_f64()
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| ConfigError::new(key, value, "give a number above 0"))
}
