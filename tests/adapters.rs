//! LoRA adapters: as models that are brought, and as the form in which students are trained and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lm::lora::{Adapter, AdapterConfig, AdapterShape, Modules};
use lm::{Model, ModelCard};
use results::Record;

use crate::bad_model::open_teacher;
use crate::same_bits::killed_and_resumed;
use crate::support::{
    Ran, birthmark, birthmark_at, copy, manifests, results_directory, root, run, run_command, smoke, smoke_file, text, tiny_model,
};

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/fixtures/peft")).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    directories.sort();
    directories
}

#[test]
fn adapters_of_peft_are_described_verified_and_written_as_whole_models() {
    let scratch = tempfile::tempdir().unwrap();
    for dir in fixtures() {
        let expected = dir.join("expected.safetensors");
        let info = birthmark(&["model", "info", "--json", "--model", text(&dir)]).expect_code(0).json_lines().remove(0);
        let said: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!((&info["adapter"]["rank"], info["adapter"]["alpha"].as_f64()), (&said["r"], said["lora_alpha"].as_f64()));
        assert!(info["adapter"]["parameters"].as_u64() > Some(100) && info["parameters"].as_u64() > Some(10_000));
        let verify = |model: &Path| {
            let args = ["model", "verify", "--json", "--model", text(model), "--expected", text(&expected)];
            let lines = birthmark(&args).expect_code(0).json_lines();
            assert!(lines.len() == 3 && lines.iter().all(|line| line["ok"] == true), "{model:?}: {lines:?}");
        };
        verify(&dir);
        let whole = scratch.path().join(dir.file_name().unwrap());
        birthmark(&["model", "convert", "--model", text(&dir), "--out", text(&whole)]).expect_code(0);
        assert!(whole.join("model.safetensors").is_file() && !whole.join("adapter_config.json").exists());
        verify(&whole);
    }
}

/// An adapter on the tiny model, at `place`, which leads to `base`.
pub fn tiny_adapter(place: &Path, base: &str) {
    let model = Model::load(tiny_model()).unwrap();
    let config = AdapterConfig::plain(2, 4.0, Modules::AllLinear, false);
    let shape = Arc::new(AdapterShape::new(&config, model.config()).unwrap());
    let values = (0..shape.n_params()).map(|i| ((i * 7919) % 101) as f32 / 101.0 - 0.5).collect();
    Adapter::new(&config, &shape, values).save(place, base, None, None, &ModelCard::default()).unwrap();
}

#[test]
fn an_adapter_is_a_model_wherever_its_base_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    copy(tiny_model(), &at("tiny"));
    tiny_adapter(&at("beside"), "../tiny");
    tiny_adapter(&at("absolute"), text(tiny_model()));
    tiny_adapter(&at("here"), "tiny");
    tiny_adapter(&at("nowhere"), "an/unknown-model");
    birthmark(&["model", "convert", "--model", text(&at("beside")), "--out", text(&at("whole"))]).expect_code(0);
    let say = |args: &[&str]| {
        let all = [&["model", "generate", "--prompt", "The red cat", "--max-new-tokens", "12"], args].concat();
        birthmark_at(dir.path(), &all)
    };
    let whole = say(&["--model", "whole"]).expect_code(0).stdout;
    for adapter in ["beside", "absolute", "here"] {
        assert_eq!(say(&["--model", adapter]).expect_code(0).stdout, whole, "{adapter}");
    }
    assert_eq!(say(&["--model", "nowhere", "--base", "tiny"]).expect_code(0).stdout, whole);
    assert_ne!(say(&["--model", "tiny"]).expect_code(0).stdout, whole);

    // a tokenizer of its own begins and ends texts as the base says
    copy(&at("beside"), &at("own"));
    fs::copy(tiny_model().join("tokenizer.json"), at("own").join("tokenizer.json")).unwrap();
    assert_eq!(say(&["--model", "own"]).expect_code(0).stdout, whole);
    fs::remove_file(at("own").join("tokenizer.json")).unwrap();
    fs::write(at("own").join("chat_template.jinja"), "{{ messages }}").unwrap();
    say(&["--model", "own"]).refused_with(&["own", "chat_template.jinja without tokenizer.json", "copy the base's"]);

    // what is not there is said, with what would bring it
    say(&["--model", "nowhere"]).refused_with(&["the base of the adapter", "nowhere", "an/unknown-model", "hf download"]);
    tiny_adapter(&at("gone"), "../no such/place");
    say(&["--model", "gone"]).refused_with(&[
        "gone/adapter_config.json",
        "`base_model_name_or_path` is \"../no such/place\"",
        "--base",
    ]);
    say(&["--model", "gone", "--base", "none"]).refused_with(&["--base none", "neither a directory here"]);
    say(&["--model", "tiny", "--base", "tiny"]).refused_with(&["--base tiny", "is no adapter"]);
    tiny_adapter(&at("itself"), "../itself");
    say(&["--model", "itself"]).refused_with(&["itself", "is it its own base?"]);
    let config = fs::read_to_string(at("here").join("adapter_config.json")).unwrap();
    fs::write(at("here").join("adapter_config.json"), config.replace("\"base_model_name_or_path\": \"tiny\",", "")).unwrap();
    say(&["--model", "here"]).refused_with(&["here/adapter_config.json", "`base_model_name_or_path` is missing", "--base"]);
    fs::write(at("here").join("adapter_config.json"), config.replace("\"use_dora\": false", "\"use_dora\": true")).unwrap();
    say(&["--model", "here"]).refused_with(&["here/adapter_config.json", "`use_dora` is true"]);
    fs::copy(tiny_model().join("model.safetensors"), at("beside").join("model.safetensors")).unwrap();
    say(&["--model", "beside"]).refused_with(&["beside", "holds a whole model (model.safetensors) and an adapter"]);
    fs::rename(at("beside").join("adapter_model.safetensors"), at("beside").join("adapter_model.bin")).unwrap();
    say(&["--model", "beside"]).refused_with(&["beside", "holds a whole model (model.safetensors) and an adapter"]);
    // an adapter on another model
    let foreign = root().join("tests/fixtures/parity/gpt2");
    say(&["--model", "absolute", "--base", text(&foreign)]).refused_with(&["adapter_model.safetensors", "is not asked for"]);
}

#[test]
fn an_experiment_may_begin_with_adapters_and_knows_them_by_what_they_stand_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    copy(tiny_model(), &at("tiny"));
    tiny_adapter(&at("adapter"), "../tiny");
    let hash = |run: std::process::Command| {
        let args: Vec<String> = run.get_args().map(|arg| arg.to_str().unwrap().to_string()).collect();
        let sets = args.iter().position(|arg| arg == "--set").unwrap();
        let check = [&["check".to_string(), args[1].clone(), "--quick".into(), "--json".into()], &args[sets..]].concat();
        birthmark(&check).expect_code(0).json_lines().remove(0)["experiment_hash"].clone()
    };
    let before = hash(open_teacher(&at("adapter"), tiny_model(), dir.path()));
    assert_eq!(hash(open_teacher(&at("adapter"), tiny_model(), dir.path())), before);
    // another base is another model
    let name = at("tiny").join("generation_config.json");
    let text_of = fs::read_to_string(&name).unwrap();
    fs::write(&name, text_of + "\n").unwrap();
    assert_ne!(hash(open_teacher(&at("adapter"), tiny_model(), dir.path())), before);

    Ran::of(open_teacher(&at("adapter"), tiny_model(), dir.path()).output().unwrap()).expect_code(0);
    fs::remove_dir_all(at("tiny")).unwrap();
    let run = open_teacher(&at("adapter"), tiny_model(), dir.path()).output().unwrap();
    Ran::of(run).refused_with(&["`teacher.model = ", "`base_model_name_or_path` is \"../tiny\""]);
}

/// Records without what names the experiment.
fn nameless(directory: &Path) -> Vec<Record> {
    let records = results::read_records(&directory.join("records.jsonl")).unwrap();
    let nameless = |record: Record| Record { run_id: String::new(), experiment_hash: String::new(), student_id: None, ..record };
    records.into_iter().map(nameless).collect()
}

/// Smoke with a student's adapter, its teachers and base found; its results, and its artifacts of students by name.
fn smoke_with_adapter(place: &Path, save: &str, threads: u32) -> (PathBuf, Vec<PathBuf>) {
    let lora = format!("student.lora={{ rank = 4, alpha = 8.0, targets = [\"q_proj\", \"down_proj\"], save = \"{save}\" }}");
    let before = smoke();
    copy(&before.artifacts, &place.join("artifacts"));
    fs::remove_dir_all(place.join("artifacts/student")).unwrap();
    let run = run_command(&smoke_file(), place, threads).args(["--set", &lora]).output().unwrap();
    let ran = Ran::of(run).expect_code(0);
    assert!(!ran.stderr.contains("teacher, with canaries"), "nothing but students is made again:\n{}", ran.stderr);
    let students = manifests(&place.join("artifacts")).into_keys().filter(|name| name.starts_with("student/"));
    let students = students.map(|name| place.join("artifacts").join(name)).collect();
    (results_directory(&place.join("results")), students)
}

#[test]
fn students_kept_as_adapters_are_those_kept_whole_bit_by_bit() {
    let [merged, kept] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (merged_results, whole) = smoke_with_adapter(merged.path(), "merged", 2);
    let (kept_results, adapters) = smoke_with_adapter(kept.path(), "adapter", 1);
    assert_eq!(nameless(&merged_results), nameless(&kept_results));
    assert_ne!(nameless(&merged_results), nameless(&smoke().directory), "an adapter is no whole training");

    assert_eq!((whole.len(), adapters.len()), (10, 10));
    let weights = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
    let mut wholes: Vec<Vec<u8>> = whole.iter().map(|dir| weights(dir)).collect();
    let mut written = Vec::new();
    for (i, adapter) in adapters.iter().enumerate() {
        assert!(!adapter.join("model.safetensors").exists());
        let card = fs::read_to_string(adapter.join("README.md")).unwrap();
        assert!(card.contains("library_name: peft") && card.contains("LoRA of rank 4, alpha 8, on q_proj, down_proj"), "{card}");
        // as anybody would read it, from what it says of its base
        let out = kept.path().join(format!("whole-{i}"));
        birthmark(&["model", "convert", "--model", text(adapter), "--out", text(&out)]).expect_code(0);
        written.push(weights(&out));
    }
    wholes.sort();
    written.sort();
    assert!(wholes == written, "the same ten students");
    let bytes = |dir: &Path| fs::metadata(dir.join("adapter_model.safetensors")).unwrap().len();
    assert!(bytes(&adapters[0]) < wholes[0].len() as u64 / 2);
}

#[cfg(unix)]
#[test]
fn kills_do_not_change_a_bit_of_an_adapter() {
    let place = tempfile::tempdir().unwrap();
    let file = root().join("experiments/ci/adapter.toml");
    let reference = run(&file, place.path(), 2);
    killed_and_resumed(&file, &reference, 3, 4);
}

#[test]
fn the_cost_of_an_adapter_is_told() {
    let lora = "student.lora={ rank = 2, alpha = 2, targets = [\"q_proj\"], save = \"adapter\" }";
    let check = |sets: &[&str]| {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let args = [&["check", "experiments/ci/smoke.toml", "--quick"], &sets[..]].concat();
        birthmark(&args).expect_code(0).stdout
    };
    let said = check(&[lora]);
    assert!(said.contains("LoRA of rank 2 on q_proj: 64 parameters beside"), "{said}");
    let disk = |said: &str| -> f64 {
        let line = said.lines().find(|line| line.starts_with("disk")).unwrap();
        line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
    };
    assert!(disk(&said) < disk(&check(&[])), "ten adapters take less than ten models");
}

#[test]
fn adapters_that_cannot_be_trained_are_refused() {
    let refused = |lora: &str, parts: &[&str]| {
        let set = format!("student.lora={lora}");
        birthmark(&["check", "experiments/ci/smoke.toml", "--set", &set]).refused_with(parts);
    };
    let q = "targets = [\"q_proj\"]";
    refused(&format!("{{ rank = 0, alpha = 1, {q} }}"), &["`student.lora.rank = 0`", "write 1 or more"]);
    refused(&format!("{{ rank = 4611686018427387904, alpha = 1, {q} }}"), &["`student.lora.rank", "write at most 1048576"]);
    refused(
        &format!("{{ rank = 17, alpha = 1, {q} }}"),
        &["`student.lora.rank = 17`", "self_attn.q_proj` is a matrix of 16 x 16", "write at most 16"],
    );
    refused(&format!("{{ rank = 2, alpha = 0, {q} }}"), &["`student.lora.alpha = 0`", "write a number above 0"]);
    refused(&format!("{{ rank = 2, alpha = -1.5, {q} }}"), &["`student.lora.alpha = -1.5`"]);
    refused("{ rank = 2, alpha = 1, targets = [] }", &["`student.lora.targets = []`", "name modules"]);
    refused("{ rank = 2, alpha = 1, targets = \"q_proj\" }", &["`student.lora.targets", "should be an array"]);
    refused(
        "{ rank = 2, alpha = 1, targets = [\"q_proj\", \"q_proj\"] }",
        &["`student.lora.targets[1] = \"q_proj\"`", "it is there already"],
    );
    refused(
        "{ rank = 2, alpha = 1, targets = [\"c_attn\"] }",
        &["`student.lora.targets", "c_attn does not fit", "it has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"],
    );
    refused(&format!("{{ rank = 2, alpha = 1, {q}, dropout = 0.1 }}"), &["`student.lora.dropout`", "unknown key"]);
    refused(&format!("{{ rank = 2, alpha = 1, {q}, save = \"both\" }}"), &["`student.lora.save = \"both\"`", "unknown choice"]);
    let cold = "base={ cold = { architecture = { llama = { hidden_size = 16, num_hidden_layers = 1, num_attention_heads = 2, \
                num_key_value_heads = 1, intermediate_size = 32, max_position_embeddings = 96, rope_theta = 10000.0, \
                rms_norm_eps = 1e-5, tie_word_embeddings = true } } } }";
    let kept = format!("student.lora={{ rank = 2, alpha = 1, {q}, save = \"adapter\" }}");
    birthmark(&["check", "experiments/ci/smoke.toml", "--set", cold, "--set", &kept]).refused_with(&[
        "`student.lora.save = \"adapter\"`",
        "freshly drawn base",
        "save = \"merged\"",
    ]);
}
