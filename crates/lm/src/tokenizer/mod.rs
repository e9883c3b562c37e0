//! Text to token ids and back: Hugging Face tokenizers, loaded or trained.

mod chat;
mod codec;
mod load;
mod offsets;
mod roles;
mod table;
mod train;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use oracle::TokenId;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::{AddedVocabulary, Tokenizer as Inner};

pub use chat::{ChatError, ChatMessage, ChatOptions, ChatTemplate};

use crate::arch::LONGEST;
use crate::directory::{TOKENIZER, write};
use crate::guard::guarded;
use roles::Roles;

/// A Hugging Face tokenizer. Words that look like special tokens are ordinary text to [`Codec::encode`]: no text, whatever
/// it says, yields a special id. Only the unknown token may come back, for a character that has no other.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    /// The files of a model directory, as read or made.
    files: BTreeMap<&'static str, String>,
    /// The largest id that has a token.
    max_id: TokenId,
    /// One more than the largest id that has a token and a row.
    size: usize,
    /// Ids below `size` without a token, ascending.
    absent: Vec<TokenId>,
    /// Ids below `size` that are never text, ascending.
    never_text: Vec<TokenId>,
    /// Tokens that the model has no row for.
    without_row: Vec<(TokenId, String)>,
    notes: Vec<String>,
    roles: Roles,
    chat: Option<ChatTemplate>,
    /// Finds the special tokens that the chat template writes.
    chat_vocabulary: Option<AddedVocabulary>,
}

impl Tokenizer {
    /// Puts a tokenizer together. The library panics on some files that are no tokenizers: that is an error like any other.
    fn assemble(files: BTreeMap<&'static str, String>, settings: &[Value]) -> Result<Self, String> {
        let panicked = |message| format!("not a tokenizer this program can read: {message}");
        guarded(|| Self::assemble_trusting(files, settings)).unwrap_or_else(|message| Err(panicked(message)))
    }

    fn assemble_trusting(files: BTreeMap<&'static str, String>, settings: &[Value]) -> Result<Self, String> {
        let broken = |error: tokenizers::Error| format!("not a tokenizer this program can read: {error}");
        let json = files.get(TOKENIZER).map_or("", String::as_str);
        let mut inner = Inner::from_bytes(json).map_err(broken)?;
        if matches!(inner.get_model(), ModelWrapper::BPE(model) if model.dropout.is_some_and(|share| share > 0.0)) {
            return Err("it leaves out merges at random (`model.dropout`), so that equal texts differ; set it to null".into());
        }
        inner.with_truncation(None).map_err(broken)?;
        inner.with_padding(None);
        let vocabulary = inner.get_vocab(true);
        let max_id = vocabulary.values().copied().max().ok_or("it has no tokens")?;
        if max_id as usize >= LONGEST {
            return Err(format!("it has the id {max_id}; at most {LONGEST} ids are read"));
        }
        let size = max_id as usize + 1;
        let mut there = vec![false; size];
        vocabulary.into_values().for_each(|id| there[id as usize] = true);
        // of two tokens with one text the vocabulary shows one
        let absent = (0..=max_id).filter(|id| !there[*id as usize] && inner.id_to_token(*id).is_none()).collect::<Vec<_>>();
        let roles = Roles::assign(&mut inner, json, max_id, settings).map_err(broken)?;
        inner.set_encode_special_tokens(true);

        // `encode` cannot fail later: every step either handles this text or none that lacks a token for a character.
        let strange = "a\u{0}\u{10fffd}\u{301}\u{4e00} <s> \n";
        inner.encode_fast(strange, false).map_err(|error| format!("it cannot encode arbitrary text: {error}"))?;
        let all: Vec<TokenId> = (0..=max_id.min(1 << 20)).collect();
        inner.decode(&all, true).map_err(broken)?;
        let chat = ChatTemplate::find(&files);
        let chat_vocabulary = chat.as_ref().map(|_| chat::vocabulary(&inner)).transpose().map_err(broken)?;
        let never_text = roles.never_text(&absent, size);
        let notes = roles.notes.clone();
        let without_row = Vec::new();
        Ok(Self { inner, files, max_id, size, absent, never_text, without_row, notes, roles, chat, chat_vocabulary })
    }

    /// Writes `tokenizer.json` and, as read or made, `tokenizer_config.json`, `special_tokens_map.json` and the chat template.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("{}: creating", dir.display()))?;
        for (name, text) in &self.files {
            write(dir, name, text.as_bytes())?;
        }
        Ok(())
    }

    /// `text` as a model sees a document: the beginning token, if there is one, and [`Codec::encode`].
    pub fn encode_document(&self, text: &str) -> Vec<TokenId> {
        self.roles.bos.into_iter().chain(oracle::Codec::encode(self, text)).collect()
    }

    /// The first `most` ids of [`encode_document`](Self::encode_document): no more of a long text is looked at than that takes.
    pub fn encode_opening(&self, text: &str, most: usize) -> Vec<TokenId> {
        let mut bytes = most.saturating_mul(8);
        loop {
            let from = (bytes..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            let end = text[from..].find(char::is_whitespace).map_or(text.len(), |at| from + at);
            let mut ids = self.encode_document(&text[..end]);
            // tokens beside the cut may be others than in the whole text
            if end == text.len() || ids.len() > most.saturating_add(16) {
                ids.truncate(most);
                return ids;
            }
            bytes = bytes.saturating_mul(2);
        }
    }

    /// The algorithm that cuts text into tokens, by its usual name.
    pub fn kind(&self) -> &'static str {
        use tokenizers::models::ModelWrapper;
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// The largest id.
    pub fn max_id(&self) -> TokenId {
        self.max_id
    }

    /// The entry of the vocabulary with this id, as `tokenizer.json` writes it.
    pub fn token(&self, id: TokenId) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The content of `tokenizer.json`: what two tokenizers must share to be one.
    pub fn json(&self) -> &str {
        self.files.get(TOKENIZER).map_or("", String::as_str)
    }

    /// How a conversation is put to this model, if it came with a chat template.
    pub fn chat(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }
}

#[cfg(test)]
mod tests;
