//! A checkpoint beside a good `config.json`: either a model whose weights are all there, or an error.
#![no_main]

use std::sync::LazyLock;

use birthmark_fuzz::{CONFIG, Directory};
use libfuzzer_sys::fuzz_target;

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    let directory = Directory::new();
    directory.put("config.json", CONFIG.as_bytes());
    directory
});

fuzz_target!(|input: &[u8]| {
    DIRECTORY.put("model.safetensors", input);
    let _ = lm::Stored::of(DIRECTORY.path());
    if let Ok(model) = lm::Model::load(DIRECTORY.path()) {
        assert_eq!(model.weights().len(), model.config().n_params());
    }
});
