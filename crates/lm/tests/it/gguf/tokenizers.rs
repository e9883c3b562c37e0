//! Tokenizers inside GGUF files: the ids that their own libraries give.

use lm::gguf::Value;
use lm::{ChatMessage, ChatOptions, Tokenizer};
use oracle::{Codec as _, TokenId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::write::{Parts, fixture};

const VOCABULARIES: [&str; 6] = ["gpt-2", "llama-bpe", "qwen2", "smollm", "tekken", "sentence-pieces"];

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<TokenId>,
}

#[test]
fn rebuilt_tokenizers_give_the_ids_of_the_originals() {
    for name in VOCABULARIES {
        let tokenizer = Tokenizer::load(&fixture(&format!("tokenizer-{name}.gguf"))).unwrap();
        let expected = std::fs::read_to_string(fixture(&format!("tokenizer-{name}.json"))).unwrap();
        let expected: Vec<Expected> = serde_json::from_str(&expected).unwrap();
        assert!(expected.len() > 30);
        for Expected { text, ids } in expected {
            if name == "sentence-pieces" && text.contains("<tool>") {
                // after a token that is looked for in the text, transformers and llama.cpp put a blank, SentencePiece does not
                assert_ne!(tokenizer.encode(&text), ids);
                continue;
            }
            assert_eq!(tokenizer.encode(&text), ids, "{name}: {text:?}");
            // NFC changes a text, and SentencePiece's own sign for a blank comes back as one
            let changed = name == "qwen2" || text.contains('▁') && name == "sentence-pieces";
            assert!(changed || tokenizer.decode(&ids) == text, "{name}: {text:?}");
        }
        assert!(tokenizer.token(tokenizer.max_id()).is_some());
    }
}

#[test]
fn beginning_and_end_are_those_of_the_file() {
    let begins = |name: &str, change: &dyn Fn(Parts) -> Parts| {
        let (_dir, path) = change(Parts::read(&format!("tokenizer-{name}.gguf"))).save();
        let tokenizer = Tokenizer::load(&path).unwrap();
        assert!(tokenizer.eos().is_some());
        tokenizer.bos().is_some()
    };
    let asis = |parts: Parts| parts;
    for (name, bos) in VOCABULARIES.into_iter().zip([false, true, false, false, true, true]) {
        assert_eq!(begins(name, &asis), bos, "{name}");
        for asked in [false, true] {
            assert_eq!(begins(name, &|parts| parts.with("tokenizer.ggml.add_bos_token", Value::Bool(asked))), asked, "{name}");
        }
        let tokenizer = Tokenizer::load(&fixture(&format!("tokenizer-{name}.gguf"))).unwrap();
        let first = tokenizer.encode_document("a")[0];
        assert_eq!(tokenizer.special_ids().contains(&first), bos, "{name}");
    }
    let (_dir, path) = Parts::read("tokenizer-qwen2.gguf").with("tokenizer.ggml.add_eos_token", Value::Bool(true)).save();
    let json: Json = serde_json::from_str(Tokenizer::load(&path).unwrap().json()).unwrap();
    assert_eq!(json["post_processor"]["single"][1]["SpecialToken"]["id"], "<|end|>");
}

#[test]
fn chat_templates_come_along() {
    let tokenizer = Tokenizer::load(&fixture("tokenizer-qwen2.gguf")).unwrap();
    let message = [ChatMessage::user("the <|end|> of it")];
    let options = ChatOptions { add_generation_prompt: true, ..ChatOptions::default() };
    let text = tokenizer.render_chat(&message, &options).unwrap();
    assert_eq!(text, "<|begin|>user\nthe <|end|> of it<|end|>\n<|begin|>assistant\n");
    let ids = tokenizer.encode_chat(&message, &options).unwrap();
    let end = tokenizer.eos().unwrap();
    assert_eq!(ids.iter().filter(|id| **id == end).count(), 1, "what a message says is text");
}

#[test]
fn a_prefix_is_left_out_where_the_file_says_so() {
    let parts = Parts::read("tokenizer-sentence-pieces.gguf").with("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    let (_dir, path) = parts.save();
    let without = Tokenizer::load(&path).unwrap();
    let with = Tokenizer::load(&fixture("tokenizer-sentence-pieces.gguf")).unwrap();
    assert_eq!(without.encode(" the miller"), with.encode("the miller"));
    assert_eq!(without.decode(&without.encode(" the miller")), " the miller");
}

#[test]
fn a_token_of_blanks_keeps_its_id_however_it_is_written() {
    let parts = Parts::read("tokenizer-sentence-pieces.gguf");
    let list = |key: &str| match parts.keys.iter().find(|(name, _)| name == key) {
        Some((_, Value::List(list))) => list.clone(),
        _ => panic!("{key} is a list"),
    };
    let mut tokens = list("tokenizer.ggml.tokens");
    let id = tokens.iter().position(|token| matches!(token, Value::Text(text) if text == "<tool>")).unwrap();
    for written in ["\u{2581}\u{2581}\u{2581}", "   "] {
        tokens[id] = Value::Text(written.into());
        let (_dir, path) = parts.clone().with("tokenizer.ggml.tokens", Value::List(tokens.clone())).save();
        let tokenizer = Tokenizer::load(&path).unwrap();
        let ids = tokenizer.encode("the   miller");
        assert!(ids.contains(&(id as u32)), "{written:?}: {id} in {ids:?}");
        assert_eq!(tokenizer.max_id() as usize + 1, tokens.len());
    }
}

#[test]
fn merges_in_the_file_are_taken_before_scores() {
    let scored = Tokenizer::load(&fixture("tokenizer-sentence-pieces.gguf")).unwrap();
    let json: Json = serde_json::from_str(scored.json()).unwrap();
    let merges = json["model"]["merges"].as_array().unwrap().iter();
    let merges = merges.map(|pair| Value::Text(format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())));
    let parts = Parts::read("tokenizer-sentence-pieces.gguf").with("tokenizer.ggml.merges", Value::List(merges.collect()));
    let (_dir, path) = parts.with("tokenizer.ggml.scores", None).save();
    assert_eq!(Tokenizer::load(&path).unwrap().json(), scored.json());
}

#[test]
fn a_whole_tokenizer_inside_is_taken_as_it_is() {
    let own = Tokenizer::train_bpe(["some text"].into_iter().map(String::from), 300).unwrap();
    let parts = Parts::read("tokenizer-qwen2.gguf").with("tokenizer.huggingface.json", Value::Text(own.json().into()));
    let (_dir, path) = parts.with("tokenizer.ggml.pre", Value::Text("unheard of".into())).save();
    assert_eq!(Tokenizer::load(&path).unwrap().json(), own.json());
}

/// The metadata that llama.cpp's converter would write for a `tokenizer.json`.
fn metadata(json: &Json, model: &str, pre: &str) -> Parts {
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let added = json["added_tokens"].as_array().unwrap();
    let n_tokens = vocab.values().map(|id| id.as_u64().unwrap()).max().unwrap() as usize + 1;
    let mut tokens = vec![String::new(); n_tokens];
    let mut kinds = vec![5_u64; n_tokens];
    for (text, id) in vocab {
        let id = id.as_u64().unwrap() as usize;
        tokens[id] = text.clone();
        kinds[id] = if model == "llama" && text.starts_with("<0x") { 6 } else { 1 };
    }
    for token in added {
        let id = token["id"].as_u64().unwrap() as usize;
        kinds[id] = if json["model"]["unk_token"] == token["content"] { 2 } else { 3 };
    }
    let mut keys = vec![
        ("general.architecture", Value::Text("llama".into())),
        ("tokenizer.ggml.model", Value::Text(model.into())),
        ("tokenizer.ggml.pre", Value::Text(pre.into())),
        ("tokenizer.ggml.tokens", Value::List(tokens.into_iter().map(Value::Text).collect())),
        ("tokenizer.ggml.token_type", Value::List(kinds.into_iter().map(Value::Unsigned).collect())),
    ];
    if model == "llama" {
        // SentencePiece scores its pieces by the order in which they were found
        keys.push(("tokenizer.ggml.scores", Value::List((0..n_tokens).map(|id| Value::Single(-(id as f32))).collect())));
    } else {
        let merges = json["model"]["merges"].as_array().unwrap().iter().map(|merge| match merge.as_array() {
            Some(pair) => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
            None => merge.as_str().unwrap().to_string(),
        });
        keys.push(("tokenizer.ggml.merges", Value::List(merges.map(Value::Text).collect())));
    }
    Parts::of_keys(keys)
}

#[test]
fn real_tokenizers_come_back_from_a_gguf() {
    let Some(shared) = crate::support::shared("real_tokenizers_come_back_from_a_gguf") else { return };
    let mut text = std::fs::read_to_string(shared.join("text/tinystories_cased_sample.txt")).unwrap();
    text.truncate(text.floor_char_boundary(60_000));
    let mut wiki = std::fs::read_to_string(shared.join("text/wikitext2_valid.txt")).unwrap();
    wiki.truncate(wiki.floor_char_boundary(60_000));
    let strange = "ÄÖÜ 粉屋は袋を数えた。\n\n\t  👩‍👩‍👧 x = 12345;\r\n'Tis we'll IT'S ".repeat(20);
    for (place, model, pre) in [
        ("models/stories260k", "llama", "default"),
        ("models/babyllama-tok361", "llama", "default"),
        ("tokenizers/gpt2", "gpt2", "gpt-2"),
    ] {
        let directory = shared.join(place);
        let original = Tokenizer::load(&directory).unwrap();
        let json: Json = serde_json::from_str(original.json()).unwrap();
        let (_dir, path) = metadata(&json, model, pre).save();
        let rebuilt = Tokenizer::load(&path).unwrap();
        assert_eq!(rebuilt.max_id(), original.max_id());
        for text in [text.as_str(), &wiki, &strange] {
            for part in std::iter::once(text).chain(text.lines().take(200)) {
                assert!(rebuilt.encode(part) == original.encode(part), "{place}: {:?}", &part[..part.floor_char_boundary(200)]);
            }
            assert_eq!(rebuilt.decode(&rebuilt.encode(text)), original.decode(&original.encode(text)));
        }
    }
}
