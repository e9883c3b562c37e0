//! `[grid]`: points run as experiments of their own, share what they have in common, and fail alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use results::Record;
use serde_json::Value;

#[cfg(unix)]
use crate::durability::{signal, started};
use crate::support::{Ran, birthmark, command, manifests, root, run, smoke_file, text};

/// Two axes crossed, and one point beside them.
const FIVE: &str = "[grid]\n\"queries.max_new_tokens\" = [8, 6]\n\"student.peak_lr\" = [2e-3, 1e-3]\n\
                    [[grid.point]]\n\"marks.kgw.kgw.delta\" = 3.0\n";
/// The second point holds too little for the tasks, which shows when it is run.
const ONE_FAILS: &str = "[grid]\n\"base.train.architecture.llama.max_position_embeddings\" = [96, 32, 64]\n";

/// The smoke experiment, scaled down, with `grid` below it.
fn file(place: &Path, grid: &str) -> PathBuf {
    let mut experiment = fs::read_to_string(smoke_file()).unwrap();
    let spec = root().join("datasets/quickstart.toml");
    for (from, to) in [
        ("\"datasets/quickstart.toml\"", format!("\"{}\"", text(&spec))),
        ("tokens = 24_000", "tokens = 12_000".into()),
        ("tokens = 16_000", "tokens = 8_000".into()),
        ("tokens = { tokens = 2_000 }", "tokens = { tokens = 1_000 }".into()),
        ("canaries_after_tokens = 8_000", "canaries_after_tokens = 4_000".into()),
    ] {
        experiment = experiment.replace(from, &to);
    }
    let file = place.join("grid.toml");
    fs::write(&file, format!("{experiment}\n{grid}")).unwrap();
    file
}

/// `birthmark run` of `file` with `arguments`, everything below `place`.
fn run_part(file: &Path, place: &Path, arguments: &[&str]) -> Ran {
    let mut command = crate::support::run_command(file, place, 2);
    Ran::of(command.args(arguments).output().unwrap())
}

/// The only results directory below `place`.
fn directory(place: &Path) -> PathBuf {
    crate::support::results_directory(&place.join("results"))
}

fn records(place: &Path) -> Vec<Record> {
    results::read_records(&directory(place).join("records.jsonl")).unwrap()
}

/// Records by the point that they carry.
fn by_point(records: Vec<Record>) -> BTreeMap<String, Vec<Record>> {
    let mut points: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in records {
        points.entry(record.experiment_hash.clone()).or_default().push(record);
    }
    points
}

/// Finished artifacts of each kind.
fn artifacts(place: &Path) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for name in manifests(&place.join("artifacts")).keys() {
        *kinds.entry(name.split('/').next().unwrap().to_string()).or_insert(0) += 1;
    }
    kinds
}

fn json(ran: Ran) -> Vec<Value> {
    ran.expect_code(0).json_lines()
}

#[test]
fn points_share_their_stages_and_equal_runs_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let grid = file(place.path(), FIVE);

    // nothing is written before anything is asked for
    let planned = json(run_part(&grid, place.path(), &["--dry-run", "--json"]));
    assert_eq!(planned.len(), 5);
    assert!(planned.iter().all(|point| point["records_there"] == 0 && point["suspects"] == 13), "{planned:?}");
    assert!(!place.path().join("results").exists() && !place.path().join("artifacts").exists());

    // a part of the points, then another: both are reported
    run_part(&grid, place.path(), &["--limit", "1"]).expect_code(0);
    let first = by_point(records(place.path()));
    assert_eq!(first.len(), 1);
    let only = ["--only", "student.peak_lr=0.001", "--only", "queries.max_new_tokens=8"];
    run_part(&grid, place.path(), &only).expect_code(0);
    let two = by_point(records(place.path()));
    assert_eq!(two.len(), 2);
    assert!(first.iter().all(|(point, records)| two[point] == *records), "the records of the other point stay as they were");
    let planned = json(run_part(&grid, place.path(), &["--dry-run", "--json"]));
    let there: Vec<bool> = planned.iter().map(|point| point["records_there"].as_u64().unwrap() > 0).collect();
    assert_eq!(there, [true, true, false, false, false]);

    // all of them
    run_part(&grid, place.path(), &[]).expect_code(0);
    let all = by_point(records(place.path()));
    assert_eq!(all.len(), 5);
    assert!(two.iter().all(|(point, records)| all[point] == *records));
    let results = directory(place.path());
    for name in ["summary.csv", "survival.svg", "effect.png", "loss.svg", "table.txt", "report.json", "manifest.json"] {
        assert!(results.join(name).is_file(), "{name}");
    }
    let plan: Value = serde_json::from_slice(&fs::read(results.join("experiment.json")).unwrap()).unwrap();
    assert_eq!(plan["points"][4]["axes"]["marks.kgw.kgw.delta"], "3.0");
    assert_eq!(plan["points"][1]["axes"]["student.peak_lr"], "1e-3");

    // what was foretold to be shared is what lies in the store
    let checked = &json(birthmark(&["check", text(&grid), "--quick", "--json"]))[0];
    let made = artifacts(place.path());
    let distinct = |made: &str| checked["stages"][made]["distinct"].as_u64().unwrap();
    let alone = |made: &str| checked["stages"][made]["alone"].as_u64().unwrap();
    assert_eq!((distinct("teacher"), alone("teacher")), (2, 10), "one teacher and its clean twin serve all points");
    assert_eq!(made["pretrained"], distinct("teacher") + distinct("stranger") + distinct("base"));
    assert_eq!(made["implanted"], 1);
    // 60 queries in shards of 25; the other length of answers is asked of all three, the stronger watermark of one
    assert_eq!((distinct("transcript"), made["transcript"]), (7, 3 * 7));
    assert_eq!((distinct("student"), made["student"]), (4 * 10 + 4, 44), "only the marked students of the last point are new");
    assert!(made["measurement"] >= distinct("measurement"), "{made:?} {checked}");

    // a second run finds everything
    let timings = || fs::read(results.join("timings.jsonl")).unwrap();
    let (before, bytes) = (timings(), fs::read(results.join("records.jsonl")).unwrap());
    run_part(&grid, place.path(), &[]).expect_code(0);
    assert_eq!((timings(), fs::read(results.join("records.jsonl")).unwrap()), (before, bytes));
    birthmark(&["report", text(&results)]).expect_code(0);

    // each point is the experiment that it would be alone, made from nothing
    for set in ["student.peak_lr=2e-3", "marks.kgw.kgw.delta=3.0"] {
        let alone = tempfile::tempdir().unwrap();
        let single = file(alone.path(), "");
        run_part(&single, alone.path(), &["--set", set]).expect_code(0);
        let own = by_point(records(alone.path()));
        let (point, records) = own.first_key_value().unwrap();
        // alone it stands on no grid
        let there: Vec<Record> = all[point].iter().map(|record| Record { axes: [].into(), ..record.clone() }).collect();
        assert_eq!(there, *records, "{set}");
    }
}

#[test]
fn a_point_that_fails_leaves_the_others_and_says_how_to_repeat_it() {
    let place = tempfile::tempdir().unwrap();
    let grid = file(place.path(), ONE_FAILS);
    let key = "base.train.architecture.llama.max_position_embeddings";
    let ran = run_part(&grid, place.path(), &["--quiet"]).expect_code(2);
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert!(said[0].starts_with("error: 1 of 3 points failed"), "{said:?}");
    assert!(said[1].contains(&format!("{key}=32: ")) && said[1].contains("measure.tasks"), "{said:?}");
    assert!(said[2].trim().starts_with(&format!("birthmark run {} --only {key}=32", text(&grid))), "{said:?}");
    assert!(ran.stdout.contains("results: "), "what the others found is printed: {}", ran.stdout);
    let found = by_point(records(place.path()));
    assert_eq!(found.len(), 2);
    assert!(found.values().flatten().all(|record| record.kind != results::Kind::Mark || record.verdict.is_some()));

    // the command that was printed does what it says
    let words: Vec<&str> = said[2].split_whitespace().skip(1).collect();
    let repeated = command(&root()).args(&words).output().unwrap();
    let repeated = Ran::of(repeated).expect_code(2);
    assert!(repeated.stderr.contains("1 of 1 points failed"), "{}", repeated.stderr);
    assert_eq!(by_point(records(place.path())), found);

    // with --fail-fast nothing comes after it
    let other = tempfile::tempdir().unwrap();
    fs::rename(place.path().join("artifacts"), other.path().join("artifacts")).unwrap();
    let ran = run_part(&grid, other.path(), &["--fail-fast", "--json"]).expect_code(2);
    let points: BTreeSet<String> =
        ran.json_lines().iter().map(|line| line["experiment_hash"].as_str().unwrap().to_string()).collect();
    assert_eq!(points.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_signal_stops_all_points_at_once() {
    let place = tempfile::tempdir().unwrap();
    let grid = file(place.path(), FIVE);
    let child = started(&grid, place.path());
    signal(&child, "TERM");
    let stopped = Ran::of(child.wait_with_output().unwrap()).expect_code(143);
    let begun = stopped.stderr.lines().filter(|line| line.starts_with("point ")).count();
    assert_eq!(begun, 1, "no point is begun after the signal:\n{}", stopped.stderr);
    assert!(stopped.stderr.contains("finished work is kept") && !stopped.stderr.contains("failed"), "{}", stopped.stderr);
}

#[test]
fn the_bill_counts_shared_work_once() {
    let place = tempfile::tempdir().unwrap();
    let grid = file(place.path(), FIVE);
    let estimate = |file: &Path, arguments: &[&str]| {
        json(birthmark(&[&["check", text(file), "--quick", "--json"][..], arguments].concat()))[0].clone()
    };
    let all = estimate(&grid, &[]);
    assert_eq!(all["points"].as_array().unwrap().len(), 5);
    let first = estimate(&grid, &["--limit", "1"]);
    let number = |checked: &Value, key: &str| checked["estimate"][key].as_f64().unwrap();
    for (key, times) in [("pretraining_tokens", 1.0), ("queries", 7.0 / 3.0), ("distilled", 4.4)] {
        assert_eq!(number(&all, key), (times * number(&first, key)).round(), "{key}");
    }
    let rehearsed = birthmark(&["check", text(&grid), "--threads", "2"]).expect_code(0);
    for said in [
        "5 points",
        "point 5              marks.kgw.kgw.delta=3.0, queries.max_new_tokens=8, student.peak_lr=2e-3",
        "teachers and clean twins 2 of 10",
        "transcripts 7 of 15",
        "students 44 of 50",
        "2 of 5 points, rehearsed here",
    ] {
        assert!(rehearsed.stdout.contains(said), "no `{said}` in\n{}", rehearsed.stdout);
    }
}

#[test]
fn mistakes_in_grids_are_one_line_each() {
    let place = tempfile::tempdir().unwrap();
    let refused = |grid: &str, arguments: &[&str], parts: &[&str]| {
        let file = file(place.path(), grid);
        run_part(&file, place.path(), arguments).refused_with(parts);
    };
    let axis = "[grid]\n\"queries.max_new_tokens\" = ";
    refused(
        "[grid]\n\"queries.max_tokens\" = [16]\n",
        &[],
        &["grid.toml:", "`queries.max_tokens`: unknown key", "max_new_tokens"],
    );
    refused(&format!("{axis}[]\n"), &[], &["an empty list"]);
    refused(&format!("{axis}[16, \"a\"]\n"), &[], &["`queries.max_new_tokens = \"a\"`: should be a whole number"]);
    refused(&format!("{axis}[16]\nqueries = [{{}}]\n"), &[], &["one of them contains the other"]);
    refused("[grid]\n\"student.peak_lr\" = [1e-3, 0.0010]\n", &[], &["given twice"]);
    refused(
        "[grid]\n\"student.peak_lr\" = [1e-3]\n[[grid.point]]\n\"student.peak_lr\" = 1e-3\n",
        &[],
        &["point 2 is point 1 again"],
    );
    let hundred = format!("[{}]", (1..=100).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    let many: String = ["audit.prompts", "measure.decoys", "measure.permutations"]
        .iter()
        .map(|key| format!("\"{key}\" = {hundred}\n"))
        .collect();
    refused(&format!("[grid]\n{many}"), &[], &["1000000 points", "at most 10000"]);
    refused(
        FIVE,
        &["--only", "student.peak=1"],
        &["--only student.peak=1: no axis `student.peak`", "did you mean `student.peak_lr`?"],
    );
    refused(FIVE, &["--only", "student.peak_lr=7"], &["no point has that value", "`2e-3`, `1e-3`"]);
    refused(FIVE, &["--only", "queries.max_new_tokens"], &["no `=` in it"]);
    refused(FIVE, &["--only", "queries.max_new_tokens=6", "--only", "marks.kgw.kgw.delta=3.0"], &["no point has all of these"]);
    refused("", &["--only", "a=1"], &["has no [grid]", "--set"]);
    refused(FIVE, &["--set", "student.peak_lr=1e-2"], &["--set student.peak_lr=1e-2", "--only student.peak_lr=VALUE"]);
    assert!(!place.path().join("results").exists() && !place.path().join("artifacts").exists(), "nothing was begun");
}

#[test]
fn an_experiment_without_a_grid_runs_as_before() {
    let place = tempfile::tempdir().unwrap();
    let single = file(place.path(), "");
    let finished = run(&single, place.path(), 2);
    let plan: Value = serde_json::from_slice(&fs::read(finished.directory.join("experiment.json")).unwrap()).unwrap();
    assert!(plan.get("points").is_none() && plan["world"].is_object(), "{plan}");
    let report: Value = serde_json::from_slice(&fs::read(finished.directory.join("report.json")).unwrap()).unwrap();
    assert!(report.get("points").is_none() && !report["curves"].as_array().unwrap().is_empty());
    let hash = records(place.path())[0].experiment_hash.clone();
    assert!(hash.starts_with(finished.directory.file_name().unwrap().to_str().unwrap()));
}
