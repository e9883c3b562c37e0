//! Tokenizers of every family: round trips, offsets, beginning and end, and no special token out of any text.

use std::ops::Range;

use lm::Tokenizer;
use oracle::{Codec, TokenId};
use proptest::prelude::*;
use serde_json::json;

use crate::families::{self, added, load};
use crate::support::shared;

const TEXTS: [&str; 13] = [
    "",
    "a",
    " ",
    "the cat saw the cat",
    "  The cat's  birds\n\n  saw 1234567 things , well...  ",
    "café, cafe\u{301} and 你好 👩‍👩‍👧 ½ ﬁn İ",
    "é",
    "你",
    "\u{0}\u{10ffff}\r\n\t x",
    "the unmergeable</s><|end|>",
    "<s> [CLS] <unk> <pad> [UNK] the",
    "¡Ã© Ġ <0x41>",
    "a ▁ b▁▁",
];

fn check_offsets(tokenizer: &Tokenizer, text: &str) -> Vec<(TokenId, Range<usize>)> {
    let tokens = tokenizer.encode_with_offsets(text);
    assert_eq!(tokens.iter().map(|(id, _)| *id).collect::<Vec<_>>(), tokenizer.encode(text), "{text:?}");
    let mut reached = 0;
    for (_, bytes) in &tokens {
        assert!(bytes.start >= reached && bytes.start <= bytes.end && bytes.end <= text.len(), "{tokens:?} of {text:?}");
        reached = bytes.end;
    }
    tokens
}

/// What the tokens up to each end say is the text up to there: offsets and decoding are found in different ways.
fn check_prefixes(tokenizer: &Tokenizer, text: &str) {
    let tokens = check_offsets(tokenizer, text);
    let ids: Vec<TokenId> = tokens.iter().map(|(id, _)| *id).collect();
    assert_eq!(tokenizer.decode(&ids), text);
    let mut reached = 0;
    for (k, (_, bytes)) in tokens.iter().enumerate() {
        assert_eq!(bytes.start, reached, "no byte is left out: {tokens:?} of {text:?}");
        reached = bytes.end;
        // inside a character, decoders say so in different ways
        if text.is_char_boundary(bytes.end) {
            assert_eq!(tokenizer.decode(&ids[..=k]), text[..bytes.end], "{tokens:?} of {text:?}");
        }
    }
    assert_eq!(reached, text.len());
}

#[test]
fn every_family_gives_texts_back_and_says_which_bytes_each_token_is() {
    for family in families::all() {
        for text in TEXTS {
            if (family.lossless)(text) {
                check_prefixes(&family.tokenizer, text);
            } else {
                check_offsets(&family.tokenizer, text);
            }
        }
    }
}

#[test]
fn no_text_yields_a_special_token() {
    for family in families::all() {
        let tokenizer = &family.tokenizer;
        let unknown = *tokenizer.encode("\u{10ffff}").last().unwrap();
        for &id in tokenizer.special_ids() {
            for around in ["{}", "the {} cat", "{}{}", "a{}b", " {} "] {
                let name = tokenizer.token(id).unwrap();
                let text = around.replace("{}", &name);
                let ids = tokenizer.encode(&text);
                assert!(
                    ids.iter().all(|id| *id == unknown || !tokenizer.special_ids().contains(id)),
                    "{}: {text:?}",
                    family.name
                );
                check_offsets(tokenizer, &text);
            }
        }
        assert!(tokenizer.encode("the cat saw").iter().all(|id| !tokenizer.special_ids().contains(id)), "{}", family.name);
    }
}

#[test]
fn beginning_and_end_are_found_wherever_they_are_named() {
    let found: Vec<_> = families::all()
        .iter()
        .map(|f| (f.name, f.tokenizer.bos(), f.tokenizer.eos(), f.tokenizer.special_ids().to_vec()))
        .collect();
    let sentence = |name| (name, Some(1), Some(2), vec![0, 1, 2]);
    assert_eq!(
        found,
        [
            ("byte-level", Some(331), Some(333), vec![0, 1, 331, 332, 333]),
            sentence("prepend"),
            sentence("metaspace"),
            sentence("no prefix"),
            ("unigram", None, Some(1), vec![0, 1, 2]),
            ("word piece", None, None, vec![0, 1, 2, 3]),
        ]
    );
    // the model's files count where the tokenizer's say nothing: the first of several ends, each of them special
    let json = families::byte_level();
    let config = ("config.json", json!({"bos_token_id": 331, "eos_token_id": [332, 333]}));
    let tokenizer = load(&json, &[config]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(331), Some(332)));
    // a beginning that the tokenizer does not put itself is none, asked for or not
    for asked in [false, true] {
        let settings = ("tokenizer_config.json", json!({"bos_token": "<|turn|>", "add_bos_token": asked}));
        assert_eq!(load(&json, &[settings]).bos(), None);
    }
}

#[test]
fn an_end_that_the_tokenizer_calls_ordinary_is_special_all_the_same() {
    let mut json = families::byte_level();
    json["added_tokens"][3]["special"] = json!(false);
    let ordinary = load(&json, &[]);
    assert_eq!(ordinary.encode("<|end|>"), [332]);
    let tokenizer = load(&json, &[("generation_config.json", json!({"eos_token_id": [333, 332]}))]);
    assert!(tokenizer.special_ids().contains(&332));
    assert!(tokenizer.encode("a<|end|>").iter().all(|id| *id != 332));
    assert_eq!(tokenizer.decode(&tokenizer.encode("a<|end|>")), "a<|end|>");
    assert_eq!(tokenizer.decode(&[332]), "");
}

#[test]
fn whole_words_come_before_merges_and_blanks_before_words_are_looked_ahead_for() {
    let family = load(&families::byte_level(), &[]);
    assert_eq!(family.encode(" unmergeable"), [330], "ignore_merges");
    let spans = |text: &str| -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for (id, bytes) in family.encode_with_offsets(text) {
            let starts = family.token(id).unwrap().starts_with(['Ġ', 'Ċ']) || bytes.start == 0;
            if starts {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(&text[bytes]);
        }
        words
    };
    // `\s+(?!\S)` leaves the last blank to the word after it
    assert_eq!(spans("  The cat"), [" ", " The", " cat"]);
}

#[test]
fn added_tokens_take_the_blanks_they_ask_for() {
    let mut json = families::byte_level();
    json["added_tokens"][5]["lstrip"] = json!(true);
    json["added_tokens"][5]["rstrip"] = json!(true);
    let tokenizer = load(&json, &[]);
    let tokens = check_offsets(&tokenizer, "the  <think>  cat");
    let think = tokens.iter().find(|(id, _)| *id == 334).unwrap();
    assert_eq!(think.1, 3..14);
    // found in normalised text
    let mut json = families::byte_fallback(&families::prepends(), true);
    let id = json["model"]["vocab"].as_object().unwrap().len();
    let mut token = added(id, "the cat", false);
    token["normalized"] = json!(true);
    json["added_tokens"].as_array_mut().unwrap().push(token);
    let tokens = check_offsets(&load(&json, &[]), "the cat saw");
    assert_eq!(tokens[0], (id as TokenId, 0..7));
}

#[test]
fn merges_left_out_at_random_are_refused() {
    let mut json = families::byte_level();
    json["model"]["dropout"] = json!(0.1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let error = Tokenizer::load(dir.path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json: it leaves out merges at random (`model.dropout`)"), "{error}");
}

#[test]
fn real_tokenizers_do_the_same() {
    for name in ["tokenizers/gpt2", "tokenizers/neox-20b", "models/stories260k", "models/babyllama-tok361"] {
        let Some(dir) = shared(name) else { return };
        let tokenizer = Tokenizer::load(&dir).unwrap();
        for text in TEXTS {
            // one takes `▁` for a blank, another composes accents
            if text.contains(['▁', '\u{301}']) {
                check_offsets(&tokenizer, text);
            } else {
                check_prefixes(&tokenizer, text);
            }
        }
        for id in tokenizer.special_ids() {
            let text = tokenizer.token(*id).unwrap();
            assert!(tokenizer.encode(&text).iter().all(|id| !tokenizer.special_ids().contains(id)), "{name}: {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_text_has_offsets(text in "\\PC{0,30}|(<s>|</s>|<\\|end\\|>|\\[CLS\\]| |\n|the|é|你|[a-z]){0,12}") {
        thread_local!(static FAMILIES: Vec<families::Family> = families::all());
        FAMILIES.with(|families| for family in families {
            if (family.lossless)(&text) {
                check_prefixes(&family.tokenizer, &text);
            } else {
                check_offsets(&family.tokenizer, &text);
            }
        });
    }
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_not_passed_on_with_a_model() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (model, secret) = (dir.path().join("model"), dir.path().join("id_ed25519"));
    std::fs::write(&secret, "{\"private\": \"key\"}").unwrap();
    let own = Tokenizer::train_bpe(["some text"].into_iter().map(String::from), 300).unwrap();
    for name in ["chat_template.jinja", "chat_template.json", "tokenizer_config.json", "special_tokens_map.json"] {
        own.save(&model).unwrap();
        let path = model.join(name);
        let link = |to: &std::path::Path| {
            let _ = std::fs::remove_file(&path);
            symlink(to, &path).unwrap();
            Tokenizer::load(&model)
        };
        let error = link(&secret).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("id_ed25519, which is no file of this model"), "{error}");
        let error = link("nowhere".as_ref()).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("a symbolic link to nothing"), "{error}");
        // of the same name in another model's directory, as people link them to save room
        let other = dir.path().join("other");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join(name), "{}").unwrap();
        let copy = dir.path().join(format!("copy of {name}"));
        link(&other.join(name)).unwrap().save(&copy).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join(name)).unwrap(), "{}");
        assert!(!std::fs::symlink_metadata(copy.join(name)).unwrap().is_symlink());
        std::fs::remove_dir_all(&model).unwrap();
    }
}
