use oracle::{ConfigError, TokenId};
use serde_json::{Value, json};

use super::fields::{Fields, LONGEST, check_sizes};

/// What every `config.json` says of token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIds {
    /// Number of ids: rows of the embedding table.
    pub vocab_size: usize,
    /// Token that begins every text.
    pub bos: Option<TokenId>,
    /// Tokens that end a text; the first is the one that training data uses.
    pub eos: Vec<TokenId>,
    /// Token that fills up rows elsewhere; never read here, kept for whoever loads the model.
    pub pad: Option<TokenId>,
}

impl TokenIds {
    /// Of a new model.
    ///
    /// # Errors
    /// When an id is not below `vocab_size`.
    pub fn new(vocab_size: usize, bos: Option<TokenId>, eos: Option<TokenId>) -> Result<Self, ConfigError> {
        Self { vocab_size, bos, eos: eos.into_iter().collect(), pad: None }.checked()
    }

    /// Of a `config.json`.
    ///
    /// # Errors
    /// When a value is missing or out of range.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let vocab_size = fields.count("vocab_size", 1..=LONGEST)?;
        let bos = fields.tokens("bos_token_id", vocab_size)?.first().copied();
        // published models carry -1 and other numbers here that are no token
        let pad = fields.get("pad_token_id").and_then(Value::as_u64).and_then(|id| TokenId::try_from(id).ok());
        let pad = pad.filter(|id| (*id as usize) < vocab_size);
        Self { vocab_size, bos, eos: fields.tokens("eos_token_id", vocab_size)?, pad }.checked()
    }

    fn checked(self) -> Result<Self, ConfigError> {
        check_sizes(&[("vocab_size", self.vocab_size, LONGEST)])?;
        match self.bos.iter().chain(&self.eos).find(|id| **id as usize >= self.vocab_size) {
            Some(id) => {
                let remedy = format!("give at least {}: the first or last token of a text has this id", *id as u64 + 1);
                Err(ConfigError::new("vocab_size", self.vocab_size, remedy))
            }
            None => Ok(self),
        }
    }

    /// Its keys of `config.json`.
    pub(super) fn json(&self) -> Value {
        let eos = match self.eos.as_slice() {
            [] => json!(null),
            [one] => json!(one),
            several => json!(several),
        };
        let mut keys = json!({ "vocab_size": self.vocab_size, "bos_token_id": self.bos, "eos_token_id": eos });
        if let Some(pad) = self.pad {
            keys["pad_token_id"] = json!(pad);
        }
        keys
    }
}
