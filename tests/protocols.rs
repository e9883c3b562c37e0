//! What a budget means: the same student, whatever other budgets the experiment names.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Finished, Ran, manifests, results_directory, root, run_command, smoke, smoke_file};

/// Runs `file` with budgets of its own.
fn with_budgets(file: &Path, budgets: &str, place: &Path) -> Finished {
    let set = format!("queries.budgets={budgets}");
    let ran = Ran::of(run_command(file, place, 2).args(["--set", &set]).output().unwrap()).expect_code(0);
    Finished { artifacts: place.join("artifacts"), directory: results_directory(&place.join("results")), ran }
}

/// The manifests of one kind of artifact: names stand for inputs, contents hold the SHA-256 of every file.
fn of_kind(finished: &Finished, kind: &str) -> BTreeMap<String, String> {
    manifests(&finished.artifacts).into_iter().filter(|(name, _)| name.starts_with(kind)).collect()
}

#[test]
fn a_snapshot_of_a_single_pass_is_the_student_of_its_budget_alone() {
    let place = tempfile::tempdir().unwrap();
    let file = root().join("experiments/ci/single-pass.toml");
    let all = with_budgets(&file, "[40, 160, 240]", &place.path().join("all"));
    let one = with_budgets(&file, "[160]", &place.path().join("one"));
    let (all_students, one_students) = (of_kind(&all, "student/"), of_kind(&one, "student/"));
    // two channels: student and control at each budget, rival at the largest
    assert_eq!((all_students.len(), one_students.len()), (2 * (2 * 3 + 1), 2 * 3));
    let shared = one_students.iter().filter(|(name, manifest)| all_students.get(*name) == Some(*manifest)).count();
    assert_eq!(shared, 2 * 2, "student and control of 160 queries, reached through a snapshot at 40 or in one go");
    assert_eq!(of_kind(&all, "student-trunk/").len(), 2 * 3 * 3, "a trunk of student, control and rival at each branch");
}

#[test]
fn a_student_of_few_queries_is_the_same_beside_larger_budgets() {
    let place = tempfile::tempdir().unwrap();
    let few = with_budgets(&smoke_file(), "[20]", place.path());
    let (few_students, all_students) = (of_kind(&few, "student/"), of_kind(smoke(), "student/"));
    let shared = few_students.iter().filter(|(name, manifest)| all_students.get(*name) == Some(*manifest)).count();
    assert_eq!(shared, 2 * 2, "student and control on both surfaces");
}

#[test]
fn a_longer_transcript_begins_with_the_shorter_one() {
    let place = tempfile::tempdir().unwrap();
    let short = with_budgets(&smoke_file(), "[20, 50]", place.path());
    let (short, long) = (of_kind(&short, "transcript/"), of_kind(smoke(), "transcript/"));
    // 50 queries are two shards of 25, and 60 are the same and one of 10
    assert_eq!((short.len(), long.len()), (6, 9));
    assert!(short.iter().all(|(name, manifest)| long.get(name) == Some(manifest)));
}
