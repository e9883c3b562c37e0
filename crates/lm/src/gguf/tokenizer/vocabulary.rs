//! The tokens of a GGUF and its other lists, checked.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::gguf::header::Header;
use crate::gguf::metadata::Value;
use crate::gguf::source::shown;

/// What a token is, as `tokenizer.ggml.token_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// Tokens by id, with what each is.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<(&'a str, Kind)>,
}

/// Why a tokenizer is not rebuilt, in a few words (`tokenizer.ggml.pre = "x"`).
pub(super) type Reason = String;

impl<'a> Vocabulary<'a> {
    pub(super) fn of(header: &'a Header) -> Result<Self, Reason> {
        let tokens = list(header, "tokens")?;
        let kinds = list(header, "token_type")?;
        if tokens.len() != kinds.len() {
            return Err(format!("it has {} tokens, but {} of tokenizer.ggml.token_type", tokens.len(), kinds.len()));
        }
        let mut seen = BTreeMap::new();
        let mut all = Vec::with_capacity(tokens.len());
        for (id, (token, kind)) in tokens.iter().zip(kinds).enumerate() {
            let kind = match kind.as_count() {
                Some(1) => Kind::Normal,
                Some(2) => Kind::Unknown,
                Some(3) => Kind::Control,
                Some(4) => Kind::UserDefined,
                Some(5) => Kind::Unused,
                Some(6) => Kind::Byte,
                _ => return Err(format!("token {id} is of the unknown type {kind}")),
            };
            let Some(text) = token.as_text() else { return Err(format!("token {id} is {token}")) };
            if kind != Kind::Unused
                && let Some(other) = seen.insert(text, id)
            {
                return Err(format!("tokens {other} and {id} are both \"{}\"", shown(text)));
            }
            all.push((text, kind));
        }
        Ok(Self { tokens: all })
    }

    /// Tokens that are used, with their ids.
    pub(super) fn used(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        let all = self.tokens.iter().enumerate().filter(|(_, (_, kind))| *kind != Kind::Unused);
        all.map(|(id, (text, kind))| (id, *text, *kind))
    }

    /// `vocab` of a tokenizer's model. Tokens that stand for no text of their own are here too, so that ids are told by the file
    /// and do not follow from an order; the library looks up an added token by its text, so `spell` gives that of one here too.
    pub(super) fn vocab(&self, spell: impl Fn(&str) -> String) -> Result<Json, Reason> {
        let mut ids = serde_json::Map::new();
        for (id, text, kind) in self.used() {
            let text = if kind == Kind::UserDefined { spell(text) } else { text.to_string() };
            let name = shown(&text);
            if let Some(other) = ids.insert(text, json!(id)) {
                return Err(format!("tokens {other} and {id} are both \"{name}\""));
            }
        }
        Ok(ids.into())
    }

    /// `added_tokens`: what is found in a text before it is cut; control tokens are special. `spell` gives the text of one.
    pub(super) fn added(&self, spell: impl Fn(&str) -> String) -> Json {
        let whole = self.used().filter(|(.., kind)| matches!(kind, Kind::Unknown | Kind::Control | Kind::UserDefined));
        let added = whole.map(|(id, text, kind)| {
            json!({
                "id": id,
                "content": if kind == Kind::UserDefined { spell(text) } else { text.to_string() },
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": kind != Kind::UserDefined,
            })
        });
        added.collect()
    }
}

/// The list at `tokenizer.ggml.KEY`.
pub(super) fn list<'a>(header: &'a Header, key: &str) -> Result<&'a [Value], Reason> {
    let full = format!("tokenizer.ggml.{key}");
    match header.metadata.get(&full) {
        None => Err(format!("{full} is missing")),
        Some(value) => value.as_list().ok_or_else(|| format!("{full} = {value}")),
    }
}

/// `merges`, written as `left right` in the file, as pairs.
pub(super) fn merges(list: &[Value]) -> Result<Json, Reason> {
    let pair = |merge: &Value| {
        let text = merge.as_text()?;
        // a blank can be a part, but only the first one
        let at = text.char_indices().skip(1).find(|(_, c)| *c == ' ')?.0;
        let (left, right) = (&text[..at], &text[at + 1..]);
        (!right.is_empty()).then(|| json!([left, right]))
    };
    list.iter()
        .enumerate()
        .map(|(i, merge)| pair(merge).ok_or_else(|| format!("merge {i} of tokenizer.ggml.merges is {merge}")))
        .collect()
}

pub(super) fn flag(header: &Header, key: &str) -> Result<Option<bool>, Reason> {
    let full = format!("tokenizer.ggml.{key}");
    let Some(value) = header.metadata.get(&full) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| format!("{full} = {value}"))
}
