//! Every experiment of `experiments/ci/` is run; the same work gives the same records, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use results::{Arm, Kind, Record};

use crate::support::{
    Finished, Ran, copy, experiments, gate, gate_file, manifests, root, run, run_command, smoke, smoke_file, text,
};

#[test]
fn every_ci_experiment_runs_and_says_what_it_found() {
    for file in experiments("experiments/ci") {
        let python = fs::read_to_string(&file).unwrap().contains("python3");
        if python && !crate::process::python(text(&file)) {
            continue;
        }
        let place = tempfile::tempdir().unwrap();
        let own;
        let finished = if file == smoke_file() {
            smoke()
        } else if file == gate_file() {
            gate()
        } else {
            own = run(&file, place.path(), 2);
            &own
        };
        let records = results::read_records(&finished.directory.join("records.jsonl")).unwrap();
        every_arm_is_judged(&records);
        reports_are_whole(finished, &records);
        transcripts_open(finished);
    }
}

fn every_arm_is_judged(records: &[Record]) {
    let arms: BTreeSet<Arm> = records.iter().map(|record| record.arm).collect();
    for arm in [Arm::Teacher, Arm::Student, Arm::Control, Arm::Rival, Arm::Base, Arm::Stranger] {
        assert!(arms.contains(&arm), "no record of the {} arm", arm.name());
    }
    let of_arm = |arm: Arm| {
        let marks = records.iter().filter(move |record| record.arm == arm && record.kind == Kind::Mark);
        marks.filter_map(|record| record.mark.clone()).collect::<BTreeSet<String>>()
    };
    for arm in &arms {
        assert_eq!(of_arm(*arm), of_arm(Arm::Teacher), "every mark is asked of the {} arm", arm.name());
    }
    for record in records {
        let what = format!("{record:?}");
        assert!(!record.run_id.is_empty() && record.experiment_hash.len() == 64 && record.device == "cpu", "{what}");
        match record.kind {
            Kind::Mark => {
                assert!(record.verdict.is_some() && record.view.is_some() && record.planted.is_some(), "{what}");
                assert!(record.log10_p.is_some() || record.reason.is_some(), "a p-value, or why there is none: {what}");
                let bounded = |p: Option<f64>| p.is_none_or(|p| p.is_finite() && p <= 0.0);
                assert!(bounded(record.log10_p) && bounded(record.log10_p_holm) && bounded(record.log10_p_decoy), "{what}");
            }
            Kind::Metric => assert!(record.metric.is_some() && record.value.is_some() && record.unit.is_some(), "{what}"),
        }
    }
    let metric = |arm: Arm, name: &str| {
        let found = records.iter().any(|record| record.arm == arm && record.metric.as_deref() == Some(name));
        assert!(found, "no {name} of the {} arm", arm.name());
    };
    for name in ["held_out_loss", "agreement", "kl", "queries", "answer_tokens", "train_flop"] {
        metric(Arm::Student, name);
    }
    metric(Arm::Teacher, "held_out_loss_clean_twin");
}

fn reports_are_whole(finished: &Finished, records: &[Record]) {
    let read = |name: &str| fs::read(finished.directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    for figure in ["survival", "effect", "loss", "survival-column", "effect-column", "loss-column"] {
        let svg = String::from_utf8(read(&format!("{figure}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{figure}.svg is whole");
        // words are outlines that need no font, and are said in the description
        let words = svg.split_once("<desc>").and_then(|(_, rest)| rest.split_once("</desc>")).unwrap().0;
        assert!(words.lines().count() > 5 && !svg.contains("<text") && !svg.contains("font"), "{figure}.svg: {words}");
        let pdf = read(&format!("{figure}.pdf"));
        assert!(pdf.starts_with(b"%PDF-") && pdf.trim_ascii_end().ends_with(b"%%EOF"), "{figure}.pdf is a PDF");
        let png = read(&format!("{figure}.png"));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "{figure}.png is a PNG");
        let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert!(side(16) >= 400 && side(20) >= 200 && png.len() > 5_000, "{figure}.png: {} x {}", side(16), side(20));
    }
    let mut summary = csv::Reader::from_reader(std::io::Cursor::new(read("summary.csv")));
    let verdict = summary.headers().unwrap().iter().position(|name| name == "verdict").unwrap();
    let rows: Vec<csv::StringRecord> = summary.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), records.iter().filter(|record| record.kind == Kind::Mark).count(), "a row for each mark and suspect");
    assert!(rows.iter().all(|row| !row[verdict].is_empty()));

    let lines = |name: &str| String::from_utf8(read(name)).unwrap().lines().map(str::to_string).collect::<Vec<_>>();
    let ids: BTreeSet<&str> = records.iter().map(|record| record.run_id.as_str()).collect();
    assert_eq!(lines("runs.jsonl").len(), ids.len(), "every run of the grid has records");
    assert!(!lines("timings.jsonl").is_empty());
    let table = String::from_utf8(read("table.txt")).unwrap();
    assert!(finished.ran.stdout.contains(table.trim_end()), "the table is printed");
    assert!(finished.ran.stdout.trim_end().ends_with(text(&finished.directory)), "and where the results are");
    assert!(!finished.directory.join("records.partial.jsonl").exists(), "the journal of a finished run is gone");
    // neither the secret nor anything a clock or this machine decides is in what identifies a result
    for name in ["experiment.json", "runs.jsonl", "records.jsonl"] {
        let content = String::from_utf8(read(name)).unwrap();
        assert!(!content.contains("public demo secret") && !content.contains(text(&root())), "{name}");
    }
}

fn transcripts_open(finished: &Finished) {
    let transcripts: Vec<String> =
        manifests(&finished.artifacts).into_keys().filter(|name| name.starts_with("transcript/")).collect();
    // imported answers are asked of nobody; the stranger answers the same prompts
    let imported = manifests(&finished.artifacts).into_keys().any(|name| name.starts_with("imported/"));
    let teachers = if imported { 1 } else { 3 };
    assert!(
        transcripts.len() >= 3 * teachers,
        "three shards each of the marked teacher, its twin and the stranger: {transcripts:?}"
    );
    let mut asked = BTreeMap::new();
    for name in transcripts {
        let shard = distill::read_parquet(&finished.artifacts.join(&name).join("transcript.parquet")).unwrap();
        assert!(shard.iter().all(|exchange| !exchange.query.prompt.is_empty()));
        assert!(shard.windows(2).all(|pair| pair[0].query.index + 1 == pair[1].query.index));
        shard.iter().for_each(|exchange| *asked.entry(exchange.query.index).or_insert(0) += 1);
    }
    assert!(asked.values().all(|&times| times >= teachers && times == asked[&0]), "every query once of every teacher: {asked:?}");
    assert!(asked.keys().copied().eq(0..asked.len() as u64), "no query is missing: {asked:?}");
}

#[test]
fn a_second_run_finds_everything() {
    let place = tempfile::tempdir().unwrap();
    let first = smoke();
    copy(&first.artifacts, &place.path().join("artifacts"));
    let results = first.directory.parent().unwrap().parent().unwrap();
    copy(results, &place.path().join("results"));
    let before = manifests(&first.artifacts);
    let second = run(&smoke_file(), place.path(), 2);
    assert_eq!(second.records(), first.records());
    let timings = |finished: &Finished| fs::read(finished.directory.join("timings.jsonl")).unwrap();
    assert_eq!(timings(&second), timings(first), "no stage was run");
    assert_eq!(manifests(&second.artifacts), before, "no artifact was made");
    for name in ["summary.csv", "survival.svg", "table.txt", "runs.jsonl", "experiment.json"] {
        let read = |finished: &Finished| fs::read(finished.directory.join(name)).unwrap();
        assert!(read(&second) == read(first), "{name} is the same");
    }
}

#[test]
fn a_student_may_hold_less_than_its_teacher() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let with = |context: u32| {
        let set = format!("base.train.architecture.llama.max_position_embeddings={context}");
        Ran::of(run_command(&smoke_file(), place.path(), 2).args(["--set", &set]).output().unwrap())
    };
    // documents are cut to the shortest model; a task cut short would be another task
    with(64).expect_code(0);
    with(32).refused_with(&["measure.tasks", "a model holds 32", "raise max_position_embeddings"]);
}
