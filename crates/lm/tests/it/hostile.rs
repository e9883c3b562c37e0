//! Files on which a reader or a library below it once panicked, found by `tests/fuzz/run`: each is an error of one line.

use std::path::Path;

use lm::{LoadError, Model, ModelCard, ModelConfig, Tokenizer};

use crate::support::stirred;

/// Puts each file of a folder into a good model directory under the name it is read by, and reads it.
fn each_is_refused(folder: &str, name: &str, read: fn(&Path) -> Result<(), LoadError>) {
    let model = stirred(&ModelConfig::examples()[0], 3);
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hostile").join(folder);
    let mut files = 0;
    for file in std::fs::read_dir(&found).unwrap_or_else(|error| panic!("{}: {error}", found.display())) {
        let file = file.unwrap().path();
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path(), None, &ModelCard::default()).unwrap();
        std::fs::copy(&file, dir.path().join(name)).unwrap();
        let error = read(dir.path()).expect_err(&file.display().to_string()).to_string();
        assert!(error.lines().count() == 1 && error.contains(name), "{}: {error}", file.display());
        files += 1;
    }
    assert!(files > 0, "{} is empty", found.display());
}

#[test]
fn checkpoints() {
    each_is_refused("safetensors", "model.safetensors", |dir| Model::load(dir).map(drop));
}

#[test]
fn tokenizers() {
    each_is_refused("tokenizer", "tokenizer.json", |dir| Tokenizer::load(dir).map(drop));
}
