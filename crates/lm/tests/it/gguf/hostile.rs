//! Headers that lie: an error, or promises that hold; never a panic, and no memory for what is not there.

use lm::gguf::{Header, Value};
use lm::{Model, Tokenizer};
use proptest::prelude::*;

use super::write::{Parts, words};

/// A small file with every type of value.
fn small() -> Vec<u8> {
    let parts = Parts::of_keys(vec![
        ("general.architecture", Value::Text("llama".into())),
        ("a", Value::Bool(true)),
        ("b", Value::Double(1.0)),
        ("c", Value::Signed(-1)),
        ("d", Value::List(vec![words(&["x", "yz"]), words(&[])])),
        ("general.alignment", Value::Unsigned(64)),
    ]);
    let model = Parts::read("llama-linear-rope.gguf");
    let tensors = model.tensors.into_iter().filter(|tensor| tensor.name.contains("norm")).collect();
    Parts { tensors, ..parts }.bytes()
}

fn check(bytes: &[u8]) {
    let Ok(header) = Header::read(bytes, bytes.len() as u64) else { return };
    for info in header.tensors.values() {
        assert!(header.data_start + info.offset + info.bytes <= bytes.len() as u64);
        assert!(info.shape.iter().product::<u64>() <= 8 * info.bytes, "two bits a value at least, and scales");
    }
}

#[test]
fn lists_within_lists_are_not_followed_down() {
    let deep = |depth: usize| (0..depth).fold(Value::Unsigned(1), |value, _| Value::List(vec![value]));
    let read = |value: Value| {
        let bytes = Parts::of_keys(vec![("a", value)]).bytes();
        Header::read(&bytes[..], bytes.len() as u64).map(|header| header.metadata)
    };
    assert_eq!(read(deep(4)).unwrap().get("a"), Some(&deep(4)));
    let error = read(deep(5)).unwrap_err().to_string();
    assert!(error.contains("`a` has lists within lists more than 4 deep"), "{error}");
    assert!(read(deep(3000)).is_err());
}

#[test]
fn lengths_beyond_the_file_take_no_memory() {
    // a list of 2^60 numbers, of texts, of lists; a text of 2^60 bytes: `check` would not come back if any were believed
    for kind in [0_u32, 4, 8, 9, 12] {
        let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k".to_vec();
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((1_u64 << 60).to_le_bytes());
        bytes.extend([0; 64]);
        let error = Header::read(&bytes[..], bytes.len() as u64).unwrap_err().to_string();
        assert!(error.contains("`k` claims 1152921504606846976 entries, but only 64 bytes follow"), "{error}");
    }
    // a file that says it is longer than it is
    let bytes = small();
    assert!(Header::read(&bytes[..100], bytes.len() as u64).is_err());
    // many values in few bytes
    let mut bytes = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k\x09\0\0\0\0\0\0\0".to_vec();
    bytes.extend((1_u64 << 24).to_le_bytes());
    bytes.resize(bytes.len() + (1 << 24), 0);
    let error = Header::read(&bytes[..], bytes.len() as u64).unwrap_err().to_string();
    assert!(error.contains("`k` brings more than 8388608 values in lists"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
        check(&[&b"GGUF\x03\0\0\0"[..], &bytes].concat());
    }

    #[test]
    fn changed_headers_keep_their_promises(changes in prop::collection::vec((0_usize..1200, any::<u8>()), 1..4), cut in 0_usize..1200) {
        let mut bytes = small();
        let len = bytes.len();
        for (at, to) in changes {
            bytes[at % len] = to;
        }
        check(&bytes);
        bytes.truncate(len - cut % len);
        check(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn changed_models_and_tokenizers_are_loaded_or_refused(
        at in 0_usize..9_000, to in any::<u8>(), which in prop::sample::select(vec!["llama-linear-rope", "tokenizer-qwen2", "tokenizer-sentence-pieces"]),
    ) {
        let mut bytes = std::fs::read(super::fixture(&format!("{which}.gguf"))).unwrap();
        let len = bytes.len();
        bytes[at % len] = to;
        let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        for error in [Model::load(file.path()).err(), Tokenizer::load(file.path()).err()].into_iter().flatten() {
            prop_assert!(error.to_string().lines().count() == 1, "{}", error);
        }
    }
}
