//! Byte-level BPE (`tokenizer.ggml.model` = `gpt2`).

use serde_json::{Value as Json, json};

use super::ends::post_processor;
use super::vocabulary::{Reason, Vocabulary, flag, list, merges};
use super::ways::{Cut, way};
use crate::gguf::header::Header;

/// The content of `tokenizer.json`.
pub(super) fn json(header: &Header, vocabulary: &Vocabulary<'_>) -> Result<Json, Reason> {
    let key = "tokenizer.ggml.pre";
    let Some(pre) = header.metadata.get(key) else { return Err(format!("{key} is missing")) };
    let Some(way) = pre.as_text().and_then(way) else { return Err(format!("{key} = {pre}")) };
    if flag(header, "add_space_prefix")? == Some(true) {
        return Err("tokenizer.ggml.add_space_prefix = true".into());
    }
    let bytes =
        |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
    let after = |first: Json, use_regex| json!({ "type": "Sequence", "pretokenizers": [first, bytes(use_regex)] });
    let pre_tokenizer = match way.cut {
        Cut::Gpt2 => bytes(true),
        Cut::Digits => after(json!({ "type": "Digits", "individual_digits": true }), true),
        Cut::Pattern(regex) => {
            after(json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false }), false)
        }
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(str::to_string),
        "normalizer": if way.composes { json!({ "type": "NFC" }) } else { Json::Null },
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(header),
        "decoder": bytes(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": way.ignores_merges,
            "vocab": vocabulary.vocab(str::to_string)?,
            "merges": merges(list(header, "merges")?)?,
        },
    }))
}
