//! GGUF files wherever a model is asked for. `fixtures/gguf/make.py` made those here with llama.cpp's package.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bad_model::open_teacher;
use crate::support::{Ran, birthmark, manifests, root, text};

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/gguf").join(name)
}

fn model(command: &str, path: &Path, more: &[&str]) -> Ran {
    birthmark(&[&["model", command, "--model", text(path)], more].concat())
}

#[test]
fn every_model_command_takes_a_gguf() {
    let path = fixture("llama-k-quants.gguf");
    let info = model("info", &path, &[]).expect_code(0);
    for part in ["llama", "Q6_K, Q4_K, Q4_0, Q8_0, F32 in one file", "BPE, ids up to 399", "128 tokens"] {
        assert!(info.stdout.contains(part), "no `{part}` in\n{}", info.stdout);
    }
    let json = &model("info", &path, &["--json"]).expect_code(0).json_lines()[0];
    assert_eq!((json["architecture"].as_str(), json["files"].as_u64()), (Some("llama"), Some(1)));
    assert!(json["dtypes"]["Q4_K"].as_u64().unwrap() > 10_000, "{json}");
    for name in ["llama-k-quants", "qwen2", "llama3-biased"] {
        let expected = fixture(&format!("{name}.safetensors"));
        model("verify", &fixture(&format!("{name}.gguf")), &["--expected", text(&expected)]).expect_code(0);
    }
    let dir = tempfile::tempdir().unwrap();
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "The miller counted 7 sacks.\n\nIt was not enough.").unwrap();
    let score = model("score", &path, &["--text", text(&texts)]).expect_code(0);
    assert!(score.stdout.contains("nats/token"), "{}", score.stdout);
    model("generate", &path, &["--prompt", "The miller", "--max-new-tokens", "4"]).expect_code(0);

    let out = dir.path().join("converted");
    let convert = model("convert", &path, &["--out", text(&out)]).expect_code(0);
    assert!(convert.stdout.contains("ids up to 399"), "{}", convert.stdout);
    let expected = fixture("llama-k-quants.safetensors");
    model("verify", &out, &["--expected", text(&expected)]).expect_code(0);
    let again = model("score", &out, &["--text", text(&texts)]).expect_code(0);
    assert_eq!(again.stdout, score.stdout);
}

#[test]
fn a_tokenizer_that_cannot_be_rebuilt_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let mut bytes = fs::read(fixture("qwen2.gguf")).unwrap();
    let key = b"tokenizer.ggml.pre";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4 + 8;
    assert_eq!(&bytes[at..at + 5], b"qwen2");
    bytes[at..at + 5].copy_from_slice(b"qwenX");
    fs::write(&path, bytes).unwrap();
    let ask = "its tokenizer cannot be rebuilt (tokenizer.ggml.pre = \"qwenX\"): put the model's tokenizer.json beside it";
    let info = model("info", &path, &[]).expect_code(0);
    assert!(info.stdout.contains(ask), "{}", info.stdout);
    model("convert", &path, &["--out", text(&dir.path().join("out"))]).refused_with(&["model.gguf: ", ask]);
    assert!(!dir.path().join("out").exists());
    model("verify", &path, &["--expected", text(&fixture("qwen2.safetensors"))]).expect_code(0);
}

#[test]
fn what_is_wrong_with_a_gguf_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.gguf");
    fs::write(&cut, &fs::read(fixture("qwen2.gguf")).unwrap()[..100_000]).unwrap();
    for command in ["info", "verify"] {
        let more: &[&str] = if command == "verify" { &["--expected", "x"] } else { &[] };
        model(command, &cut, more).refused_with(&["cut.gguf: not a valid GGUF file", "cut short; fetch the file again"]);
    }
    fs::copy(fixture("qwen2.gguf"), dir.path().join("b.gguf")).unwrap();
    model("info", dir.path(), &[]).refused_with(&["several GGUF files (b.gguf, cut.gguf); name one of them"]);
    let mut run = open_teacher(&fixture("blocks.gguf"), &fixture("qwen2.gguf"), dir.path());
    Ran::of(run.output().unwrap()).refused_with(&["teacher.model", "blocks.gguf", "this file holds no weights"]);
}

#[test]
fn an_experiment_learns_from_a_gguf_and_starts_from_one() {
    let dir = tempfile::tempdir().unwrap();
    // a file as it is, and a directory that holds one
    let stranger = dir.path().join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::copy(fixture("llama-linear-rope.gguf"), stranger.join("model.gguf")).unwrap();
    let teacher = fixture("llama-k-quants.gguf");
    let run = |base: &Path| {
        let base = format!("base={{ model = \"{}\" }}", text(base));
        Ran::of(open_teacher(&teacher, &stranger, dir.path()).args(["--set", &base]).output().unwrap())
    };
    run(&teacher).expect_code(0);
    let artifacts = dir.path().join("artifacts");
    let before = manifests(&artifacts);
    assert!(before.keys().any(|name| name.starts_with("student/")), "{before:?}");
    // nothing is asked again of the same files; another base is another student
    run(&teacher).expect_code(0);
    assert_eq!(manifests(&artifacts), before);
    run(&stranger).expect_code(0);
    let students = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("student/")).count();
    let after = manifests(&artifacts).into_keys().collect();
    assert!(students(after) > students(before.into_keys().collect()));
    let base = format!("base={{ model = \"{}\" }}", text(&teacher));
    let kept = "student.lora={ rank = 2, alpha = 4, targets = [\"q_proj\"], save = \"adapter\" }";
    let mut command = open_teacher(&teacher, &stranger, dir.path());
    let ran = Ran::of(command.args(["--set", &base, "--set", kept]).output().unwrap());
    ran.refused_with(&["student.lora.save", "the base is a GGUF file", "save = \"merged\""]);
}
