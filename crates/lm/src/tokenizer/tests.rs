use proptest::prelude::*;

use super::*;

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
fn a_tokenizer_with_more_ids_than_the_model_is_refused() {
    let tokenizer = Tokenizer::train_bpe(texts(), 300).unwrap();
    assert!(tokenizer.check_fits(300, Path::new("t")).is_ok());
    let error = tokenizer.check_fits(299, Path::new("t")).unwrap_err().to_string();
    assert!(error.contains("ids up to 299") && error.contains("`vocab_size` is 299"), "{error}");
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
