//! What `check` says before, and what a run then leaves behind.

use std::path::Path;

use crate::support::{Finished, birthmark, root, run, smoke, smoke_file, text};

/// Bytes of all files below `directory`.
fn bytes_below(directory: &Path) -> f64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let bytes = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.len() as f64 }
    });
    bytes.sum()
}

fn estimate(file: &Path, arguments: &[&str]) -> serde_json::Value {
    let arguments = [&["check", text(file), "--json", "--threads", "2"], arguments].concat();
    birthmark(&arguments).expect_code(0).json_lines()[0]["estimate"].clone()
}

#[track_caller]
fn disk_is_near(file: &Path, finished: &Finished) {
    let real = bytes_below(&finished.artifacts) + bytes_below(&finished.directory);
    for arguments in [&["--quick"][..], &[]] {
        let said = estimate(file, arguments)["disk_bytes"].as_f64().unwrap();
        let ratio = said / real;
        assert!((0.75..1.25).contains(&ratio), "{}: {said} said, {real} left, {arguments:?}", file.display());
    }
}

#[test]
fn disk_is_known_within_a_quarter() {
    disk_is_near(&smoke_file(), smoke());
    let place = tempfile::tempdir().unwrap();
    let file = root().join("experiments/ci/single-pass.toml");
    disk_is_near(&file, &run(&file, place.path(), 2));
}

#[test]
fn a_rehearsal_measures_every_stage() {
    let rehearsed = estimate(&smoke_file(), &[]);
    assert_eq!(rehearsed["rehearsed"], true);
    for stage in ["models", "asking", "students", "measuring", "other"] {
        assert!(rehearsed["stages"][stage].as_f64().is_some_and(|seconds| seconds > 0.0), "{stage}: {rehearsed}");
    }
    if cfg!(target_os = "linux") {
        assert!(rehearsed["memory_bytes"].as_f64().is_some_and(|bytes| bytes > 1e6 && bytes < 1e10), "{rehearsed}");
    }
    // the corpus' own continuations are no longer than answers may be, and all that is counted exactly stays exact
    let quick = estimate(&smoke_file(), &["--quick"]);
    assert!(rehearsed["answer_tokens"].as_f64() <= quick["answer_tokens"].as_f64(), "{rehearsed}\n{quick}");
    for count in ["queries", "prompt_tokens", "pretraining_tokens", "suspects", "distilled"] {
        assert_eq!(rehearsed[count], quick[count], "{count}");
    }
    assert_eq!(quick["rehearsed"], false);
}

#[test]
fn the_audit_that_an_effect_needs_is_named() {
    let file = smoke_file();
    let checked = birthmark(&["check", text(&file), "--json", "--threads", "2"]).expect_code(0).json_lines().remove(0);
    let [size] = &checked["audit"].as_array().unwrap()[..] else { panic!("{checked}") };
    assert_eq!((&size["mark"], &size["prompts"]), (&"kgw".into(), &20.into()));
    let shown = size["detectable_effect"].as_f64().unwrap();
    assert!((0.05..1.0).contains(&shown), "20 short answers show no less: {size}");
    for needed in size["needed"].as_array().unwrap() {
        let [effect, prompts] = ["effect", "prompts"].map(|key| needed[key].as_f64().unwrap());
        assert!((prompts / (20.0 * (shown / effect).powi(2)) - 1.0).abs() < 0.01, "{size}");
    }
    let said = birthmark(&["check", text(&file), "--threads", "2"]).expect_code(0).stdout;
    let line = said.lines().find(|line| line.contains("audit shows")).unwrap();
    assert!(
        line.contains("kgw: an effect from") && line.contains("0.05 needs about") && line.contains("by 20 prompts"),
        "{line}"
    );
    assert!(!birthmark(&["check", text(&file), "--quick"]).expect_code(0).stdout.contains("audit shows"));
}

#[test]
fn a_single_pass_trains_its_trunk_once() {
    let file = root().join("experiments/ci/single-pass.toml");
    // batches of 8: branches leave the trunk at steps 4, 16 and 24 and take 1, 4 and 6 steps more. Student, control: the trunk of
    // 24 steps and the three branches; rival: the trunk and its last branch. Two channels, 24 tokens a row.
    let steps = 2 * (2 * (24 + 1 + 4 + 6) + 24 + 6);
    assert_eq!(estimate(&file, &["--quick"])["distillation_tokens"], steps * 8 * 24);
}

#[test]
fn too_little_disk_is_refused_before_the_work() {
    let place = tempfile::tempdir().unwrap();
    let results = place.path().join("results");
    let artifacts = place.path().join("artifacts");
    // a million million queries, the most that a file may name, take more than any disk here
    let budget = "queries.budgets=[20, 1_000_000_000_000]";
    let ran =
        birthmark(&["run", text(&smoke_file()), "--results", text(&results), "--artifacts", text(&artifacts), "--set", budget]);
    let ran = ran.expect_code(75);
    let line = ran.stderr.lines().find(|line| line.starts_with("stopped: ")).unwrap();
    assert!(line.contains(text(&artifacts)) && line.contains("MB are needed") && line.contains("--no-disk-check"), "{line}");
    assert!(!artifacts.exists() && !results.exists(), "nothing was begun");
}
