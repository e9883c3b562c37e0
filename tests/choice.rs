//! `student.compute = { chosen = ... }`: the thief chooses how he trains on answers of his own that no trial read.

use std::path::Path;
use std::sync::OnceLock;

use results::{Arm, Kind, Record};
use tempfile::TempDir;

use crate::support::{Ran, copy, manifests, results_directory, run_command, smoke, smoke_file};

/// A rate that changes next to nothing, and one that learns.
const TWO: &str = "student={ batch_rows = 8, compute = { chosen = { held_out = 0.5, \
    trials = [{ passes = 1, peak_lr = 1e-7 }, { passes = 4, peak_lr = 2e-3 }] } } }";
/// The same, and one more that changes next to nothing.
const THREE: &str = "student={ batch_rows = 8, compute = { chosen = { held_out = 0.5, \
    trials = [{ passes = 1, peak_lr = 1e-7 }, { passes = 4, peak_lr = 2e-3 }, { passes = 2, peak_lr = 1e-7 }] } } }";

/// Smoke with `set` below `place`, where the artifacts of smoke are already.
fn smoke_run(place: &Path, set: &str) -> Ran {
    copy(&smoke().artifacts, &place.join("artifacts"));
    Ran::of(run_command(&smoke_file(), place, 2).args(["--set", set]).output().unwrap())
}

/// Smoke with two trials, run once, and where.
pub fn chosen() -> &'static (TempDir, Vec<Record>) {
    static CHOSEN: OnceLock<(TempDir, Vec<Record>)> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        smoke_run(place.path(), TWO).expect_code(0);
        let directory = results_directory(&place.path().join("results"));
        let report = std::fs::read_to_string(directory.join("report.json")).unwrap();
        assert!(report.contains("the best of 2 trainings on held-out answers"), "{report}");
        let records = results::read_records(&directory.join("records.jsonl")).unwrap();
        (place, records)
    })
}

fn students(place: &Path) -> Vec<String> {
    manifests(&place.join("artifacts")).into_keys().filter(|name| name.starts_with("student/")).collect()
}

#[test]
fn the_marked_student_chooses_on_his_own_answers_and_the_others_take_his_choice() {
    let (place, records) = chosen();
    let distilled: Vec<&Record> = records.iter().filter(|record| record.arm.is_distilled()).collect();
    assert!(records.iter().all(|record| record.peak_lr.is_some() == record.arm.is_distilled()));
    for record in &distilled {
        let budget = record.budget_queries.unwrap();
        // half of the answers are held out; four passes over the rest in batches of 8
        let steps = (4 * budget / 2).div_ceil(8);
        assert_eq!((record.compute.as_str(), record.peak_lr, record.steps), ("chosen", Some(2e-3), Some(steps)));
        assert_eq!(record.exchanges_read, Some(8 * steps));
        assert_eq!(record.passes, Some((8 * steps) as f64 / (budget / 2) as f64));
        assert!((1..=budget / 2).contains(&record.distinct_prompts.unwrap()), "{:?}", record.distinct_prompts);
    }
    let value = |arm: Arm, budget: u64, surface: &str, metric: &str| {
        let is = |r: &&&Record| {
            (r.arm, r.budget_queries, r.surface.as_str(), r.metric.as_deref()) == (arm, Some(budget), surface, Some(metric))
        };
        distilled.iter().find(is).and_then(|record| record.value)
    };
    let surfaces: Vec<&str> = distilled.iter().filter(|r| r.kind == Kind::Mark).map(|r| r.surface.as_str()).collect();
    for budget in [20, 60] {
        for surface in surfaces.iter().copied() {
            let of = |arm, metric| value(arm, budget, surface, metric);
            let tried = ["own_answers_loss_1_passes_lr_1e-7", "own_answers_loss_4_passes_lr_2e-3"];
            let [low, high] = tried.map(|metric| of(Arm::Student, metric).unwrap());
            assert!(high < low, "{budget} {surface}: {high} against {low}");
            assert_eq!(of(Arm::Student, "own_answers_held_out"), Some(budget as f64 / 2.0));
            // queries are bought once; the other trial and the comparison are paid for, by him who chose
            for metric in ["queries", "prompt_tokens"] {
                assert_eq!(of(Arm::Student, metric), of(Arm::Control, metric), "{metric}");
            }
            let [flop, trials] = ["train_flop", "trial_flop"].map(|metric| of(Arm::Student, metric).unwrap());
            assert!(trials > 0.0 && flop > trials, "{flop} {trials}");
            assert_eq!(of(Arm::Control, "trial_flop"), None);
            assert_eq!(of(Arm::Control, tried[0]), None);
        }
    }

    // a longer list makes the new trials alone
    let (before, longer) = (students(place.path()), tempfile::tempdir().unwrap());
    copy(&place.path().join("artifacts"), &longer.path().join("artifacts"));
    let ran = Ran::of(run_command(&smoke_file(), longer.path(), 2).args(["--set", THREE]).output().unwrap()).expect_code(0);
    let made: Vec<String> = students(longer.path()).into_iter().filter(|name| !before.contains(name)).collect();
    let students = distilled.iter().filter(|r| r.arm == Arm::Student && r.metric.as_deref() == Some("trial_flop")).count();
    assert_eq!(made.len(), students, "{made:?}\n{}", ran.stderr);
}

#[test]
fn a_choice_that_makes_no_sense_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let refused = |set: &str, parts: &[&str]| {
        Ran::of(run_command(&smoke_file(), place.path(), 2).args(["--set", set]).output().unwrap()).refused_with(parts);
    };
    let chosen = |rest: &str| format!("student={{ batch_rows = 8, {rest} }}");
    let trials = "trials = [{ passes = 1, peak_lr = 1e-3 }]";
    refused(&chosen("compute = \"one_pass\""), &["`student.peak_lr`", "missing", "1e-4 to 1e-2"]);
    refused(
        &chosen(&format!("peak_lr = 1e-3, compute = {{ chosen = {{ held_out = 0.5, {trials} }} }}")),
        &["`student.peak_lr = 0.001`", "every trial", "drop this key"],
    );
    refused(
        &chosen(&format!("compute = {{ chosen = {{ held_out = 0.1, {trials} }} }}")),
        &["`student.compute.chosen.held_out = 0.1`", "2 of 20 answers", "10 or more"],
    );
    refused(
        &chosen("compute = { chosen = { held_out = 0.5, trials = [] } }"),
        &["`student.compute.chosen.trials", "at least one"],
    );
    refused(
        &chosen("compute = { chosen = { held_out = 0.5, trials = [{ passes = 0, peak_lr = 1e-3 }] } }"),
        &["`student.compute.chosen.trials[0].passes = 0`", "at least 1"],
    );
}
