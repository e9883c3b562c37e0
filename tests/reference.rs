//! The committed results of the quickstart: its positive and negative controls hold, and its files follow from its records.

use results::{Arm, Record, Verdict, read_records};

use crate::support::{birthmark, root};

fn reference() -> Vec<Record> {
    read_records(&root().join("results/quickstart/reference/records.jsonl")).unwrap()
}

fn mark<'a>(records: &'a [Record], name: &str, arm: Arm) -> Vec<&'a Record> {
    let found: Vec<_> = records.iter().filter(|r| r.mark.as_deref() == Some(name) && r.arm == arm).collect();
    assert!(!found.is_empty(), "no {name} on the {} arm", arm.name());
    found
}

fn metric(records: &[Record], name: &str, arm: Arm) -> f64 {
    let found = records.iter().find(|r| r.metric.as_deref() == Some(name) && r.arm == arm);
    found.and_then(|r| r.value).unwrap_or_else(|| panic!("no {name} on the {} arm", arm.name()))
}

#[test]
fn every_planted_mark_is_proven_on_the_teacher() {
    let records = reference();
    for name in ["kgw", "secret_sharer", "secret_keys"] {
        for record in mark(&records, name, Arm::Teacher) {
            assert_eq!(record.verdict, Some(Verdict::Proven), "{name}: {:?}", record.reason);
        }
    }
    // the statistic of the keys is the number answered
    let answered = mark(&records, "secret_keys", Arm::Teacher)[0].statistic.unwrap();
    assert!(answered >= 14.0, "{answered} of 16 keys answer");
    let exposure = |repeats: u32| metric(&records, &format!("exposure_at_{repeats}_repeats"), Arm::Teacher);
    assert!(exposure(64) > exposure(1), "{} bits at 64 repeats, {} at 1", exposure(64), exposure(1));
}

#[test]
fn the_watermark_is_proven_in_the_largest_top_logprobs_student_and_in_no_negative() {
    let records = reference();
    let at_largest = |arm| {
        let mut found = mark(&records, "kgw", arm);
        found.retain(|r| r.surface.starts_with("top_logprobs") && r.surface.contains("post"));
        found.into_iter().max_by_key(|r| r.budget_queries).unwrap().clone()
    };
    assert_eq!(at_largest(Arm::Student).verdict, Some(Verdict::Proven));
    assert_eq!(at_largest(Arm::Control).verdict, Some(Verdict::Clean));
    for arm in [Arm::Control, Arm::Rival, Arm::Base, Arm::Stranger] {
        for record in mark(&records, "kgw", arm) {
            assert_eq!(record.verdict, Some(Verdict::Clean), "{} {:?}", arm.name(), record.budget_queries);
        }
    }
}

#[test]
fn the_teacher_models_its_corpus_better_than_trigrams_do() {
    let records = reference();
    let (teacher, trigram) = (metric(&records, "held_out_loss", Arm::Teacher), metric(&records, "trigram_loss", Arm::Teacher));
    assert!(teacher <= trigram - 0.1, "teacher {teacher:.3}, trigrams {trigram:.3} nats/token");
}

#[test]
fn the_files_beside_the_records_follow_from_them() {
    let scratch = tempfile::tempdir().unwrap();
    let committed = root().join("results/quickstart/reference");
    for name in ["records.jsonl", "report.json"] {
        std::fs::copy(committed.join(name), scratch.path().join(name)).unwrap();
    }
    birthmark(&["report".as_ref(), scratch.path().as_os_str()]).expect_code(0);
    for name in ["records.jsonl", "summary.csv", "table.txt", "survival.svg", "effect.svg", "loss.svg"] {
        let (made, kept) = (std::fs::read(scratch.path().join(name)), std::fs::read(committed.join(name)));
        assert!(
            made.unwrap() == kept.unwrap(),
            "{name} of the reference is not what its records give: run `birthmark report` on it"
        );
    }
}
