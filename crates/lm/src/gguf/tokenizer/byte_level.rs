//! Byte-level BPE (`tokenizer.ggml.model` = `gpt2`).

use serde_json::{Value as Json, json};

use super::{Reason, Vocabulary, flag, list, merges, post_processor};
use crate::gguf::header::Header;

/// How text is cut and normalised before merging, by the names that `tokenizer.ggml.pre` has for it.
struct Way {
    names: &'static [&'static str],
    cut: Cut,
    /// Whether text is brought to Unicode's composed form (NFC) first.
    composes: bool,
    /// Whether a word that is a token is taken whole, whatever the merges say.
    ignores_merges: bool,
    /// Whether a text begins with the beginning token when the file does not say.
    bos: bool,
}

enum Cut {
    /// At digits, and then as GPT-2 does.
    Digits,
    /// As GPT-2 does: the library knows how.
    Gpt2,
    /// Into what this matches and what lies between.
    Pattern(&'static str),
}

/// Each as the `tokenizer.json` of the models that are converted under the name has it: GPT-2; Llama 3; Qwen 2 and 2.5;
/// SmolLM and SmolLM 2; Mistral NeMo. Other names stand for several models that differ, or for ones not looked at.
const WAYS: [Way; 5] = [
    Way { names: &["gpt-2"], cut: Cut::Gpt2, composes: false, ignores_merges: false, bos: false },
    Way {
        names: &["llama-bpe", "llama3", "llama-v3"],
        cut: Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: false,
        ignores_merges: true,
        bos: true,
    },
    Way {
        names: &["qwen2"],
        cut: Cut::Pattern(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: true,
        ignores_merges: false,
        bos: false,
    },
    Way { names: &["smollm"], cut: Cut::Digits, composes: false, ignores_merges: false, bos: false },
    Way {
        names: &["tekken"],
        cut: Cut::Pattern(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        composes: false,
        ignores_merges: true,
        bos: true,
    },
];

fn way(pre: &str) -> Option<&'static Way> {
    WAYS.iter().find(|way| way.names.contains(&pre))
}

/// Whether texts begin with the beginning token under this name, when the file does not say.
pub(super) fn begins_with_bos(pre: &str) -> bool {
    way(pre).is_some_and(|way| way.bos)
}

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
