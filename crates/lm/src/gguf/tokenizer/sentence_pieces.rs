//! SentencePiece's BPE (`tokenizer.ggml.model` = `llama`), as transformers converts it for Llama 1 and 2: after a token that is
//! looked for in the text, as after a special one, words begin again with a blank, which llama.cpp does too.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::ends::post_processor;
use super::vocabulary::{Kind, Reason, Vocabulary, flag, list, merges};
use crate::gguf::header::Header;

/// What SentencePiece writes for a blank.
const BLANK: &str = "▁";

/// Pieces beyond this are refused, in bytes: all ways to cut one in two are tried.
const LONGEST_PIECE: usize = 256;

/// Pairs beyond this are refused: a vocabulary of 128 thousand pieces has about a million.
const MOST_PAIRS: usize = 1 << 22;

/// The content of `tokenizer.json`.
pub(super) fn json(header: &Header, vocabulary: &Vocabulary<'_>) -> Result<Json, Reason> {
    let merges = match header.metadata.get("tokenizer.ggml.merges") {
        Some(_) => merges(list(header, "merges")?)?,
        None => merges_by_score(header, vocabulary)?,
    };
    // old converters wrote blanks in user-defined tokens as in pieces
    let spell = |text: &str| text.replace(BLANK, " ");
    let prefix = flag(header, "add_space_prefix")?.unwrap_or(true);
    let replace = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    let mut normalizers = vec![replace(" ", BLANK)];
    let mut decoders = vec![replace(BLANK, " "), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": BLANK }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let bytes = vocabulary.used().filter(|(.., kind)| *kind == Kind::Byte).count();
    let unknown = vocabulary.used().find(|(.., kind)| *kind == Kind::Unknown).map(|(_, text, _)| text);
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(spell),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": post_processor(header),
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": bytes == 256,
            "ignore_merges": false,
            "vocab": vocabulary.vocab(spell)?,
            "merges": merges,
        },
    }))
}

/// A pair of pieces that becomes one, and what decides which pair is taken first.
struct Merge<'a> {
    /// The piece that it makes.
    whole: usize,
    score: f64,
    /// Characters of both parts.
    lengths: (usize, usize),
    parts: (&'a str, &'a str),
}

/// Every pair of pieces whose concatenation is a piece, that of the highest score first; among equals longer first parts, as
/// transformers' `generate_merges` has it.
fn merges_by_score(header: &Header, vocabulary: &Vocabulary<'_>) -> Result<Json, Reason> {
    let scores = list(header, "scores")?;
    if scores.len() != vocabulary.tokens.len() {
        return Err(format!("it has {} tokens, but {} of tokenizer.ggml.scores", vocabulary.tokens.len(), scores.len()));
    }
    let pieces: Vec<(usize, &str)> =
        vocabulary.used().filter(|(.., kind)| *kind == Kind::Normal).map(|(id, text, _)| (id, text)).collect();
    let ids: HashMap<&str, usize> = pieces.iter().map(|(id, text)| (*text, *id)).collect();
    let mut all = Vec::new();
    for (id, whole) in &pieces {
        let score = scores[*id].as_number().filter(|score| score.is_finite());
        let Some(score) = score else { return Err(format!("token {id} has the score {}", scores[*id])) };
        if whole.len() > LONGEST_PIECE {
            return Err(format!("token {id} is {} bytes long", whole.len()));
        }
        let mut own: Vec<((usize, usize), Merge<'_>)> = Vec::new();
        for (n, (at, _)) in whole.char_indices().enumerate().skip(1) {
            let (left, right) = whole.split_at(at);
            if let (Some(a), Some(b)) = (ids.get(left), ids.get(right)) {
                let lengths = (n, right.chars().count());
                own.push(((*a, *b), Merge { whole: *id, score, lengths, parts: (left, right) }));
            }
        }
        own.sort_by_key(|(ids, _)| *ids);
        all.extend(own.into_iter().map(|(_, merge)| merge));
        if all.len() > MOST_PAIRS {
            return Err(format!("more than {MOST_PAIRS} pairs of tokens make a token"));
        }
    }
    // some converters write one score for all, in which no order is left
    if let Some(first) = all.first()
        && all.iter().all(|merge| merge.score == first.score)
        && all.iter().any(|merge| merge.whole != first.whole)
    {
        return Err("its tokenizer.ggml.scores are all the same".into());
    }
    let by_score = |a: &Merge<'_>, b: &Merge<'_>| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
    all.sort_by(|a, b| by_score(a, b).then_with(|| b.lengths.cmp(&a.lengths)));
    Ok(all.into_iter().map(|merge| json!([merge.parts.0, merge.parts.1])).collect())
}
