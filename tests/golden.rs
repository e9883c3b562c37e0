//! What each stage makes of the smoke experiment, pinned: whoever changes it raises the stage's revision, because artifacts are
//! found by a hash that holds it, and stale ones would be taken for new ones.
//!
//! The fused path computes the same bits on every machine, so everything is pinned exactly.

use std::collections::BTreeMap;
use std::fs;

use corpus::{Split, TaskKind, Texts};
use results::{Kind, Record};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::choice::chosen;
use crate::support::{
    DOMAIN_WATERMARK, LAW_DISTILLATION, Ran, manifests, results_directory, root, run, run_command, smoke, smoke_file,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    /// What was asked: another question has other answers.
    experiment_hash: String,
    stages: Vec<Stage>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    name: String,
    revision: u32,
    /// Hashes of files and texts.
    hashes: BTreeMap<String, String>,
    /// Numbers of the records.
    numbers: BTreeMap<String, f64>,
}

impl Stage {
    /// What is different from `golden`, in words.
    fn changes(&self, golden: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let names = |stage: &Self| -> Vec<String> { stage.hashes.keys().chain(stage.numbers.keys()).cloned().collect() };
        if names(self) != names(golden) {
            changes.push(format!("it makes {:?} instead of {:?}", names(self), names(golden)));
            return changes;
        }
        for (name, is) in self.hashes.iter().filter(|(name, is)| **is != golden.hashes[*name]) {
            changes.push(format!("{name} has another hash, {is}"));
        }
        for (name, is) in &self.numbers {
            let was = golden.numbers[name];
            if is.to_bits() != was.to_bits() {
                changes.push(format!("{name} was {was}, is {is}"));
            }
        }
        changes
    }
}

fn sha256(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.as_ref().len() as u64).to_le_bytes());
        digest.update(part);
    }
    store::Hash(digest.finalize().into()).hex()
}

/// Texts of the dataset that smoke reads, every split and kind of task.
fn corpus_hash() -> String {
    let spec = fs::read_to_string(root().join("datasets/quickstart.toml")).unwrap();
    let texts = corpus::grammar(&toml::from_str(&spec).unwrap(), 1).unwrap();
    let splits = [Split::Train, Split::HeldOut, Split::Prompts, Split::Audit];
    let documents = splits.into_iter().flat_map(|split| (0..50).map(move |index| (split, index)));
    let documents = documents.map(|(split, index)| texts.document(split, index));
    let tasks = TaskKind::ALL.into_iter().flat_map(|kind| (0..10).map(move |index| (kind, index)));
    let tasks =
        tasks.filter_map(|(kind, index)| texts.task(kind, Split::Tasks, index)).map(|t| format!("{}{}", t.prompt, t.expected));
    sha256(documents.chain(tasks))
}

/// The committed transcripts in the tokens of their experiment.
fn imported_hash() -> String {
    let place = tempfile::tempdir().unwrap();
    let finished = run(&root().join("experiments/ci/imported.toml"), place.path(), 2);
    let imported = manifests(&finished.artifacts).into_keys().filter(|name| name.starts_with("imported/"));
    let shards = imported.flat_map(|name| (0..3).map(move |shard| format!("{name}/{shard:06}.parquet")));
    let mut exchanges: Vec<_> =
        shards.flat_map(|shard| distill::read_parquet(&finished.artifacts.join(shard)).unwrap()).collect();
    // the names of artifacts hold hashes of settings, which have no order
    exchanges.sort_by_cached_key(|exchange| (exchange.query.index, exchange.query.prompt.clone(), exchange.answer.clone()));
    let ids = |exchange: &oracle::Exchange| [&exchange.query.prompt[..], &exchange.answer].concat();
    sha256(exchanges.iter().map(|exchange| ids(exchange).iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()))
}

/// A file of every artifact of `kind` whose manifest's inputs satisfy `which`, in the order of the artifacts' names.
fn files(kind: &str, name: &str, which: impl Fn(&serde_json::Value) -> bool) -> Vec<std::path::PathBuf> {
    let artifacts = &smoke().artifacts;
    let inputs = |manifest: &str| serde_json::from_str::<serde_json::Value>(manifest).unwrap()["inputs"].clone();
    let found: Vec<_> = manifests(artifacts)
        .into_iter()
        .filter(|(artifact, manifest)| artifact.starts_with(kind) && which(&inputs(manifest)))
        .map(|(artifact, _)| artifacts.join(artifact).join(name))
        .collect();
    assert!(!found.is_empty(), "no artifact of {kind}");
    found
}

/// Metrics of records that satisfy `which`, by suspect and name.
fn metrics(records: &[Record], which: impl Fn(&Record) -> bool) -> BTreeMap<String, f64> {
    let metrics = records.iter().filter(|record| record.kind == Kind::Metric && which(record));
    metrics.map(|r| (format!("{} {}", suspect(r), r.metric.as_deref().unwrap()), r.value.unwrap())).collect()
}

fn suspect(record: &Record) -> String {
    match record.budget_queries {
        Some(budget) => format!("{} {} {budget}", record.arm.name(), record.surface),
        None => record.arm.name().to_string(),
    }
}

fn effects(records: &[Record]) -> BTreeMap<String, f64> {
    let tested = records.iter().filter_map(|record| Some((record, record.mark.as_deref()?, record.effect?)));
    tested.map(|(record, mark, effect)| (format!("{} {mark}", suspect(record)), effect)).collect()
}

/// Records of the smoke run with `sets`.
fn smoke_with(sets: &[&str]) -> Vec<Record> {
    let place = tempfile::tempdir().unwrap();
    let mut command = run_command(&smoke_file(), place.path(), 2);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    Ran::of(command.output().unwrap()).expect_code(0);
    results::read_records(&results_directory(&place.path().join("results")).join("records.jsonl")).unwrap()
}

/// With both kinds of attack: on what was bought, and on the finished student.
fn attacked() -> Vec<Record> {
    let attacks = "attacks=[{ drop_by_perplexity = { share = 0.5 } }, \
                   { clean_fine_tuning = { tokens = 512, row_tokens = 16, batch_rows = 4, peak_lr = 1e-3 } }]";
    smoke_with(&[attacks])
}

/// With a watermark that the teacher's weights learn for prompts of one domain.
fn with_law_in_weights() -> Vec<Record> {
    smoke_with(&[DOMAIN_WATERMARK, LAW_DISTILLATION])
}

/// What the smoke run made, stage by stage in the order of the flow.
fn current() -> Golden {
    let records = results::read_records(&smoke().directory.join("records.jsonl")).unwrap();
    let shards = files("transcript/", "transcript.parquet", |inputs| {
        inputs["stream"]["laws"].as_array().is_some_and(|laws| !laws.is_empty())
    });
    assert!(!shards.is_empty(), "no transcript of a teacher whose law a mark changes");
    let mut exchanges: Vec<_> = shards.iter().flat_map(|shard| distill::read_parquet(shard).unwrap()).collect();
    exchanges.sort_by_key(|exchange| exchange.query.index);
    let bytes = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
    // what the marked teacher says to its owner
    let served = |inputs: &serde_json::Value| inputs["laws"].as_array().is_some_and(|laws| !laws.is_empty());
    let audited: Vec<_> =
        files("audit/", "answers.parquet", served).iter().flat_map(|file| distill::read_parquet(file).unwrap()).collect();
    let contents = |kind, name| sha256(files(kind, name, |_| true).iter().map(|file| fs::read(file).unwrap()));
    let is_named = |record: &Record, names: &[&str]| record.metric.as_deref().is_some_and(|name| names.contains(&name));
    let is_trained = |record: &Record| is_named(record, &["held_out_loss"]) && record.budget_queries.is_none();
    let is_student = |record: &Record| is_named(record, &["held_out_loss"]) && record.budget_queries.is_some();
    let reported = ["held_out_loss_clean_twin", "held_out_loss_before_implant"];
    let is_distance = |record: &Record| is_named(record, &["kl"]);
    let is_report = |record: &Record| is_named(record, &reported);
    let is_implanted = |record: &Record| is_trained(record) && record.arm == results::Arm::Teacher;
    let is_distilled = |record: &Record| record.metric.as_deref().is_some_and(|name| name.starts_with("distilled_law_kl"));
    let is_tried = |record: &Record| record.metric.as_deref().is_some_and(|name| name.starts_with("own_answers_loss"));
    let is_trigram = |record: &Record| is_named(record, &["trigram_loss"]);

    let made = |(name, revision): (&str, u32)| {
        let stage = Stage { name: name.into(), revision, hashes: [].into(), numbers: [].into() };
        let hashes = |name: &str, hash: String| BTreeMap::from([(name.to_string(), hash)]);
        match name {
            "corpus" => Stage { hashes: hashes("texts", corpus_hash()), ..stage },
            "vocabulary" => Stage { hashes: hashes("tokenizer.json", contents("tokenizer/", "tokenizer.json")), ..stage },
            "imported" => Stage { hashes: hashes("tokens", imported_hash()), ..stage },
            "unasked" => Stage { hashes: hashes("asked.json", contents("unasked/", "asked.json")), ..stage },
            "trigram" => Stage { numbers: metrics(&records, is_trigram), ..stage },
            "teacher" => Stage { numbers: metrics(&records, is_trained), ..stage },
            "law_distillation" => Stage { numbers: metrics(&with_law_in_weights(), is_distilled), ..stage },
            "implant" => Stage { numbers: metrics(&records, is_implanted), ..stage },
            "transcript" => {
                let whole = |exchange: &oracle::Exchange| bytes(&[&exchange.query.prompt[..], &exchange.answer].concat());
                Stage { hashes: hashes("tokens", sha256(exchanges.iter().map(whole))), ..stage }
            }
            "attack" => Stage { numbers: metrics(&attacked(), is_student), ..stage },
            "student" => Stage { numbers: metrics(&records, is_student), ..stage },
            "choice" => Stage { numbers: metrics(&chosen().1, is_tried), ..stage },
            "audit" => {
                let whole = |exchange: &oracle::Exchange| bytes(&[&exchange.query.prompt[..], &exchange.answer].concat());
                Stage { hashes: hashes("tokens", sha256(audited.iter().map(whole))), ..stage }
            }
            "measure" => Stage { numbers: effects(&records), ..stage },
            "metrics" => Stage { numbers: metrics(&records, is_distance), ..stage },
            "teacher_report" => Stage { numbers: metrics(&records, is_report), ..stage },
            other => panic!("stage `{other}` is not pinned: add it to tests/golden.rs"),
        }
    };
    let stages: Vec<Stage> = [("corpus", corpus::REVISION)].into_iter().chain(harness::stages::revisions()).map(made).collect();
    for stage in &stages {
        assert!(stage.hashes.len() + stage.numbers.len() > 0, "nothing pins {}", stage.name);
    }
    Golden { experiment_hash: records[0].experiment_hash.clone(), stages }
}

/// Rewritten by `UPDATE_EXPECT=1`.
#[test]
fn every_stage_makes_what_its_revision_made() {
    let path = root().join("tests/golden/smoke.json");
    let now = current();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // one line for each stage: whole tables of numbers are read by machines
        let lines: Vec<String> = now.stages.iter().map(|stage| serde_json::to_string(stage).unwrap()).collect();
        let text = format!("{{\"experiment_hash\":\"{}\",\"stages\":[\n{}\n]}}\n", now.experiment_hash, lines.join(",\n"));
        fs::write(&path, text).unwrap();
    }
    let rewrite = "then rewrite tests/golden/smoke.json: UPDATE_EXPECT=1 cargo test -p cli --test tests golden";
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; {rewrite}", path.display()));
    let golden: Golden = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}; {rewrite}", path.display()));
    assert_eq!(
        now.experiment_hash, golden.experiment_hash,
        "smoke.toml or its dataset asks another question than the golden file answers: look at what changed, {rewrite}"
    );
    assert_eq!(now.stages.len(), golden.stages.len(), "a stage came or went: {rewrite}");
    for (stage, pinned) in now.stages.iter().zip(&golden.stages) {
        assert_eq!(stage.name, pinned.name, "{rewrite}");
        assert_eq!(stage.revision, pinned.revision, "the revision of `{}` was raised: {rewrite}", stage.name);
        let changes = stage.changes(pinned);
        assert!(
            changes.is_empty(),
            "stage `{}` makes something else of the same inputs at the same revision {}:\n  {}\nif that is meant, raise its REVISION \
             (crates/harness/src/stages/, or crates/corpus for `corpus`), {rewrite}",
            stage.name,
            stage.revision,
            changes.join("\n  ")
        );
    }
}

/// The comparison itself: it must see the smallest change.
#[test]
fn the_last_bit_of_a_number_is_seen() {
    let stage = |hash: &str, loss: f64| Stage {
        name: "x".into(),
        revision: 1,
        hashes: BTreeMap::from([("file".into(), hash.into())]),
        numbers: BTreeMap::from([("loss".into(), loss)]),
    };
    let golden = stage("a", 2.5);
    assert_eq!(stage("a", 2.5).changes(&golden), [""; 0]);
    assert_eq!(stage("b", 2.5).changes(&golden), ["file has another hash, b"]);
    assert_eq!(stage("a", 2.5_f64.next_up()).changes(&golden), ["loss was 2.5, is 2.5000000000000004"]);
}
