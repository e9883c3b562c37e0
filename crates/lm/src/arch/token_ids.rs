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
    /// Ids that stand for no token, ascending: no law gives them any probability. They are known from a tokenizer, never from a
    /// `config.json`.
    pub absent: Vec<TokenId>,
    /// What the file says of token ids and cannot be, in words.
    pub notes: Vec<String>,
}

impl TokenIds {
    /// Of a new model.
    ///
    /// # Errors
    /// When an id is not below `vocab_size`.
    pub fn new(vocab_size: usize, bos: Option<TokenId>, eos: Option<TokenId>) -> Result<Self, ConfigError> {
        let eos = eos.into_iter().collect();
        Self { vocab_size, bos, eos, pad: None, absent: Vec::new(), notes: Vec::new() }.checked()
    }

    /// Of a `config.json`. Published models name ids that they do not have (-1, the number of rows): such a token is none, and a
    /// note says what follows.
    ///
    /// # Errors
    /// When a value is missing or out of range.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let vocab_size = fields.count("vocab_size", 1..=LONGEST)?;
        let mut notes = Vec::new();
        let mut known = |key: &str, follows: &str| -> Result<Vec<TokenId>, ConfigError> {
            let (known, none) = fields.tokens(key, vocab_size)?;
            if let Some(id) = none.first() {
                notes.push(format!("`{key}` is {id}, but the model's token ids end with {}: {follows}", vocab_size - 1));
            }
            Ok(known)
        };
        let bos = known("bos_token_id", "it begins no text")?.first().copied();
        let eos = known("eos_token_id", "the model can never end an answer by it")?;
        let pad = fields.get("pad_token_id").and_then(Value::as_u64).and_then(|id| TokenId::try_from(id).ok());
        let pad = pad.filter(|id| (*id as usize) < vocab_size);
        Self { vocab_size, bos, eos, pad, absent: Vec::new(), notes }.checked()
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

    /// The same of a model with the first `rows` rows of its tables, `absent` of which stand for no token.
    pub(crate) fn cut(&mut self, rows: usize, absent: &[TokenId]) {
        let kept = |id: &TokenId| (*id as usize) < rows && !absent.contains(id);
        self.vocab_size = rows;
        self.bos = self.bos.filter(kept);
        self.eos.retain(kept);
        self.pad = self.pad.filter(kept);
        self.absent = absent.to_vec();
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
