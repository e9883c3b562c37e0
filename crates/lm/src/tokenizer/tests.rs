use std::path::Path;

use oracle::Codec;
use proptest::prelude::*;

use super::*;
use crate::read::LoadError;

fn texts() -> impl Iterator<Item = String> + Send {
    (0..200).map(|i| format!("The {} cat saw {} birds. 12 + {i} = {}.\nWell done!", ["red", "old", "big"][i % 3], i, i + 12))
}

#[test]
fn training_twice_gives_equal_files() {
    let [a, b] = [(); 2].map(|()| Tokenizer::train_bpe(texts(), 320).unwrap());
    assert_eq!(a.files, b.files);
    assert_eq!((a.bos(), a.eos(), a.special_ids(), a.vocab_size()), (Some(0), Some(1), &[0, 1][..], 320));
}

#[test]
fn saved_and_loaded_is_the_same() {
    let tokenizer = Tokenizer::train_bpe(texts(), 300).unwrap();
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    let again = Tokenizer::load(dir.path()).unwrap();
    assert_eq!((again.bos(), again.eos(), again.max_id()), (tokenizer.bos(), tokenizer.eos(), tokenizer.max_id()));
    assert_eq!(again.files, tokenizer.files);
    let text = "The old cat saw 7 birds.";
    assert_eq!(again.encode(text), tokenizer.encode(text));
    assert!(tokenizer.encode(text).len() < text.len() / 2, "merges are used");
}

#[test]
fn too_small_a_vocabulary_is_refused() {
    let error = Tokenizer::train_bpe(texts(), 200).err().unwrap().to_string();
    assert!(error.contains("at least 258"), "{error}");
}

#[test]
fn a_tokenizer_that_cuts_texts_into_more_ids_than_the_model_has_is_refused() {
    let tokenizer = Tokenizer::train_bpe(texts(), 300).unwrap();
    for rows in [300, 301, 4096] {
        let fitted = tokenizer.clone().for_rows(rows, Path::new("t")).unwrap();
        assert_eq!((fitted.size(), fitted.notes().len()), (300, 0), "{rows}");
    }
    for rows in [1, 299] {
        let error = tokenizer.clone().for_rows(rows, Path::new("t")).err().unwrap().to_string();
        assert!(error.contains("ids up to 299") && error.contains(&format!("`vocab_size` is {rows}")), "{error}");
    }
}

/// `tokenizer` with tokens added as published files have them: id, text, whether special.
fn with_added(tokenizer: &Tokenizer, tokens: &[(u32, &str, bool)]) -> Tokenizer {
    let mut json: Value = serde_json::from_str(tokenizer.json()).unwrap();
    for (id, content, special) in tokens {
        json["added_tokens"].as_array_mut().unwrap().push(serde_json::json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": special,
        }));
    }
    let mut files = tokenizer.files.clone();
    files.insert(TOKENIZER, json.to_string());
    let settings = serde_json::json!({"bos_token": "<s>", "eos_token": "</s>"});
    Tokenizer::assemble(files, &[settings]).unwrap()
}

#[test]
fn tokens_added_beyond_the_table_come_out_of_no_text() {
    let plain = Tokenizer::train_bpe(texts(), 300).unwrap();
    let more = with_added(&plain, &[(300, "<image>", true), (301, "<tool>", false)]);
    assert_eq!(more.encode("<tool>"), [301], "as the file has it");
    let fitted = more.clone().for_rows(300, Path::new("t/tokenizer.json")).unwrap();
    assert_eq!((fitted.vocab_size(), fitted.special_ids()), (300, plain.special_ids()));
    assert_eq!(fitted.without_row(), [(300, "<image>".to_string()), (301, "<tool>".to_string())]);
    let [note] = fitted.notes() else { panic!("{:?}", fitted.notes()) };
    assert!(note.contains("2 token(s) of t/tokenizer.json have no row") && note.contains("`<tool>` (301)"), "{note}");
    for text in ["<image>", "a <tool> b", "<image><tool>", "The cat"] {
        assert_eq!(fitted.encode(text), plain.encode(text), "{text}");
        assert_eq!(fitted.decode(&fitted.encode(text)), text);
    }
    // one of the two has a row, and the tables may be padded beyond both
    assert_eq!(more.clone().for_rows(301, Path::new("t")).unwrap().size(), 301);
    assert_eq!(more.for_rows(400, Path::new("t")).unwrap().size(), 302);
}

#[test]
fn ids_between_tokens_that_stand_for_none_are_never_text() {
    let plain = Tokenizer::train_bpe(texts(), 300).unwrap();
    let mut json: Value = serde_json::from_str(plain.json()).unwrap();
    // the last two words move up, past two ids that nobody has
    for (_, id) in json["model"]["vocab"].as_object_mut().unwrap() {
        if id.as_u64() >= Some(298) {
            *id = (id.as_u64().unwrap() + 2).into();
        }
    }
    let mut files = plain.files.clone();
    files.insert(TOKENIZER, json.to_string());
    let holed = Tokenizer::assemble(files, &[serde_json::json!({"bos_token": "<s>", "eos_token": "</s>"})]).unwrap();
    assert_eq!((holed.size(), holed.absent()), (302, &[298, 299][..]));
    assert_eq!(holed.special_ids(), [0, 1, 298, 299], "never text, so no mark uses them");
    let fitted = holed.for_rows(320, Path::new("t")).unwrap();
    assert_eq!((fitted.size(), fitted.absent()), (302, &[298, 299][..]));
}

#[test]
fn a_beginning_that_the_file_does_not_put_is_none() {
    let plain = Tokenizer::train_bpe(texts(), 300).unwrap();
    let with = |post_processor: Value| {
        let mut json: Value = serde_json::from_str(plain.json()).unwrap();
        json["post_processor"] = post_processor;
        let mut files = plain.files.clone();
        files.insert(TOKENIZER, json.to_string());
        let settings = serde_json::json!({"add_bos_token": true, "bos_token": "<s>", "eos_token": "</s>"});
        Tokenizer::assemble(files, &[settings]).unwrap()
    };
    let bytes = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    for post_processor in [Value::Null, bytes] {
        let tokenizer = with(post_processor);
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, Some(1)));
        assert!(tokenizer.notes()[0].contains("`add_bos_token` is true, but tokenizer.json puts no beginning token"));
        assert_eq!(tokenizer.encode_document("a"), tokenizer.encode("a"));
    }
    assert_eq!((plain.bos(), plain.notes().len()), (Some(0), 0));
}

#[test]
fn broken_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Tokenizer::load(dir.path()), Err(LoadError::Missing { .. })));
    for content in ["", "{}", "[1,2]", "{\"model\": {\"type\": \"BPE\"}}"] {
        std::fs::write(dir.path().join(TOKENIZER), content).unwrap();
        assert!(matches!(Tokenizer::load(dir.path()), Err(LoadError::Tokenizer { .. })), "{content}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_comes_back_and_no_text_is_special(text in "\\PC{0,40}|(<s>|</s>| |\n|[a-z]){0,12}") {
        let tokenizer = Tokenizer::train_bpe(texts(), 280).unwrap();
        let ids = tokenizer.encode(&text);
        prop_assert!(ids.iter().all(|id| !tokenizer.special_ids().contains(id)));
        prop_assert_eq!(tokenizer.decode(&ids), text);
    }
}
