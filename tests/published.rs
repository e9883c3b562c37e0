//! Models as they are published: tables padded beyond the tokens, tokens without a row, ends that cannot be, pointers in the place of
//! files. What can be used is used and noted, and every command says the same of it.

use std::fs;
use std::path::{Path, PathBuf};

use lm::{ArchitectureConfig, Model, ModelCard, ModelConfig, Tokenizer};
use oracle::Codec;
use serde_json::{Value, json};

use crate::bad_model::open_teacher;
use crate::support::{Ran, birthmark, copy, text, tiny_model};

/// A small model with `rows` rows in its table for the 300 tokens of the tiny model's tokenizer.
fn with_rows(place: &Path, rows: usize, seed: u64) -> PathBuf {
    let tokenizer = Tokenizer::load(tiny_model()).unwrap();
    let shape = json!({ "llama": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 24, "max_position_embeddings": 96, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": false, "initializer_range": 0.5,
    } });
    let shape: ArchitectureConfig = serde_json::from_value(shape).unwrap();
    let config = ModelConfig::from_architecture(&shape, rows, tokenizer.bos(), tokenizer.eos()).unwrap();
    let dir = place.join(format!("{rows}-{seed}"));
    Model::init(&config, seed).save(&dir, Some(&tokenizer), &ModelCard::default()).unwrap();
    dir
}

/// A copy of the tiny model with a JSON file changed.
fn changed(place: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let model = place.join("model");
    copy(tiny_model(), &model);
    let file = model.join(name);
    let mut value: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
    model
}

/// `check --quick` of smoke with `model` as the stranger of a tiny teacher.
fn check(model: &Path, place: &Path) -> Ran {
    let run = open_teacher(tiny_model(), model, place);
    let mut check = std::process::Command::new(run.get_program());
    let args: Vec<_> = run.get_args().filter(|arg| *arg != "run").collect();
    let sets = args.iter().position(|arg| *arg == "--set").unwrap();
    check.current_dir(run.get_current_dir().unwrap()).arg("check").arg(args[0]).arg("--quick").args(&args[sets..]);
    Ran::of(check.output().unwrap())
}

#[test]
fn models_of_one_tokenizer_whose_tables_are_padded_otherwise_are_one_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let (teacher, stranger) = (with_rows(dir.path(), 333, 1), with_rows(dir.path(), 320, 2));
    let info = birthmark(&["model", "info", "--json", "--model", text(&teacher)]).expect_code(0).json_lines().remove(0);
    assert_eq!((&info["vocab_size"], &info["rows_without_token"]), (&json!(333), &json!(33)));
    check(&stranger, dir.path()).expect_code(0);
    // drawn at random over a table of which a tenth is padding
    let ran = birthmark(&[
        "model",
        "generate",
        "--json",
        "--samples",
        "40",
        "--max-new-tokens",
        "40",
        "--temperature",
        "4",
        "--model",
        text(&teacher),
    ]);
    let lines = ran.expect_code(0).json_lines();
    assert_eq!(lines.len(), 40);
    let ran = Ran::of(open_teacher(&teacher, &stranger, dir.path()).output().unwrap()).expect_code(0);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    // a model that goes on from a padded one has no padding left
    let saved = walk(&dir.path().join("artifacts")).into_iter().filter(|path| path.ends_with("config.json"));
    let rows: Vec<Value> =
        saved.map(|path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()["vocab_size"].clone()).collect();
    assert!(rows.len() > 2 && rows.iter().all(|rows| *rows == json!(300)), "{rows:?}");
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_token_without_a_row_is_never_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let model = changed(dir.path(), "tokenizer.json", |tokenizer| {
        let token = json!({"id": 300, "content": "<image_soft_token>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    });
    let note = "have no row in the model's table of 300 and can never be asked for: `<image_soft_token>` (300)";
    let generate = |prompt: &str| birthmark(&["model", "generate", "--prompt", prompt, "--model", text(&model)]);
    let ran = generate("The old cat").expect_code(0);
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    generate("a <image_soft_token> b").refused_with(&["--prompt holds \"<image_soft_token>\"", "no row"]);
    let ran = birthmark(&["model", "info", "--model", text(&model)]).expect_code(0);
    assert!(ran.stdout.contains(note) && ran.stdout.contains("ids up to 299"), "{}", ran.stdout);
    let out = dir.path().join("converted");
    let ran = birthmark(&["model", "convert", "--model", text(&model), "--out", text(&out)]).expect_code(0);
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    let ran = check(&model, dir.path()).expect_code(0);
    assert!(ran.stdout.contains("stranger.model: ") && ran.stdout.contains(note), "{}", ran.stdout);
}

#[test]
fn an_end_that_no_row_has_is_noted_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let model = changed(dir.path(), "config.json", |config| config["eos_token_id"] = json!(300));
    fs::remove_file(model.join("generation_config.json")).unwrap();
    let note = "`eos_token_id` is 300, but the model's token ids end with 299: the model can never end an answer by it";
    let ran = birthmark(&["model", "generate", "--json", "--max-new-tokens", "80", "--samples", "8", "--model", text(&model)]);
    let ran = ran.expect_code(0);
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    assert!(ran.json_lines().iter().all(|line| line["stop"] == json!("length")), "{}", ran.stdout);
    let ran = birthmark(&["model", "info", "--json", "--model", text(&model)]).expect_code(0);
    assert_eq!(ran.json_lines()[0]["notes"], json!([note]));
    let ran = check(&model, dir.path()).expect_code(0);
    assert!(ran.stdout.contains(note), "{}", ran.stdout);
}

#[test]
fn a_pointer_in_the_place_of_a_file_is_named_by_every_command() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 810701896\n";
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        copy(tiny_model(), &model);
        fs::write(model.join(name), pointer).unwrap();
        let parts = [name, "is a Git LFS pointer, not the file of 810701896 bytes", "git lfs pull"];
        birthmark(&["model", "generate", "--model", text(&model)]).refused_with(&parts);
        birthmark(&["model", "info", "--model", text(&model)]).refused_with(&parts);
        check(&model, dir.path()).refused_with(&[&parts[..], &["stranger.model"]].concat());
    }
}

/// What loading refuses for config or tokenizer, `model info` and `check --quick` refuse too.
#[test]
fn looking_is_as_strict_as_loading() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 4] = [
        ("config.json", |config| config["vocab_size"] = json!(290), "do not belong together"),
        ("config.json", |config| config["made_up"] = json!(3), "`made_up` is 3"),
        ("tokenizer.json", |tokenizer| tokenizer["model"]["dropout"] = json!(0.5), "leaves out merges at random"),
        ("tokenizer.json", |tokenizer| tokenizer["model"]["type"] = json!("Nothing"), "not a tokenizer this program can read"),
    ];
    for (file, change, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let model = changed(dir.path(), file, change);
        birthmark(&["model", "info", "--model", text(&model)]).refused_with(&[expected]);
        check(&model, dir.path()).refused_with(&[expected, "stranger.model"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let model = changed(dir.path(), "generation_config.json", |_| {});
    fs::write(model.join("generation_config.json"), "{").unwrap();
    for command in ["info", "generate"] {
        birthmark(&["model", command, "--model", text(&model)]).refused_with(&["generation_config.json: not valid JSON"]);
    }
}

/// The tokenizer has one added token more than the smaller of two tables has rows.
#[test]
fn models_that_differ_in_rows_for_added_tokens_share_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (with_rows(dir.path(), 300, 1), with_rows(dir.path(), 310, 2));
    for model in [&small, &large] {
        let file = model.join("tokenizer.json");
        let mut tokenizer: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let token = json!({"id": 300, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
        fs::write(file, tokenizer.to_string()).unwrap();
    }
    for (place, teacher, stranger) in [("a", &small, &large), ("b", &large, &small)] {
        let mut run = open_teacher(teacher, stranger, &dir.path().join(place));
        run.args(["--set", "seeds=[1]"]);
        let ran = Ran::of(run.output().unwrap()).expect_code(0);
        assert!(ran.stderr.contains("`<pad>` (300)"), "{}", ran.stderr);
    }
}
