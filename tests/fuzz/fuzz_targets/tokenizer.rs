//! A `tokenizer.json`: an error, or a tokenizer that encodes any text and decodes what it encoded.
#![no_main]

use std::sync::LazyLock;

use birthmark_fuzz::{Directory, forgive_guarded_panics, use_tokenizer};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    forgive_guarded_panics();
    Directory::new()
});

fuzz_target!(|input: &[u8]| {
    DIRECTORY.put("tokenizer.json", input);
    if let Ok(tokenizer) = lm::Tokenizer::load(DIRECTORY.path()) {
        use_tokenizer(&tokenizer);
    }
});
