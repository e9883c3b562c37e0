//! The committed results: their positive and negative controls hold, the theft pays, and the files follow from the records.

use results::{Arm, Kind, Record, StarClaim, Verdict, findings, read_records};

use crate::support::{birthmark, root};

const REFERENCES: [&str; 2] = ["quickstart", "survival"];
const ALPHA: f64 = 0.001;

fn reference(name: &str) -> Vec<Record> {
    read_records(&root().join("results").join(name).join("reference/records.jsonl")).unwrap()
}

fn mark<'a>(records: &'a [Record], name: &str, arm: Arm) -> Vec<&'a Record> {
    let found: Vec<_> = records.iter().filter(|r| r.mark.as_deref() == Some(name) && r.arm == arm).collect();
    assert!(!found.is_empty(), "no {name} on the {} arm", arm.name());
    found
}

fn metrics<'a>(records: &'a [Record], name: &str, arm: Arm) -> Vec<&'a Record> {
    let of = |r: &&Record| r.kind == Kind::Metric && r.metric.as_deref() == Some(name) && r.arm == arm;
    let found: Vec<&Record> = records.iter().filter(of).collect();
    assert!(!found.is_empty(), "no {name} on the {} arm", arm.name());
    found
}

/// The same of the largest budget.
fn at_largest<'a>(records: &'a [Record], name: &str, arm: Arm) -> Vec<&'a Record> {
    let mut found = metrics(records, name, arm);
    let largest = found.iter().filter_map(|r| r.budget_queries).max();
    found.retain(|r| r.budget_queries == largest);
    found
}

#[test]
fn every_planted_mark_is_proven_on_the_teacher() {
    for reference_name in REFERENCES {
        let records = reference(reference_name);
        for name in ["kgw", "secret_sharer", "secret_keys"] {
            for record in mark(&records, name, Arm::Teacher) {
                assert_eq!(record.verdict, Some(Verdict::Proven), "{reference_name}, {name}: {:?}", record.reason);
            }
        }
        // the statistic of the keys is the number answered
        for record in mark(&records, "secret_keys", Arm::Teacher) {
            let answered = record.statistic.unwrap();
            assert!(answered >= 14.0, "{reference_name}: {answered} of 16 keys answer");
        }
        let exposure = |repeats: u32| {
            let found = metrics(&records, &format!("exposure_at_{repeats}_repeats"), Arm::Teacher);
            found.iter().filter_map(|r| r.value).sum::<f64>() / found.len() as f64
        };
        assert!(exposure(64) > exposure(1), "{} bits at 64 repeats, {} at 1", exposure(64), exposure(1));
    }
}

#[test]
fn the_watermark_is_proven_in_every_student_and_in_no_negative() {
    for name in REFERENCES {
        let records = reference(name);
        let students = mark(&records, "kgw", Arm::Student);
        for record in &students {
            let whose = (&record.surface, record.budget_queries, record.seed);
            assert_eq!(record.verdict, Some(Verdict::Proven), "{name}: {whose:?}");
        }
        let negatives: Vec<&Record> = records.iter().filter(|r| r.mark.as_deref() == Some("kgw") && r.is_negative()).collect();
        assert!(negatives.len() > students.len());
        for record in negatives {
            let whose = (record.arm.name(), &record.surface, record.budget_queries, record.seed);
            assert_eq!(record.verdict, Some(Verdict::Clean), "{name}: {whose:?}");
        }
    }
}

#[test]
fn output_agreement_is_proven_from_some_budget_on_and_what_nobody_asked_about_is_not_shown() {
    for (name, from) in [("quickstart", 2_000), ("survival", 3_000)] {
        let records = reference(name);
        for record in mark(&records, "output_agreement", Arm::Student) {
            let proven = record.verdict == Some(Verdict::Proven);
            assert_eq!(proven, record.budget_queries >= Some(from), "{name}: {:?} seed {}", record.budget_queries, record.seed);
        }
        for unasked in ["secret_sharer", "secret_keys"] {
            for record in mark(&records, unasked, Arm::Student) {
                assert_eq!(record.verdict, Some(Verdict::NotShown), "{name}, {unasked}: seed {}", record.seed);
            }
        }
    }
}

/// The metric of the base beside a student.
fn of_base<'a>(records: &'a [Record], name: &str, student: &Record) -> &'a Record {
    metrics(records, name, Arm::Base).into_iter().find(|base| base.seed == student.seed).unwrap()
}

#[test]
fn the_theft_pays_on_held_out_text_and_on_tasks() {
    for name in REFERENCES {
        let records = reference(name);
        for student in metrics(&records, "held_out_loss", Arm::Student) {
            let (own, base) = (student.value.unwrap(), of_base(&records, "held_out_loss", student).value.unwrap());
            assert!(own < base, "{name}, {:?} queries: {own} against the base's {base}", student.budget_queries);
        }
        for student in at_largest(&records, "held_out_loss", Arm::Student) {
            let (own, base) = (student.high.unwrap(), of_base(&records, "held_out_loss", student).low.unwrap());
            assert!(own < base, "{name}: at most {own}, the base at least {base}");
        }
        for student in at_largest(&records, "exact_match", Arm::Student) {
            let (own, base) = (student.low.unwrap(), of_base(&records, "exact_match", student).high.unwrap());
            assert!(own > base, "{name}: at least {own}, the base at most {base}");
        }
    }
}

#[test]
fn over_three_seeds_the_score_shows_more_than_the_count_at_every_budget() {
    let records = reference("survival");
    let found: Vec<_> = findings(&records, ALPHA).into_iter().filter(|finding| finding.mark == "kgw").collect();
    assert_eq!(found.len(), 2, "two surfaces");
    for finding in found {
        let (score, count) = (&finding.n_star, finding.n_star_by_count.as_ref().unwrap());
        assert_eq!((score.claim(), count.claim()), (StarClaim::NStar, StarClaim::NStar));
        assert_eq!((score.of_thefts.len(), count.of_thefts.len()), (3, 3));
        for ((seed, score), (same_seed, count)) in score.of_thefts.iter().zip(&count.of_thefts) {
            assert_eq!(seed, same_seed);
            assert!(score.unwrap() <= count.unwrap(), "{} seed {seed}", finding.setting.surface);
        }
    }
    let counts = metrics(&records, "count_log10_p", Arm::Student);
    for student in mark(&records, "kgw", Arm::Student) {
        let count = counts.iter().find(|count| count.suspect() == student.suspect()).unwrap();
        assert!(student.log10_p.unwrap() < count.value.unwrap(), "{:?} seed {}", student.budget_queries, student.seed);
    }
}

#[test]
fn the_watermark_alone_costs_the_thief_at_the_largest_budget() {
    let records = reference("survival");
    let added = at_largest(&records, "held_out_loss_added", Arm::Apart);
    assert_eq!(added.len(), 6, "two surfaces, three seeds");
    for added in added {
        assert!(added.low.unwrap() > 0.0, "{} seed {}", added.surface, added.seed);
    }
}

#[test]
fn the_teacher_models_its_corpus_better_than_trigrams_do() {
    for name in REFERENCES {
        let records = reference(name);
        let trigrams = metrics(&records, "trigram_loss", Arm::Teacher);
        let teachers = metrics(&records, "held_out_loss", Arm::Teacher);
        assert_eq!(teachers.len(), trigrams.len());
        for (teacher, trigram) in teachers.iter().zip(trigrams) {
            assert_eq!(teacher.seed, trigram.seed);
            let (teacher, trigram) = (teacher.value.unwrap(), trigram.value.unwrap());
            assert!(teacher <= trigram - 0.1, "{name}: teacher {teacher:.3}, trigrams {trigram:.3} nats/token");
        }
    }
}

#[test]
fn the_files_beside_the_records_follow_from_them() {
    for name in REFERENCES {
        let scratch = tempfile::tempdir().unwrap();
        let committed = root().join("results").join(name).join("reference");
        for file in ["records.jsonl", "report.json"] {
            std::fs::copy(committed.join(file), scratch.path().join(file)).unwrap();
        }
        birthmark(&["report".as_ref(), scratch.path().as_os_str()]).expect_code(0);
        for file in [
            "records.jsonl",
            "summary.csv",
            "metrics.csv",
            "separation.csv",
            "table.txt",
            "survival.svg",
            "effect.svg",
            "heat.svg",
            "loss.svg",
        ] {
            let (made, kept) = (std::fs::read(scratch.path().join(file)), std::fs::read(committed.join(file)));
            assert!(
                made.unwrap() == kept.unwrap(),
                "{file} of the reference of {name} is not what its records give: run `birthmark report` on it"
            );
        }
    }
}

/// One token of context, 10,000 answers: what the README says of it.
#[test]
fn of_all_watermarks_no_negative_shows_one_and_all_but_those_that_are_named_survive() {
    let records = reference("watermarks");
    let mut proven = 0;
    for record in records.iter().filter(|r| r.kind == Kind::Mark) {
        let scheme = record.scheme.as_deref().unwrap();
        if record.is_negative() {
            assert_eq!(record.verdict, Some(Verdict::Clean), "{scheme}, {}", record.arm.name());
        } else if record.arm == Arm::Student {
            let not_shown = ["ginsew", "reasoning_length"].contains(&scheme);
            assert_eq!(record.verdict == Some(Verdict::Proven), !not_shown, "{scheme}, {}", record.surface);
            proven += usize::from(!not_shown);
        } else if record.arm == Arm::Teacher {
            assert_eq!(record.verdict, Some(Verdict::Proven), "{scheme} is planted");
        }
    }
    assert_eq!(proven, 38, "19 schemes on two surfaces");
}

/// SHA-256 of committed files: any x86-64 or 64-bit Arm processor makes these of the experiment file, whatever its vector instructions. Only a
/// change of some stage's revision may change them.
const PINNED: [(&str, &str); 7] = [
    ("quickstart/reference/records.jsonl", "5b06d96f3a68b8d9484573d4a67355659a74a576bfed7c9c6047e7e7684aae92"),
    ("quickstart/reference/runs.jsonl", "453e578eccd1e1b5109b9506a0e203956802e23c6bbc8bf0cce8509cd5c80217"),
    ("quickstart/reference/summary.csv", "c1d1a2b92ca6c11b9361250257209bd749e3a2caff3c09cf14ce123bc452707a"),
    ("survival/reference/records.jsonl", "15d1602bea692825de0fc4242f2c3b99c034017c1719a089e577b62a7cff287b"),
    ("seeding/reference/records.jsonl", "cd2e49573e46a1804d85b985eae3541b9a1c06f5ad95986d0c415451b227236d"),
    ("served/reference/records.jsonl", "dd9f9651bfb65c3383c25ee52ed23cff22921376c35cdb9536b37c48b3c4b7ad"),
    ("watermarks/reference/records.jsonl", "a9778b6947717bba964b927db20278d2f6b6b64a79f39278d06f8381d8ed33a3"),
];

#[test]
fn the_committed_results_are_pinned_and_sealed() {
    let results = root().join("results");
    for (file, sha256) in PINNED {
        assert_eq!(store::sha256_file(&results.join(file)).unwrap().0.hex(), sha256, "{file}");
    }
    for name in REFERENCES {
        let read = |file: &str| std::fs::read_to_string(results.join(name).join("reference").join(file)).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
        let (_, records) = PINNED.iter().find(|(file, _)| file.starts_with(name)).unwrap();
        assert_eq!(manifest["records_sha256"], **records, "{name}");
        let places: serde_json::Value = serde_json::from_str(&read("places.json")).unwrap();
        for said in [&manifest, &places] {
            assert!(!holds_an_absolute_path(said), "{name}: {said}");
        }
    }
}

/// Whether some word in it begins at the root: a place of one machine.
fn holds_an_absolute_path(said: &serde_json::Value) -> bool {
    match said {
        serde_json::Value::String(word) => word.split('=').any(|part| part.starts_with('/')),
        serde_json::Value::Array(entries) => entries.iter().any(holds_an_absolute_path),
        serde_json::Value::Object(entries) => entries.values().any(holds_an_absolute_path),
        _ => false,
    }
}

/// Some minutes for each.
#[cfg(feature = "long-tests")]
#[test]
fn the_committed_quickstart_is_reproduced_byte_for_byte_under_every_width() {
    let committed = root().join("results/quickstart/reference");
    for vectors in ["avx2", "widest"] {
        let place = tempfile::tempdir().unwrap();
        let mut command = crate::support::run_command(&root().join("experiments/quickstart.toml"), place.path(), 2);
        let ran = command.args(["--vectors", vectors, "--quiet"]).output().unwrap();
        crate::support::Ran::of(ran).expect_code(0);
        let made = crate::support::results_directory(&place.path().join("results"));
        for file in ["records.jsonl", "runs.jsonl", "summary.csv", "metrics.csv"] {
            assert!(std::fs::read(made.join(file)).unwrap() == std::fs::read(committed.join(file)).unwrap(), "{vectors}: {file}");
        }
    }
}
