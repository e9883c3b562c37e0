//! The tokenizer inside a GGUF, written down as the `tokenizer.json` it was converted from.
//!
//! A GGUF has the vocabulary and, for byte-level tokenizers, the merges; of how text is cut and normalised before it has only a
//! name (`tokenizer.ggml.pre`). Only where that name stands for exactly one way is the tokenizer rebuilt.

mod byte_level;
mod ends;
mod sentence_pieces;
mod vocabulary;
mod ways;

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::config::token_ids;
use super::header::Header;
use super::metadata::Value;
use crate::directory::{CHAT_JINJA, SETTINGS, TOKENIZER};
use ends::{adds_bos, token_text};
use vocabulary::{Reason, Vocabulary, flag};

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
