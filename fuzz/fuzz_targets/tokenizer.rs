//! A `tokenizer.json`: an error, or a tokenizer that encodes any text and decodes what it encoded.
#![no_main]

use std::sync::LazyLock;

use birthmark_fuzz::Directory;
use libfuzzer_sys::fuzz_target;
use oracle::Codec;

static DIRECTORY: LazyLock<Directory> = LazyLock::new(Directory::new);

/// Words, digits, spaces, several scripts, a combining mark, an emoji of several code points, and a look-alike of a special token.
const TEXT: &str = "The cat's  12 hats\n\tsat. Ünïcode e\u{301} 猫が座った 👩‍🚀 <s></s><|endoftext|>";

fuzz_target!(|input: &[u8]| {
    DIRECTORY.put("tokenizer.json", input);
    let Ok(tokenizer) = lm::Tokenizer::load(DIRECTORY.path()) else { return };
    let ids = tokenizer.encode(TEXT);
    assert!(ids.iter().all(|id| *id <= tokenizer.max_id()));
    let _ = tokenizer.decode(&ids);
    let document = tokenizer.encode_document(TEXT);
    let _ = tokenizer.decode(&document);
    let _ = tokenizer.encode_with_offsets(TEXT);
});
