//! What the program says of itself: version, completions, man pages, and the manifest of its results.

use std::fs;
use std::process::Command;

use crate::support::{birthmark, root, smoke, smoke_file, text};

/// What git says of the repository, if there is git, and it is one.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root()).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).unwrap().trim().to_string())
}

/// The revision that `--version` gives.
fn revision() -> String {
    let said = birthmark(&["--version"]).expect_code(0).stdout;
    let inner = said.trim_end().strip_suffix(')').and_then(|said| said.split_once(" (")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(inner.0, format!("birthmark {}", env!("CARGO_PKG_VERSION")));
    inner.1.to_string()
}

#[test]
fn the_version_names_the_commit() {
    let revision = revision();
    let top = git(&["rev-parse", "--show-toplevel"]).filter(|top| fs::canonicalize(top).unwrap() == root());
    match top.and_then(|_| git(&["rev-parse", "HEAD"])) {
        // the commit may be newer than the build of these tests
        Some(_) => {
            assert!(git(&["cat-file", "-t", revision.trim_end_matches("+changes")]).as_deref() == Some("commit"), "{revision}")
        }
        None => assert_eq!(revision, "unknown"),
    }
}

#[test]
fn a_manifest_says_who_made_the_results_where_when_and_how() {
    let read = |name: &str| fs::read_to_string(smoke().directory.join(name)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
    let said = |key: &str| manifest[key].as_str().unwrap_or_else(|| panic!("{key}: {manifest}")).to_string();
    assert_eq!((said("birthmark").as_str(), said("revision")), (env!("CARGO_PKG_VERSION"), revision()));
    let date = said("date");
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{date}");
    assert!(["avx512", "avx2", "neon", "scalar"].contains(&said("vectors").as_str()), "{manifest}");
    if fs::read_to_string("/proc/cpuinfo").is_ok_and(|cpus| cpus.contains("model name")) {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
        assert!(cpus.contains(&said("cpu").split(" and ").next().unwrap().to_string()), "{manifest}");
    }
    assert_eq!(manifest["paths"], serde_json::json!({ "stranger": "fused", "student": "fused", "teacher": "fused" }));
    let words: Vec<&str> = manifest["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert!(words[0].ends_with("birthmark") && words[1..3] == ["run", text(&smoke_file())], "{words:?}");
    assert_eq!(manifest["sets"], serde_json::json!([]));
    for name in ["records.jsonl", "summary.csv", "metrics.csv", "experiment.json", "runs.jsonl", "report.json", "table.txt"] {
        let content = read(name);
        assert!(!content.contains(&date[..10]) && !content.contains(&revision()), "{name} holds what only the manifest may");
    }
}

#[test]
fn shells_complete_commands_and_flags() {
    let of = |shell: &str| birthmark(&["completions", shell]).expect_code(0).stdout;
    for shell in ["bash", "zsh", "fish"] {
        let script = of(shell);
        for word in ["report", "format", "latex", "checkpoint-every", "completions"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("script");
        fs::write(&file, script).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{shell} does not read it: {read:?}"),
            Err(_) => println!("skipped: no {shell} here to read its completions"),
        }
    }
    birthmark(&["completions", "tcsh"]).expect_code(2);
}

#[test]
fn every_command_has_a_man_page() {
    let plain = |args: &[&str]| birthmark(args).expect_code(0).stdout.replace("\\-", "-");
    let page = plain(&["man"]);
    assert!(page.contains(".TH birthmark 1") && page.contains("birthmark-run(1)") && page.contains("Exit codes"), "{page}");
    let page = plain(&["man", "model", "info"]);
    assert!(page.contains(".TH birthmark-model-info 1") && page.contains("--model"), "{page}");
    birthmark(&["man", "model", "imfo"]).refused_with(&["`imfo`", "birthmark-model", "info, score"]);
    birthmark(&["man", "schema", "x"]).refused_with(&["`x`", "no commands of its own"]);

    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("man1");
    let named = birthmark(&["man", "--out", text(&out)]).expect_code(0).stdout;
    let mut pages: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    assert_eq!(named.lines().count(), pages.len());
    for command in
        ["birthmark", "birthmark-run", "birthmark-check", "birthmark-report", "birthmark-model", "birthmark-model-info"]
    {
        assert!(pages.contains(&format!("{command}.1")), "{pages:?}");
    }
    // a page that another names is there
    for page in &pages {
        let content = fs::read_to_string(out.join(page)).unwrap().replace("\\-", "-");
        for named in content.lines().filter_map(|line| line.strip_suffix("(1)")) {
            assert!(pages.contains(&format!("{named}.1")), "{page} names {named}");
        }
    }
}
