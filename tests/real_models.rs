//! Experiments on open models of other architectures, with tiny models of the same kind in the hub's cache in their place.

use std::fs;
use std::path::{Path, PathBuf};

use lm::{Model, ModelCard, ModelConfig, Tokenizer};

use crate::support::{Ran, command, results_directory, root, text, tiny_model};

/// A commit as the hub names them.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Experiment, its two models, and their architecture.
const FILES: [(&str, [&str; 2], &str); 3] = [
    ("pythia-14m", ["EleutherAI/pythia-14m", "EleutherAI/pythia-14m-seed1"], "gpt_neox"),
    ("tinystories-33m", ["roneneldan/TinyStories-33M", "roneneldan/TinyStories-8M"], "gpt_neo"),
    ("smollm2-135m", ["HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-360M"], "llama"),
];

/// A home with a cache in which both models lie, and texts.
struct StandIns {
    home: tempfile::TempDir,
}

impl StandIns {
    fn new(models: [&str; 2], architecture: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::load(tiny_model()).unwrap();
        for (seed, name) in models.into_iter().enumerate() {
            let place = home.path().join("hub").join(format!("models--{}", name.replace('/', "--")));
            fs::create_dir_all(place.join("refs")).unwrap();
            fs::write(place.join("refs/main"), COMMIT).unwrap();
            let config = config(architecture, tokenizer.max_id() as usize + 1);
            let model = Model::init(&config, seed as u64);
            model.save(&place.join("snapshots").join(COMMIT), Some(&tokenizer), &ModelCard::default()).unwrap();
        }
        let words = ["red", "old", "small", "kind", "green"];
        let line = |i: usize| {
            let story =
                format!("The {} cat saw {i} birds and the {} dog ran {} times home.", words[i % 5], words[i / 5 % 5], i * 7);
            format!("{}\n", serde_json::json!({ "text": story }))
        };
        fs::write(home.path().join("texts.jsonl"), (0..12_000).map(line).collect::<String>()).unwrap();
        Self { home }
    }

    fn birthmark(&self, command_name: &str, experiment: &str, more: &[&str]) -> Ran {
        let corpus = format!("corpus.file.path={}", text(&self.home.path().join("texts.jsonl")));
        let file = format!("experiments/{experiment}.toml");
        let mut command = command(&root());
        command.env("HF_HOME", self.home.path()).args([command_name, &file, "--set", &corpus]).args(more);
        Ran::of(command.output().unwrap())
    }
}

/// A tiny model of the architecture, as its example in the registry but for the vocabulary and the context.
fn config(architecture: &str, vocab: usize) -> ModelConfig {
    let examples = ModelConfig::examples();
    let example = examples.iter().find(|config| config.model_type() == architecture).unwrap();
    let mut json = example.arch().config_json();
    json["vocab_size"] = vocab.into();
    json["max_position_embeddings"] = 128.into();
    ModelConfig::parse(&json.to_string(), Path::new("config.json")).unwrap()
}

#[test]
fn experiments_on_open_models_are_ready_for_the_day_the_weights_are_there() {
    for (experiment, models, architecture) in FILES {
        let here = StandIns::new(models, architecture);
        let ran = here.birthmark("check", experiment, &["--quick"]).expect_code(0);
        assert!(ran.stdout.contains(COMMIT) || ran.stderr.contains(COMMIT), "{experiment}: the commit is said: {ran:?}");
        let missing = StandIns { home: tempfile::tempdir().unwrap() };
        fs::copy(here.home.path().join("texts.jsonl"), missing.home.path().join("texts.jsonl")).unwrap();
        let ran = missing.birthmark("check", experiment, &["--quick"]).expect_code(2);
        for model in models {
            assert!(ran.stderr.contains(model) || ran.stdout.contains(model), "{experiment}: {model} is missing: {ran:?}");
        }
    }
}

#[test]
fn a_teacher_and_a_student_of_another_architecture_go_all_the_way() {
    let (experiment, models, architecture) = FILES[0];
    let here = StandIns::new(models, architecture);
    let place = |name: &str| -> PathBuf { here.home.path().join(name) };
    let sets = [
        "planting.implant.max_steps=10",
        "marks.secret_keys.secret_keys.keys=4",
        "marks.output_agreement.output_agreement.prompts=20",
        "queries.budgets=[20,40]",
        "student.compute={ fixed_steps = { tokens = 4_000 } }",
        "audit.prompts=10",
        "measure.held_out_documents=5",
        "measure.permutations=999",
    ];
    let [results, artifacts] = ["results", "artifacts"].map(place);
    let mut more = vec!["--quiet", "--results", text(&results), "--artifacts", text(&artifacts)];
    more.extend(sets.iter().flat_map(|set| ["--set", set]));
    here.birthmark("run", experiment, &more).expect_code(0);
    let directory = results_directory(&results);
    let records = results::read_records(&directory.join("records.jsonl")).unwrap();
    assert!(records.iter().any(|record| record.arm == results::Arm::Student && record.log10_p.is_some()));
    let students: Vec<PathBuf> = fs::read_dir(artifacts.join("student"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    let student = students.iter().find(|path| path.join("config.json").exists()).unwrap();
    let card = fs::read_to_string(student.join("README.md")).unwrap();
    let said = |key: &str, value: &str| card.lines().any(|line| line.starts_with(&format!("| {key} | ")) && line.contains(value));
    assert!(said("teacher", COMMIT) && said("surface", "text") && said("transcript", ""), "{card}");
    assert!(["20", "40"].iter().any(|budget| said("queries", budget)) && !card.contains("license"), "{card}");
    assert_eq!(Model::load(student).unwrap().config().model_type(), architecture);
    let before = fs::read(directory.join("records.jsonl")).unwrap();
    here.birthmark("run", experiment, &more).expect_code(0);
    assert_eq!(fs::read(directory.join("records.jsonl")).unwrap(), before, "the same command finds what is done");
}
