//! What continuous integration asks: the gate experiment proves what it plants, conditions are held, and a key that fires where it must
//! not has an exit code of its own.

use std::fs;

use results::{Verdict, read_records};

use crate::support::{Ran, birthmark, copy, gate, gate_file, results_directory, run_command, text};

#[test]
fn the_gate_proves_what_it_plants_and_every_condition_holds() {
    let finished = gate();
    let records = read_records(&finished.directory.join("records.jsonl")).unwrap();
    assert!(records.iter().any(|r| r.verdict == Some(Verdict::Proven) && r.budget_queries == Some(200)));
    assert!(finished.ran.stdout.contains("All 5 conditions of [expect] hold"), "{}", finished.ran.stdout);
    assert!(fs::read_to_string(finished.directory.join("table.txt")).unwrap().contains("All 5 conditions"));
}

#[test]
fn a_broken_condition_is_a_line_and_exit_code_100() {
    let place = tempfile::tempdir().unwrap();
    copy(&gate().artifacts, &place.path().join("artifacts"));
    let wrong = "expect.wrong={ mark = 'watermark', verdict = 'not shown' }";
    let too_much = "expect.too_much={ metric = 'held_out_loss', arm = 'teacher', at_most = 0.1 }";
    let run = |flags: &[&str]| {
        let mut command = run_command(&gate_file(), place.path(), 2);
        Ran::of(command.args(["--set", wrong, "--set", too_much]).args(flags).output().unwrap()).expect_code(100)
    };
    let ran = run(&[]);
    assert!(ran.stdout.contains("2 of 7 conditions of [expect] broken"), "{}", ran.stdout);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.trim_start().starts_with("expect.")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("expect.too_much: metric `held_out_loss` in all of arm teacher"), "{lines:?}");
    assert!(
        lines[1].contains("expect.wrong: `watermark` in all of arm student: verdict not shown; 2 of 2 are not so: proven in")
    );
    assert!(ran.stderr.contains("2 conditions of [expect] broken") && !ran.stderr.contains("error:"), "{}", ran.stderr);

    // records are those of the experiment without conditions, and `report` says the same
    let directory = results_directory(&place.path().join("results"));
    assert_eq!(directory.file_name(), gate().directory.file_name(), "conditions are no part of what an experiment is");
    assert!(fs::read(directory.join("records.jsonl")).unwrap() == gate().records());
    let report = birthmark(&["report", text(&directory)]).expect_code(100);
    assert!(report.stdout.contains("2 of 7 conditions of [expect] broken"), "{}", report.stdout);
    let json = run(&["--json", "--quiet"]);
    json.json_lines();
    assert_eq!(json.stderr.lines().filter(|line| line.starts_with("expect.")).count(), 2, "{}", json.stderr);
    // the resolved experiment holds them too
    Ran::of(run_command(&directory.join("experiment.json"), place.path(), 2).output().unwrap()).expect_code(100);
    birthmark(&["report", text(&directory)]).expect_code(100);
    // without them it ends as it did
    Ran::of(run_command(&gate_file(), place.path(), 2).output().unwrap()).expect_code(0);
    birthmark(&["report", text(&directory)]).expect_code(0);
}

/// A student that learned the watermark, taken for the base that never met it.
#[test]
fn a_negative_that_fires_is_exit_code_3() {
    let place = tempfile::tempdir().unwrap();
    copy(&gate().artifacts, &place.path().join("artifacts"));
    let students = fs::read_dir(gate().artifacts.join("student")).unwrap().map(|entry| entry.unwrap().path());
    let marked = students.into_iter().find(|path| {
        let card = fs::read_to_string(path.join("README.md")).unwrap_or_default();
        card.contains("| arm | student |") && card.contains("| queries | 600 |")
    });
    let base = format!("base={{ model = '{}' }}", text(&marked.unwrap()));
    let run = |flags: &[&str]| {
        let mut command = run_command(&gate_file(), place.path(), 2);
        Ran::of(command.args(["--set", &base, "--set", "queries.budgets=[200,600]"]).args(flags).output().unwrap())
    };
    let ran = run(&[]).expect_code(3);
    assert!(ran.stdout.contains("FALSE POSITIVE: mark `watermark` with its true key has p"), "{}", ran.stdout);
    assert!(ran.stderr.contains("a true key fires in a model that must not show it"), "{}", ran.stderr);
    assert!(ran.stdout.contains("conditions of [expect] broken"), "and nothing is proven beside it: {}", ran.stdout);
    let directory = results_directory(&place.path().join("results"));
    birthmark(&["report", text(&directory)]).expect_code(3);
    let json = run(&["--json", "--quiet"]).expect_code(3);
    assert!(json.stderr.contains("FALSE POSITIVE: mark `watermark`"), "{}", json.stderr);
}

#[test]
fn check_refuses_conditions_that_nothing_can_answer_to() {
    let check = |set: &str| birthmark(&["check", text(&gate_file()), "--quick", "--set", set]);
    check("expect.x={ mark = 'watermak', verdict = 'proven' }").refused_with(&["expect.x.mark", "did you mean `watermark`?"]);
    check("expect.x={ mark = 'watermark', budget = 500, verdict = 'proven' }").refused_with(&["expect.x.budget", "200, 600"]);
    check("queries.budgets=[200]").refused_with(&["expect.strongly.budget", "not in queries.budgets"]);
    check("expect.x={ mark = 'watermark', verdict = 'clean', arm = 'control' }").expect_code(0);
}
