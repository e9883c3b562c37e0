//! Students whose teachers lacked one mark each, from the file to the report.

use std::collections::BTreeSet;
use std::fs;

use results::{Arm, Kind, LOSS_ADDED, Record, Verdict, read_records};

use crate::support::{Ran, birthmark, copy, manifests, results_directory, run_command, smoke, smoke_file, text};

/// A second mark in the training data, beside smoke's marks in the data, the weights and the served law.
const SECOND: &str = "marks.second={ secret_sharer = { repeats = [1, 4], canaries_per_level = 2, templates = 2, references = 20, \
                      secret = { digits = 4 } } }";
/// One curve of one budget.
const SMALL: [&str; 2] = ["distill=[{ surface = 'text', loss = { sequence_kd = {} } }]", "queries.budgets=[60]"];

/// One arm more for a mark of each phase; the others stay as they were, and the report names all of it.
#[test]
fn a_mark_of_every_phase_can_be_set_apart() {
    let place = tempfile::tempdir().unwrap();
    copy(&smoke().artifacts, &place.path().join("artifacts"));
    let run = |sets: &[&str]| {
        let mut command = run_command(&smoke_file(), place.path(), 2);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        Ran::of(command.output().unwrap()).expect_code(0);
        let made: BTreeSet<String> = manifests(&place.path().join("artifacts")).into_keys().collect();
        let directory = results_directory(&place.path().join("results"));
        let records = read_records(&directory.join("records.jsonl")).unwrap();
        (made, records, directory)
    };
    let plain = [&SMALL[..], &[SECOND]].concat();
    let (before, alone, directory) = run(&plain);
    fs::remove_dir_all(directory).unwrap();
    let apart = ["kgw", "secret_sharer", "secret_keys"];
    let (after, records, directory) = run(&[&plain[..], &["marks_apart=['kgw', 'secret_sharer', 'secret_keys']"]].concat());

    let new = |kind: &str| after.difference(&before).filter(|name| name.starts_with(&format!("{kind}/"))).count();
    // one teacher of the other planted texts, with the keys implanted anew; what is served or implanted needs no other model
    assert_eq!((new("pretrained"), new("implanted"), new("trunk")), (1, 1, 0));
    // each is asked once (three shards) and has one student
    assert_eq!((new("transcript"), new("student")), (9, 3));
    assert_eq!(new("measurement"), 3 * 5);

    // what was there is as it was, but for the experiment's name and what Holm and the negatives say of it
    let measured = |r: &Record| (r.run_id.clone(), r.mark.clone(), r.metric.clone(), r.metric_of.clone(), r.log10_p, r.value);
    let others: Vec<_> = records.iter().filter(|r| r.arm != Arm::Apart).map(measured).collect();
    assert_eq!(others, alone.iter().map(measured).collect::<Vec<_>>());
    for record in &records {
        assert_eq!(record.lacks.is_some(), record.arm == Arm::Apart, "{record:?}");
    }
    for lacks in apart {
        let own: Vec<&Record> = records.iter().filter(|r| r.lacks.as_deref() == Some(lacks)).collect();
        let marks: BTreeSet<&str> = own.iter().filter_map(|r| r.mark.as_deref()).collect();
        assert_eq!(marks.len(), 5, "{lacks}: every mark is asked of it");
        for record in own.iter().filter(|r| r.kind == Kind::Mark) {
            assert_eq!(record.is_negative(), record.mark.as_deref() == Some(lacks), "{record:?}");
            let negative = matches!(record.verdict, Some(Verdict::Clean | Verdict::FalsePositive));
            assert_eq!(negative, record.is_negative(), "{record:?}");
        }
        // what the mark adds to the student's loss is the difference of the two losses
        let loss = |arm: Arm, lacks: Option<&str>, name: &str| {
            let is = |r: &&Record| r.arm == arm && r.lacks.as_deref() == lacks && r.metric.as_deref() == Some(name);
            records.iter().find(is).and_then(|r| r.value).unwrap()
        };
        let added = loss(Arm::Apart, Some(lacks), LOSS_ADDED);
        let difference = loss(Arm::Student, None, "held_out_loss") - loss(Arm::Apart, Some(lacks), "held_out_loss");
        assert!((added - difference).abs() < 1e-9, "{lacks}: {added} {difference}");
    }

    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    let table = String::from_utf8(read("table.txt")).unwrap();
    assert!(table.contains("student without kgw") && table.contains("the mark secret_keys alone costs the thief"), "{table}");
    let files = ["records.jsonl", "summary.csv", "table.txt", "survival.svg", "loss.svg"];
    let kept = files.map(read);
    birthmark(&["report", text(&directory)]).expect_code(0);
    assert!(files.map(read) == kept, "a report made again says the same");
}

/// The bill counts their transcripts, students and measurements, and the rehearsal makes their teachers too.
#[test]
fn the_bill_counts_the_arms() {
    let file = smoke_file();
    let check = |apart: &[&str], flags: &[&str]| {
        let sets = SMALL.iter().chain(apart).flat_map(|set| ["--set", set]);
        birthmark(&["check", text(&file)].into_iter().chain(flags.iter().copied()).chain(sets).collect::<Vec<_>>()).expect_code(0)
    };
    let bill = |apart: &[&str]| {
        let json = check(apart, &["--quick", "--json"]).json_lines().remove(0);
        ["/runs", "/estimate/distilled", "/estimate/queries", "/stages/transcript/distinct", "/stages/teacher/distinct"]
            .map(|place| json.pointer(place).and_then(serde_json::Value::as_u64).unwrap_or_else(|| panic!("{place}: {json}")))
    };
    assert_eq!(bill(&[]), [6, 3, 180, 3, 2]);
    assert_eq!(bill(&["marks_apart=['kgw']"]), [7, 4, 240, 4, 2], "the same teacher, served without a law");
    assert_eq!(bill(&["marks_apart=['kgw', 'secret_keys']"]), [8, 5, 300, 5, 3]);
    let rehearsed = check(&["marks_apart=['kgw']"], &["--threads=2"]).stdout;
    assert!(rehearsed.contains("student, control and students without kgw each, rival at the largest"), "{rehearsed}");
}

#[test]
fn what_cannot_be_set_apart_is_refused() {
    let check = |set: &str| birthmark(&["check", text(&smoke_file()), "--quick", "--set", set]);
    check("marks_apart=['kgv']").refused_with(&["marks_apart[0]", "kgv", "did you mean `kgw`?"]);
    check("marks_apart=['output_agreement']").refused_with(&["marks_apart[0]", "nobody plants it"]);
}
