//! A GGUF file: errors, or a configuration, weights and a tokenizer that hold what they promise.
#![no_main]

use std::sync::LazyLock;

use birthmark_fuzz::{Directory, forgive_guarded_panics, use_tokenizer};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    forgive_guarded_panics();
    Directory::new()
});

fuzz_target!(|input: &[u8]| {
    let path = DIRECTORY.put("model.gguf", input);
    let _ = lm::Stored::of(&path);
    if let Ok(model) = lm::Model::load(&path) {
        assert_eq!(model.weights().len(), model.config().n_params());
    }
    if let Ok(Some(tokenizer)) = lm::Tokenizer::find(&path) {
        use_tokenizer(&tokenizer);
    }
});
