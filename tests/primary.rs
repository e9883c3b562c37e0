//! A primary mark, from the file to the report.

use std::fs;

use results::{Arm, Kind, Record, Verdict, read_records};

use crate::support::{Ran, birthmark, copy, manifests, results_directory, run_command, smoke, smoke_file, text};

/// Naming a primary mark changes verdicts and what is said of them: nothing is asked, trained or measured again, and a report made again
/// says the same.
#[test]
fn a_primary_mark_orders_the_verdicts_and_makes_nothing_anew() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let made = manifests(&place.path().join("artifacts"));
    let run = run_command(&smoke_file(), place.path(), 2).args(["--set", "primary=kgw", "--offline-artifacts"]).output().unwrap();
    Ran::of(run).expect_code(0);
    assert_eq!(manifests(&place.path().join("artifacts")), made);

    let directory = results_directory(&place.path().join("results"));
    let (plain, ordered) = (
        read_records(&smoke().directory.join("records.jsonl")).unwrap(),
        read_records(&directory.join("records.jsonl")).unwrap(),
    );
    let measured = |r: &Record| (r.run_id.clone(), r.mark.clone(), r.metric.clone(), r.log10_p, r.effect, r.value);
    assert_eq!(ordered.iter().map(measured).collect::<Vec<_>>(), plain.iter().map(measured).collect::<Vec<_>>());
    assert_ne!(ordered[0].experiment_hash, plain[0].experiment_hash);
    for record in &ordered {
        let is_primary = record.kind == Kind::Mark && record.mark.as_deref() == Some("kgw");
        assert_eq!(record.primary, is_primary.then_some(true), "{record:?}");
    }
    // at this size no watermark is proven in any student, so nothing else is
    let students = |mark: &str| {
        let of = |r: &&Record| r.arm == Arm::Student && r.mark.as_deref() == Some(mark);
        ordered.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    assert!(students("kgw").iter().all(|r| r.verdict != Some(Verdict::Proven)));
    let behind: Vec<Record> = students("output_agreement").into_iter().filter(|r| r.log10_p.is_some()).collect();
    assert!(!behind.is_empty());
    for record in behind {
        assert_eq!(record.verdict, Some(Verdict::NotShown));
        assert_eq!(record.reason.as_deref(), Some("the primary mark `kgw` is not proven in this suspect"));
    }

    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let files = ["records.jsonl", "summary.csv", "table.txt", "survival.svg"];
    let before = files.map(read);
    assert!(String::from_utf8_lossy(&before[2]).contains("kgw (primary)"));
    birthmark(&["report", text(&directory)]).expect_code(0);
    assert!(files.map(read) == before, "a report made again says the same");
}

#[test]
fn a_primary_mark_must_be_there_and_is_the_same_at_every_point() {
    let check = |set: &str| birthmark(&["check", text(&smoke_file()), "--quick", "--set", set]);
    check("primary=kgv").refused_with(&["primary", "kgv", "did you mean `kgw`?"]);
    check("grid={ primary = ['kgw', 'secret_keys'] }").refused_with(&["primary", "what is tested first is named once"]);
}
