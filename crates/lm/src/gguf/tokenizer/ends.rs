//! The tokens that a tokenizer puts before and after a text.

use serde_json::{Value as Json, json};

use super::vocabulary::flag;
use super::ways::begins_with_bos;
use crate::gguf::header::Header;
use crate::gguf::metadata::Value;

/// The text of the token that `tokenizer.ggml.ROLE_token_id` names.
pub(super) fn token_text<'a>(header: &'a Header, role: &str) -> Option<&'a str> {
    let id = header.metadata.get(&format!("tokenizer.ggml.{role}_token_id"))?.as_count()?;
    let tokens = header.metadata.get("tokenizer.ggml.tokens")?.as_list()?;
    tokens.get(usize::try_from(id).ok()?)?.as_text()
}

/// Whether the beginning token is put before a text. What is so when the file does not say is llama.cpp's rule.
pub(super) fn adds_bos(header: &Header) -> bool {
    let usual = match header.metadata.text("tokenizer.ggml.model") {
        Some("llama") => true,
        Some("gpt2") => header.metadata.text("tokenizer.ggml.pre").is_some_and(begins_with_bos),
        _ => false,
    };
    flag(header, "add_bos_token").ok().flatten().unwrap_or(usual)
}

/// `post_processor`: puts beginning and end around a text, as far as they are asked for; or null.
pub(super) fn post_processor(header: &Header) -> Json {
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
