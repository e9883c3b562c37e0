//! `birthmark audit`: the marks of an experiment in models from outside, whatever they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use results::{Arm, Record, Verdict, read_records};
use serde_json::Value;

use crate::support::{Finished, Ran, birthmark, command, copy, gate, gate_file, manifests, root, text, tiny_model};

/// The student of the gate experiment at this arm and budget, by its card.
fn student(finished: &Finished, arm: &str, budget: u64) -> PathBuf {
    let all = fs::read_dir(finished.artifacts.join("student")).unwrap().map(|entry| entry.unwrap().path());
    let is = |path: &PathBuf| {
        let card = fs::read_to_string(path.join("README.md")).unwrap_or_default();
        card.contains(&format!("| arm | {arm} |")) && card.contains(&format!("| queries | {budget} |"))
    };
    all.into_iter().find(is).unwrap_or_else(|| panic!("no {arm} of {budget} queries"))
}

/// A place of one's own with the artifacts of the gate experiment, and the suspects of the tests copied out of them.
struct Bench {
    place: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        copy(&gate().artifacts, &place.path().join("artifacts"));
        for (name, arm, budget) in [("thief", "student", 600), ("accomplice", "student", 200), ("honest", "control", 600)] {
            copy(&student(gate(), arm, budget), &place.path().join(name));
        }
        Self { place }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn audit(&self, suspect: &Path, negatives: &[&Path], more: &[&str]) -> Ran {
        let mut command = command(&root());
        command.args(["audit", "--threads", "2", "--quiet", "--suspect"]).arg(suspect);
        command.arg("--results").arg(self.at("results")).arg("--artifacts").arg(self.at("artifacts"));
        if !more.contains(&"--experiment") && !more.contains(&"--result") {
            command.arg("--experiment").arg(gate_file());
        }
        negatives.iter().for_each(|negative| {
            command.arg("--negative").arg(negative);
        });
        Ran::of(command.args(more).output().unwrap())
    }

    /// The directories of its audits.
    fn audits(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.at("results/gate")).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<PathBuf> = all.collect();
        all.sort();
        all
    }
}

/// One bench for the tests that only ask.
fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(Bench::new)
}

fn mark<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["marks"].as_array().unwrap().iter().find(|mark| mark["mark"] == name).unwrap_or_else(|| panic!("no {name}: {found}"))
}

#[test]
fn a_student_is_proven_beside_a_negative_and_inconclusive_without() {
    let bench = Bench::new();
    let before = manifests(&bench.at("artifacts"));
    let ran = bench.audit(&bench.at("thief"), &[&bench.at("honest")], &[]).expect_code(100);
    assert!(ran.stdout.contains("watermark: PROVEN") && ran.stdout.contains("Verdict: PROVEN, by `watermark`"), "{}", ran.stdout);
    for part in ["Audit of thief (", "honest (", "statistic", "effect", "decoy keys", "must not show it", "negative honest p"] {
        assert!(ran.stdout.contains(part), "no `{part}` in\n{}", ran.stdout);
    }
    assert_eq!(ran.stderr, "", "the verdict is no error");

    // models and transcripts of the run were found, and no student was made
    let made: Vec<String> = manifests(&bench.at("artifacts")).into_keys().filter(|name| !before.contains_key(name)).collect();
    let kinds = ["measurement/", "metrics/"];
    assert!(made.iter().all(|name| !name.starts_with("student/") && !name.starts_with("pretrained/")), "{made:?}");
    assert!(made.iter().any(|name| name.starts_with(kinds[0])), "{made:?}");

    let [directory] = &bench.audits()[..] else { panic!("one audit, one directory") };
    let records = read_records(&directory.join("records.jsonl")).unwrap();
    let of = |arm: Arm| records.iter().find(|r| r.arm == arm && r.mark.as_deref() == Some("watermark")).unwrap();
    assert_eq!((of(Arm::Suspect).verdict, of(Arm::Negative).verdict), (Some(Verdict::Proven), Some(Verdict::Clean)));
    assert_eq!((of(Arm::Suspect).model.as_deref(), of(Arm::Negative).model.as_deref()), (Some("thief"), Some("honest")));
    assert!(records.iter().all(|r| r.model.is_some() == r.arm.is_from_outside()));
    for name in ["records.jsonl", "audit.json", "experiment.json", "table.txt", "summary.csv"] {
        let content = fs::read_to_string(directory.join(name)).unwrap();
        assert!(!content.contains("public demo secret") && !content.contains(text(bench.place.path())), "{name}");
    }

    // the same again finds everything; `report` makes the table again
    let timings = fs::read(directory.join("timings.jsonl")).unwrap();
    bench.audit(&bench.at("thief"), &[&bench.at("honest")], &["--result", text(&gate().directory)]).expect_code(100);
    let again = bench.audit(&bench.at("thief"), &[&bench.at("honest")], &[]).expect_code(100);
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(fs::read(directory.join("timings.jsonl")).unwrap(), timings, "no stage was run");
    let table = fs::read_to_string(directory.join("table.txt")).unwrap();
    fs::remove_file(directory.join("table.txt")).unwrap();
    birthmark(&["report", text(directory)]).expect_code(0);
    assert_eq!(fs::read_to_string(directory.join("table.txt")).unwrap(), table);

    let ran = bench.audit(&bench.at("thief"), &[], &[]).expect_code(5);
    assert!(ran.stdout.contains("watermark: INCONCLUSIVE") && ran.stdout.contains("--negative MODEL"), "{}", ran.stdout);
    assert_eq!(bench.audits().len(), 2, "another audit, another directory");
}

#[test]
fn an_honest_model_is_not_proven_and_a_negative_that_fires_makes_a_mark_worthless() {
    let bench = bench();
    let ran = bench.audit(&bench.at("honest"), &[tiny_model()], &[]).expect_code(0);
    assert!(ran.stdout.contains("Verdict: NOT PROVEN"), "{}", ran.stdout);
    let ran = bench.audit(&bench.at("thief"), &[&bench.at("accomplice")], &["--json"]).expect_code(5);
    let found = ran.json_lines().remove(0);
    assert_eq!(found["verdict"], "inconclusive");
    let watermark = mark(&found, "watermark");
    assert_eq!(watermark["verdict"], "inconclusive");
    assert!(watermark["reason"].as_str().unwrap().contains("fires where it must not: negative accomplice"), "{watermark}");
    let negatives = watermark["negatives"].as_array().unwrap();
    let named: Vec<&Value> = negatives.iter().filter(|negative| negative["named"] == true).collect();
    assert_eq!((named.len(), &named[0]["verdict"]), (1, &Value::from("false positive")));
    assert!(
        watermark["log10_p"].as_f64().unwrap() < -3.0 && watermark["statistic"].is_number() && watermark["effect"].is_number()
    );
}

/// Another tokenizer, another architecture, another kind of file, a short context: what can be asked is asked, the rest says what it needs.
#[test]
fn models_of_every_kind_can_be_suspects() {
    let bench = bench();
    let gguf = root().join("tests/fixtures/gguf/llama-linear-rope.gguf");
    let parity = root().join("tests/fixtures/parity");
    let mut suspects = vec![tiny_model().to_path_buf(), gguf];
    suspects
        .extend(["gpt2", "qwen3"].map(|name| parity.join(name)).into_iter().filter(|path| path.join("tokenizer.json").is_file()));
    for suspect in suspects {
        let ran = bench.audit(&suspect, &[&bench.at("honest")], &["--json"]);
        assert!(ran.code == 0 || ran.code == 5, "{}: {}\n{}{}", suspect.display(), ran.code, ran.stdout, ran.stderr);
        let found = ran.json_lines().remove(0);
        for name in ["watermark", "output_agreement"] {
            let mark = mark(&found, name);
            let measured = mark["log10_p"].is_number();
            let reason = mark["reason"].as_str().unwrap_or_default();
            assert!(measured || reason.contains("needs"), "{}: {mark}", suspect.display());
            assert_ne!(mark["verdict"], "proven", "{}: {mark}", suspect.display());
        }
    }
}

#[test]
fn what_cannot_be_audited_is_refused_in_one_line() {
    let bench = bench();
    let (thief, honest) = (bench.at("thief"), bench.at("honest"));
    let nowhere = bench.at("nowhere");
    bench.audit(&nowhere, &[], &[]).refused_with(&["--suspect", "nowhere", "no directory", "name a local"]);
    bench.audit(&thief, &[&nowhere], &[]).refused_with(&["--negative", "nowhere"]);
    bench.audit(&thief, &[&thief], &[]).refused_with(&["--negative", "the same model as --suspect", "is no negative"]);
    bench.audit(&thief, &[&honest, &honest], &[]).refused_with(&["--negative", "the same model as --negative", "drop one"]);
    bench.audit(&thief, &[], &["--seed", "7"]).refused_with(&["--seed 7", "the seeds 1"]);
    bench.audit(&thief, &[], &["--set", "seeds=[1,2]"]).refused_with(&["gate.toml", "the seeds 1, 2", "--seed N"]);
    bench.audit(&thief, &[], &["--experiment", "no/such.toml"]).refused_with(&["no/such.toml", "no such file"]);
    bench.audit(&thief, &[], &["--set", "alpha=0"]).refused_with(&["alpha", "out of range"]);
    let empty = tempfile::tempdir().unwrap();
    bench.audit(empty.path(), &[], &[]).refused_with(&["--suspect", "has no config.json"]);
    bench.audit(&gate_file(), &[], &[]).refused_with(&["--suspect", "gate.toml", "is not a directory"]);
    bench.audit(&thief, &[], &["--result", text(empty.path())]).refused_with(&["--result", "no experiment.json in it"]);
    // neither of the two, or both
    let both = ["--experiment", "a.toml", "--result", "b"];
    assert_eq!(bench.audit(&thief, &[], &both).code, 2);
    assert_eq!(birthmark(&["audit", "--suspect", text(&thief)]).code, 2);

    let grid = empty.path().join("grid.toml");
    let gate = fs::read_to_string(gate_file()).unwrap();
    let spec = format!("\"{}\"", text(&root().join("datasets/quickstart.toml")));
    let gate = gate.replace("\"datasets/quickstart.toml\"", &spec);
    fs::write(&grid, format!("{gate}\n[grid]\n\"marks.watermark.unigram.delta\" = [1.5, 2.0]\n")).unwrap();
    bench.audit(&thief, &[], &["--experiment", text(&grid)]).refused_with(&["grid.toml", "2 points", "--only KEY=VALUE"]);
    let only = ["--experiment", text(&grid), "--only", "marks.watermark.unigram.delta=2.0", "--json"];
    let found = bench.audit(&thief, &[&honest], &only).expect_code(100).json_lines().remove(0);
    assert_eq!(found["axes"]["marks.watermark.unigram.delta"], "2.0");
}

/// Everything that a run of the experiment wrote stays as it is.
#[test]
fn the_results_of_the_experiment_are_left_alone() {
    let bench = Bench::new();
    let results = gate().directory.parent().unwrap().parent().unwrap();
    copy(results, &bench.at("results"));
    let kept = |place: &Path| -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| (text(path).to_string(), fs::read(path).unwrap())).collect()
    };
    let own = bench.audits().remove(0);
    let before = kept(&own);
    bench.audit(&bench.at("thief"), &[&bench.at("honest")], &[]).expect_code(100);
    assert!(kept(&own) == before);
    let records: Vec<Record> = read_records(&own.join("records.jsonl")).unwrap();
    assert!(records.iter().all(|record| record.model.is_none()));
}
