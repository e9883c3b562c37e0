//! The tokenizer inside a GGUF, written down as the `tokenizer.json` it was converted from.
//!
//! A GGUF has the vocabulary and, for byte-level tokenizers, the merges; of how text is cut and normalised before it has only a
//! name (`tokenizer.ggml.pre`). Only where that name stands for exactly one way is the tokenizer rebuilt.

mod byte_level;
mod sentence_pieces;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::config::token_ids;
use super::header::Header;
use super::metadata::Value;
use crate::tokenizer::{CHAT_JINJA, SETTINGS, TOKENIZER};

/// Keys about the tokenizer that change nothing here, beside those that end in `_token_id`: what they say is read elsewhere,
/// follows from the rest, or concerns other uses of the model.
const HARMLESS: [&str; 14] = [
    "model",
    "pre",
    "tokens",
    "scores",
    "token_type",
    "token_type_count",
    "merges",
    "added_tokens",
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "precompiled_charsmap",
];

/// What a token is, as `tokenizer.ggml.token_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// Tokens by id, with what each is.
struct Vocabulary<'a> {
    tokens: Vec<(&'a str, Kind)>,
}

/// Why a tokenizer is not rebuilt, in a few words (`tokenizer.ggml.pre = "x"`).
type Reason = String;

/// Whether the file has a tokenizer at all.
pub(super) fn is_there(header: &Header) -> bool {
    let model = header.metadata.text("tokenizer.ggml.model");
    header.metadata.get(WHOLE).is_some() || model.is_some_and(|model| !["none", "no_vocab"].contains(&model))
}

/// The whole `tokenizer.json`, where a converter has kept it.
const WHOLE: &str = "tokenizer.huggingface.json";

/// Files of a model directory: `tokenizer.json`, `tokenizer_config.json` and, if there is one, the chat template.
pub(super) fn files(header: &Header) -> Result<BTreeMap<&'static str, String>, Reason> {
    let mut files = settings(header);
    files.insert(TOKENIZER, tokenizer_json(header)?);
    Ok(files)
}

/// The same without `tokenizer.json`: what the file says about a tokenizer that lies beside it.
pub(super) fn settings(header: &Header) -> BTreeMap<&'static str, String> {
    let mut files = BTreeMap::from([(SETTINGS, format!("{:#}\n", settings_json(header)))]);
    if let Some(template) = header.metadata.text("tokenizer.chat_template") {
        files.insert(CHAT_JINJA, template.to_string());
    }
    files
}

fn settings_json(header: &Header) -> Json {
    let mut settings = json!({
        "add_bos_token": adds_bos(header),
        "add_eos_token": flag(header, "add_eos_token").ok().flatten().unwrap_or(false),
        "clean_up_tokenization_spaces": false,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    for (role, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
        if let Some(text) = token_text(header, key) {
            settings[format!("{role}_token")] = text.into();
        }
    }
    let architecture = header.metadata.text("general.architecture").unwrap_or_default();
    if let Some(context) = header.metadata.get(&format!("{architecture}.context_length")).and_then(Value::as_count) {
        settings["model_max_length"] = context.into();
    }
    settings
}

/// The text of the token that `tokenizer.ggml.ROLE_token_id` names.
fn token_text<'a>(header: &'a Header, role: &str) -> Option<&'a str> {
    let id = header.metadata.get(&format!("tokenizer.ggml.{role}_token_id"))?.as_count()?;
    let tokens = header.metadata.get("tokenizer.ggml.tokens")?.as_list()?;
    tokens.get(usize::try_from(id).ok()?)?.as_text()
}

fn flag(header: &Header, key: &str) -> Result<Option<bool>, Reason> {
    let full = format!("tokenizer.ggml.{key}");
    let Some(value) = header.metadata.get(&full) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| format!("{full} = {value}"))
}

/// Whether the beginning token is put before a text. What is so when the file does not say is llama.cpp's rule.
fn adds_bos(header: &Header) -> bool {
    let usual = match header.metadata.text("tokenizer.ggml.model") {
        Some("llama") => true,
        Some("gpt2") => header.metadata.text("tokenizer.ggml.pre").is_some_and(byte_level::begins_with_bos),
        _ => false,
    };
    flag(header, "add_bos_token").ok().flatten().unwrap_or(usual)
}

fn tokenizer_json(header: &Header) -> Result<String, Reason> {
    let metadata = &header.metadata;
    if let Some(whole) = metadata.text(WHOLE) {
        return Ok(whole.to_string());
    }
    token_ids(header).map_err(|error| format!("{} = {}", error.key, error.value))?;
    for key in ["add_bos_token", "add_eos_token", "add_space_prefix"] {
        flag(header, key)?;
    }
    for (key, value) in metadata.under("tokenizer.ggml.") {
        let name = key.strip_prefix("tokenizer.ggml.").unwrap_or(key);
        let off = match value {
            Value::Bool(on) => !on,
            Value::List(list) => list.is_empty(),
            _ => false,
        };
        let changes = ["remove_extra_whitespaces", "precompiled_charsmap", "add_sep_token", "added_tokens"].contains(&name);
        if !off && (changes || !(HARMLESS.contains(&name) || name.ends_with("_token_id"))) {
            return Err(format!("{} = {value}", super::source::shown(key)));
        }
    }
    let model = metadata.get("tokenizer.ggml.model");
    let json = match model.and_then(Value::as_text) {
        Some("gpt2") => byte_level::json(header, &Vocabulary::of(header)?)?,
        Some("llama") => sentence_pieces::json(header, &Vocabulary::of(header)?)?,
        _ => return Err(model.map_or("it has none".into(), |model| format!("tokenizer.ggml.model = {model}"))),
    };
    Ok(json.to_string())
}

impl<'a> Vocabulary<'a> {
    fn of(header: &'a Header) -> Result<Self, Reason> {
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
                return Err(format!("tokens {other} and {id} are both \"{}\"", super::source::shown(text)));
            }
            all.push((text, kind));
        }
        Ok(Self { tokens: all })
    }

    /// Tokens that are used, with their ids.
    fn used(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        let all = self.tokens.iter().enumerate().filter(|(_, (_, kind))| *kind != Kind::Unused);
        all.map(|(id, (text, kind))| (id, *text, *kind))
    }

    /// `vocab` of a tokenizer's model. Tokens that stand for no text of their own are here too, so that ids are told by the file
    /// and do not follow from an order; the library looks up an added token by its text, so `spell` gives that of one here too.
    fn vocab(&self, spell: impl Fn(&str) -> String) -> Result<Json, Reason> {
        let mut ids = serde_json::Map::new();
        for (id, text, kind) in self.used() {
            let text = if kind == Kind::UserDefined { spell(text) } else { text.to_string() };
            let shown = super::source::shown(&text);
            if let Some(other) = ids.insert(text, json!(id)) {
                return Err(format!("tokens {other} and {id} are both \"{shown}\""));
            }
        }
        Ok(ids.into())
    }

    /// `added_tokens`: what is found in a text before it is cut; control tokens are special. `spell` gives the text of one.
    fn added(&self, spell: impl Fn(&str) -> String) -> Json {
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
fn list<'a>(header: &'a Header, key: &str) -> Result<&'a [Value], Reason> {
    let full = format!("tokenizer.ggml.{key}");
    match header.metadata.get(&full) {
        None => Err(format!("{full} is missing")),
        Some(value) => value.as_list().ok_or_else(|| format!("{full} = {value}")),
    }
}

/// `merges`, written as `left right` in the file, as pairs.
fn merges(list: &[Value]) -> Result<Json, Reason> {
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

/// `post_processor`: puts beginning and end around a text, as far as they are asked for; or null.
fn post_processor(header: &Header) -> Json {
    let id = |role: &str| header.metadata.get(&format!("tokenizer.ggml.{role}_token_id")).and_then(Value::as_count);
    let role = |role: &str, asked: bool| id(role).zip(token_text(header, role)).filter(|_| asked);
    let bos = role("bos", adds_bos(header));
    let eos = role("eos", flag(header, "add_eos_token").ok().flatten().unwrap_or(false));
    if bos.is_none() && eos.is_none() {
        return Json::Null;
    }
    let around = |name: &str, type_id: u32| -> Vec<Json> {
        let special = |(_, text): (u64, &str)| json!({ "SpecialToken": { "id": text, "type_id": type_id } });
        let text = json!({ "Sequence": { "id": name, "type_id": type_id } });
        bos.map(special).into_iter().chain([text]).chain(eos.map(special)).collect()
    };
    let pair = [around("A", 0), around("B", 1)].concat();
    let special = |(id, text): (u64, &str)| (text.to_string(), json!({ "id": text, "ids": [id], "tokens": [text] }));
    let specials: serde_json::Map<_, _> = bos.into_iter().chain(eos).map(special).collect();
    json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": specials,
    })
}
