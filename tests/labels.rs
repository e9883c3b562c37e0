//! The `label` surface through the whole pipeline: every answer is one of the labels, with or without their posterior.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use distill::read_parquet;
use oracle::{Codec, Sampling, Stop};
use results::{Arm, Record};

use crate::support::{Finished, Ran, birthmark, copy, manifests, results_directory, root, run_command, smoke, smoke_file, text};

/// Text, labels alone and labels with their posterior.
const CHANNELS: &str = "distill=[{ surface = \"text\", loss = { sequence_kd = {} } }, \
    { surface = { label = { labels = [\"yes\", \"no\"], posterior = false } }, loss = { sequence_kd = {} } }, \
    { surface = { label = { labels = [\"yes\", \"no\"], posterior = true } }, loss = { topk_kl = { tail = \"bucket\" } } }]";

/// Smoke with `sets` below `place`, where the artifacts of smoke are already.
fn smoke_run(place: &Path, sets: &[&str]) -> Ran {
    copy(&smoke().artifacts, &place.join("artifacts"));
    let mut command = run_command(&smoke_file(), place, 2);
    Ran::of(command.args(sets.iter().flat_map(|set| ["--set", set])).output().unwrap())
}

#[test]
fn every_answer_is_a_label_and_records_say_so() {
    let place = tempfile::tempdir().unwrap();
    let ran = smoke_run(place.path(), &[CHANNELS]).expect_code(0);
    let finished =
        Finished { artifacts: place.path().join("artifacts"), directory: results_directory(&place.path().join("results")), ran };
    let old = manifests(&smoke().artifacts);
    let new: Vec<String> = manifests(&finished.artifacts).into_keys().filter(|name| !old.contains_key(name)).collect();

    // three teachers, a shard for 25 queries of 60; both label surfaces share them, and text finds those of smoke
    let shards: Vec<&String> = new.iter().filter(|name| name.starts_with("transcript/")).collect();
    assert_eq!(shards.len(), 3 * 3, "{new:?}");
    let said = |tokenizer: &lm::Tokenizer, shard: &str| -> Vec<String> {
        let exchanges = read_parquet(&finished.artifacts.join(shard).join("transcript.parquet")).unwrap();
        assert!(exchanges.iter().all(|e| e.stop == Stop::EndToken && e.query.sampling == Sampling::GREEDY));
        exchanges.iter().map(|exchange| tokenizer.decode(&exchange.answer)).collect()
    };
    let tokenizer = fs::read_dir(finished.artifacts.join("tokenizer")).unwrap().map(|entry| entry.unwrap().path());
    let tokenizer = tokenizer.into_iter().find(|path| path.join("tokenizer.json").is_file()).unwrap();
    let tokenizer = lm::Tokenizer::load(&tokenizer).unwrap();
    let answers: Vec<String> = shards.iter().flat_map(|shard| said(&tokenizer, shard)).collect();
    assert_eq!(answers.len(), 3 * 60);
    assert!(answers.iter().all(|answer| answer == "yes" || answer == "no"), "{answers:?}");

    let records = results::read_records(&finished.directory.join("records.jsonl")).unwrap();
    let surfaces = |arm: Arm| -> BTreeSet<&str> {
        records.iter().filter(|record| record.arm == arm).map(|record| record.surface.as_str()).collect()
    };
    let all = BTreeSet::from(["text", "label(yes|no)", "label(yes|no,posterior)"]);
    for arm in [Arm::Student, Arm::Control, Arm::Rival] {
        assert_eq!(surfaces(arm), all, "{arm:?}");
    }
    // what a text student was is what it is in smoke
    let losses = |records: &[Record], surface: &str| -> Vec<f64> {
        let of = |r: &&Record| r.arm == Arm::Student && r.surface == surface && r.metric.as_deref() == Some("held_out_loss");
        records.iter().filter(of).map(|record| record.value.unwrap()).collect()
    };
    let plain = results::read_records(&smoke().directory.join("records.jsonl")).unwrap();
    assert_eq!(losses(&records, "text"), losses(&plain, "text"));
    let (hard, soft) = (losses(&records, "label(yes|no)"), losses(&records, "label(yes|no,posterior)"));
    assert!(hard.len() == 2 && soft.len() == 2 && hard != soft, "{hard:?} {soft:?}");

    let figures = fs::read_dir(&finished.directory).unwrap().map(|entry| entry.unwrap().path());
    let figures: Vec<_> = figures.filter(|path| path.extension().is_some_and(|ending| ending == "svg")).collect();
    let shows = |file: &Path| fs::read_to_string(file).unwrap().contains("label(yes|no,posterior)");
    assert!(figures.iter().any(|figure| shows(figure)), "{figures:?}");
    assert!(shows(&finished.directory.join("summary.csv")));
    assert!(finished.ran.stdout.contains("label(yes|no,posterior)"), "{}", finished.ran.stdout);
}

#[test]
fn labels_that_only_the_tokenizer_refuses() {
    let place = tempfile::tempdir().unwrap();
    let labels = |labels: &str| {
        format!(
            "distill=[{{ surface = {{ label = {{ labels = {labels}, posterior = true }} }}, loss = {{ sequence_kd = {{}} }} }}]"
        )
    };
    let results = place.path().join("results");
    smoke_run(place.path(), &[&labels("[\"zyx\", \"no\", \"zyw\"]")]).refused_with(&[
        "`distill[0].surface.label.labels[2]` is \"zyw\"",
        "begins with the same token as \"zyx\"",
        "write labels that begin with different ones",
    ]);
    let _ = fs::remove_dir_all(&results);
    smoke_run(place.path(), &[&labels("[\"zzzzzzzzzzzz\", \"no\"]")])
        .refused_with(&["`queries.max_new_tokens` is 8", "shorten the labels of `distill[0].surface`"]);
}

#[test]
fn an_axis_of_labels_is_checked_point_by_point() {
    let place = tempfile::tempdir().unwrap();
    let spec = format!("\"{}\"", text(&root().join("datasets/quickstart.toml")));
    let smoke = fs::read_to_string(smoke_file()).unwrap().replace("\"datasets/quickstart.toml\"", &spec);
    let with = |labels: &str| {
        let channel = |labels: &str| {
            format!("[{{ surface = {{ label = {{ labels = {labels}, posterior = true }} }}, loss = {{ sequence_kd = {{}} }} }}]")
        };
        let file = place.path().join("grid.toml");
        fs::write(&file, format!("{smoke}\n[grid]\ndistill = [{}, {}]\n", channel("[\"yes\", \"no\"]"), channel(labels)))
            .unwrap();
        birthmark(&["check", "--quick", "--json", text(&file)])
    };
    with("[\"yes\", \"no\", \"yes\"]").refused_with(&["distill[0].surface.label.labels[2]", "labels[0] is the same"]);
    let ran = with("[\"up\", \"down\"]").expect_code(0);
    assert!(!ran.json_lines().is_empty());
}

#[test]
fn a_bill_counts_short_answers() {
    let said = birthmark(&["check", text(&smoke_file()), "--quick", "--json", "--set", CHANNELS]).expect_code(0).json_lines();
    let estimate = &said[0]["estimate"];
    // three teachers are asked twice: for texts of 8 tokens, and for labels of 3 bytes with their end
    assert_eq!((&estimate["queries"], &estimate["answer_tokens"]), (&(2 * 3 * 60).into(), &(3 * 60 * (8 + 4)).into()));
}
