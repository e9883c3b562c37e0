//! Marks that a program outside of this one defines.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Finished, Ran, birthmark, manifests, results_directory, root, run_command, text};

/// Whether there is a Python to run programs with; says so where there is none.
pub fn python(test: &str) -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped {test}: python3 is absent");
    }
    there
}

/// `experiments/ci/process.toml` with other marks.
fn with_marks(marks: &str, place: &Path) -> Command {
    let mut command = run_command(&root().join("experiments/ci/process.toml"), place, 2);
    command.arg("--set").arg(format!("marks={{ {marks} }}"));
    command
}

/// Records of a finished run without what names mark, experiment and run.
fn records(marks: &str) -> Vec<Value> {
    let place = tempfile::tempdir().unwrap();
    let mut command = with_marks(marks, place.path());
    // an uncut law is drawn from by proposals where a mark can say which tokens it raises, which a program is not asked
    for part in ["queries", "audit"] {
        command.arg("--set").arg(format!("{part}.sampling={{ temperature = 1.0, top_k = 300 }}"));
    }
    let ran = Ran::of(command.output().unwrap()).expect_code(0);
    let finished =
        Finished { artifacts: place.path().join("artifacts"), directory: results_directory(&place.path().join("results")), ran };
    let lines = String::from_utf8(finished.records()).unwrap();
    let record = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        for name in ["mark", "scheme", "run_id", "experiment_hash", "student_id", "teacher_id", "transcript_id"] {
            record.as_object_mut().unwrap().remove(name);
        }
        record
    };
    lines.lines().map(record).collect()
}

/// The example in Python is KGW: every number that its experiment finds is that of the built-in mark under the same key, judged as a
/// program is: it has no value for every context and candidate, so the count of distinct units decides.
#[test]
fn kgw_from_outside_gives_the_records_of_the_built_in_kgw() {
    if !python("kgw from outside") {
        return;
    }
    let parameters = "gamma = 0.25, delta = 2.0, context_width = 1";
    let program = r#"command = ["python3", "experiments/marks/my_mark.py"]"#;
    let outside =
        records(&format!(r#"process = {{ process = {{ {program}, parameters = {{ {parameters} }}, key_of = "kgw" }} }}"#));
    let built_in = records(&format!("kgw = {{ kgw = {{ {parameters}, test = 'count' }} }}"));
    assert_eq!(outside.len(), built_in.len());
    for (outside, built_in) in outside.iter().zip(&built_in) {
        assert_eq!(outside, built_in);
    }
    assert!(outside.iter().any(|record| record["log10_p"].as_f64().is_some_and(|p| p < -3.0)), "the teacher shows its mark");
}

/// A program that says `hello` well and answers `laws` with `laws`, after `before`.
fn program(timeout: u64, before: &str, hello: &str, laws: &str) -> (TempDir, String) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("bad.py");
    let code = format!(
        "import json, sys, time\n{before}\nfor line in sys.stdin:\n    request = json.loads(line)\n    answer = {{'id': request['id']}}\n    \
         if request['ask'] == 'hello':\n        answer.update({hello})\n    else:\n        answer.update({laws})\n    \
         print(json.dumps(answer), flush=True)\n"
    );
    fs::write(&file, code).unwrap();
    let mark = format!("mine = {{ process = {{ command = [\"python3\", \"{}\"], timeout_seconds = {timeout} }} }}", text(&file));
    (place, mark)
}

const HELLO: &str = "{'version': 1, 'name': 'bad', 'kind': 'keyed_set', 'delta': 2.0, 'context_width': 1, 'null': 'decoys', \
                     'unit': 'pairs'}";

/// `run` refuses the program, names mark and program, and keeps what it had finished.
#[track_caller]
fn refused(before: &str, hello: &str, laws: &str, parts: &[&str]) {
    // a busy machine takes its time to start Python
    refused_within(60, before, hello, laws, parts);
}

#[track_caller]
fn refused_within(timeout: u64, before: &str, hello: &str, laws: &str, parts: &[&str]) {
    let (place, mark) = program(timeout, before, hello, laws);
    let parts: Vec<&str> = ["mark `mine`: the program `python3", "bad.py`"].into_iter().chain(parts.iter().copied()).collect();
    let started = Instant::now();
    Ran::of(with_marks(&mark, place.path()).output().unwrap()).refused_with(&parts);
    assert!(started.elapsed() < Duration::from_secs(120), "a bad program is not waited for");
    let kept = manifests(&place.path().join("artifacts"));
    assert!(!kept.is_empty() && kept.keys().all(|name| !name.starts_with("transcript/")), "{:?}", kept.keys());
}

#[test]
fn a_program_that_never_answers() {
    if python("never answers") {
        refused_within(1, "time.sleep(600)", HELLO, "{}", &["did not answer `hello` within 1 s", "timeout_seconds"]);
    }
}

#[test]
fn a_program_that_dies_at_once() {
    if python("dies at once") {
        refused("sys.exit(3)", HELLO, "{}", &["ended (exit status: 3) instead of answering `hello`", "standard error"]);
    }
}

#[test]
fn a_program_that_prints_nonsense() {
    if python("nonsense") {
        let parts = ["answered `hello` with `Hello, world`, which is no JSON object", "standard error"];
        refused("print('Hello, world', flush=True)", HELLO, "{}", &parts);
        refused("", "{'version': float('nan')}", "{}", &["which is no JSON object", "no NaN"]);
        refused("", "{'version': 2}", "{}", &["answered `hello`", "write \"version\": 1"]);
    }
}

#[test]
fn a_program_that_lies() {
    if python("lies") {
        refused("", HELLO, "{'laws': [[5], [6]]}", &["2 entries in \"laws\" for 1 asked about", "one for each"]);
        refused("", HELLO, "{'laws': [[5, 384]]}", &["answered `laws` with [5,384]", "ids below 384"]);
        refused("", HELLO, "{'id': 99, 'laws': [[5]]}", &["to request 1 (`laws`)", "its own \"id\": 1"]);
    }
}

#[test]
fn a_program_that_is_not_there() {
    let mark = r#"mine = { process = { command = ["no-such-program"] } }"#;
    let place = tempfile::tempdir().unwrap();
    let parts = ["mark `mine`: the program `no-such-program` cannot be started", "install it"];
    Ran::of(with_marks(mark, place.path()).output().unwrap()).refused_with(&parts);
    let set = format!("marks={{ {mark} }}");
    let arguments = ["check", "experiments/ci/process.toml", "--set", &set];
    birthmark(&arguments).refused_with(&parts);
    birthmark(&[&arguments[..], &["--quick"]].concat()).expect_code(0);
}

/// An edited program is another mark, whose results go to another directory.
#[test]
fn the_content_of_a_program_is_part_of_the_mark() {
    let (place, mark) = program(60, "", HELLO, "{}");
    let hash = || {
        let set = format!("marks={{ {mark} }}");
        let checked = birthmark(&["check", "experiments/ci/process.toml", "--quick", "--json", "--set", &set]).expect_code(0);
        checked.json_lines()[0]["experiment_hash"].as_str().unwrap().to_string()
    };
    let before = hash();
    assert_eq!(before, hash());
    let file = place.path().join("bad.py");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "# edited\n").unwrap();
    assert_ne!(before, hash());
}
