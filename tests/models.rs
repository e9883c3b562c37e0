//! `birthmark model` on every architecture: what it says of a model, whether a model is read right, and writing it again.

use std::fs;
use std::path::PathBuf;

use crate::support::{birthmark, root, tiny_model};

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/fixtures/parity")).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    directories.sort();
    directories
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_model_is_described_verified_and_written_again_without_loss() {
    let scratch = tempfile::tempdir().unwrap();
    for dir in fixtures() {
        let expected = dir.join("expected.safetensors");
        let info = birthmark(&["model", "info", "--json", "--model", text(&dir)]).expect_code(0).json_lines().remove(0);
        let config: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
        assert_eq!(info["architecture"], config["model_type"]);
        assert_eq!(info["vocab_size"], config["vocab_size"]);
        assert!(info["dtypes"]["F32"].as_u64() >= info["parameters"].as_u64());
        assert_eq!(info["inference_bytes"].as_u64(), info["parameters"].as_u64().map(|n| 4 * n));

        let again = scratch.path().join(dir.file_name().unwrap());
        birthmark(&["model", "convert", "--model", text(&dir), "--out", text(&again)]).expect_code(0);
        let ran =
            birthmark(&["model", "verify", "--json", "--model", text(&again), "--expected", text(&expected)]).expect_code(0);
        let lines = ran.json_lines();
        assert!(lines.len() > 10 && lines.iter().all(|line| line["ok"] == true), "{dir:?}: {lines:?}");
    }
}

#[test]
fn a_model_that_is_computed_otherwise_exits_100_and_says_where() {
    let dir = root().join("tests/fixtures/parity/mistral-sliding");
    let scratch = tempfile::tempdir().unwrap();
    fs::copy(dir.join("model.safetensors"), scratch.path().join("model.safetensors")).unwrap();
    let wider = fs::read_to_string(dir.join("config.json")).unwrap().replace("\"sliding_window\": 8", "\"sliding_window\": 9");
    fs::write(scratch.path().join("config.json"), wider).unwrap();
    let expected = dir.join("expected.safetensors");
    let ran = birthmark(&["model", "verify", "--model", text(scratch.path()), "--expected", text(&expected)]).expect_code(100);
    assert!(ran.stdout.lines().any(|line| line.starts_with("DEVIATES  logits")), "{}", ran.stdout);
    assert!(ran.stderr.contains("tensors deviate") && ran.stderr.trim().lines().count() == 1, "{}", ran.stderr);
    let loose = ["--logits-tolerance", "10", "--loss-tolerance", "10", "--gradient-tolerance", "10"];
    let args = ["model", "verify", "--model", text(scratch.path()), "--expected", text(&expected)];
    let ran = birthmark(&[&args[..], &loose].concat());
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("DEVIATES")).count(), usize::from(ran.code == 100), "{ran:?}");
}

#[test]
fn what_cannot_be_verified_or_converted_is_one_line() {
    let dir = root().join("tests/fixtures/parity/llama");
    let (llama, model) = (text(&dir), text(tiny_model()));
    let weights = dir.join("model.safetensors");
    let cases: [(&[&str], &str); 5] = [
        (&["model", "verify", "--model", llama, "--expected", "nowhere.safetensors"], "nowhere.safetensors: not found"),
        (&["model", "verify", "--model", llama, "--expected", text(&weights)], "`input_ids` is missing"),
        (&["model", "verify", "--model", llama, "--expected", "README.md"], "README.md: not a valid safetensors file"),
        (&["model", "verify", "--model", llama, "--expected", "x", "--loss-tolerance", "0"], "a number above 0"),
        (&["model", "convert", "--model", model, "--out", "tests"], "tests exists already"),
    ];
    for (args, expected) in cases {
        let ran = birthmark(args).expect_code(2);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(expected), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_alike_by_every_command() {
    let file = root().join("Cargo.toml");
    let out = tempfile::tempdir().unwrap().path().join("out");
    for command in [&["info"][..], &["generate", "--prompt", "x"], &["convert", "--out", text(&out)]] {
        let ran = birthmark(&[&["model"], command, &["--model", text(&file)]].concat());
        ran.refused_with(&["Cargo.toml: is a file", "give a directory", "or a .gguf file"]);
    }
}

#[test]
fn converted_models_keep_their_tokenizer() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("again");
    birthmark(&["model", "convert", "--model", text(tiny_model()), "--out", text(&out)]).expect_code(0);
    for file in ["tokenizer.json", "model.safetensors"] {
        assert_eq!(fs::read(out.join(file)).unwrap(), fs::read(tiny_model().join(file)).unwrap(), "{file}");
    }
    let names: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["again"], "nothing else is left");
}
