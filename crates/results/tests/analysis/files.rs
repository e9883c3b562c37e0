use std::fs;

use proptest::prelude::*;
use results::{Claim, RECORD_SCHEMA, Record, judge, read_records, sort_records, write_records};
use stats::NullKind;

use crate::fixture::{ALPHA, quickstart};

fn judged() -> Vec<Record> {
    let mut records = quickstart(2);
    judge(&mut records, ALPHA).unwrap();
    records
}

#[test]
fn records_come_back_equal_and_sorted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/records.jsonl");
    let mut records = judged();
    write_records(&path, &records).unwrap();
    sort_records(&mut records);
    assert_eq!(read_records(&path).unwrap(), records);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), records.len());
    assert!(!text.contains("null,"), "absent fields are left out");
}

/// Lines of the quickstart's committed records, as they were judged and written under schema 1.
const SCHEMA_1: &str = include_str!("schema-1.jsonl");

#[test]
fn records_of_schema_1_are_read_and_judged_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    fs::write(&path, SCHEMA_1).unwrap();
    let mut records = read_records(&path).unwrap();
    assert_eq!(records.len(), SCHEMA_1.lines().count());
    let before = records.clone();
    let binomial = |r: &&Record| r.null.as_deref().is_some_and(|null| null.starts_with("Binomial("));
    assert!(records.iter().filter(binomial).count() > 5);
    for record in &records {
        assert_eq!(record.schema, RECORD_SCHEMA);
        assert_eq!(record.null_law, binomial(&record).then_some(NullKind::Binomial));
        let rate =
            record.mark.as_deref().filter(|_| binomial(&record)).map(|mark| if mark == "kgw" { 0.25 } else { 1.0 / 256.0 });
        assert_eq!((record.null_mean, record.null_sd), (rate, rate.map(|rate: f64| (rate * (1.0 - rate)).sqrt())));
    }
    // Holm runs over the marks there are, of which these lines leave some out; everything else is as it was
    judge(&mut records, ALPHA).unwrap();
    for (now, before) in records.iter().zip(&before) {
        assert_eq!(now.verdict, before.verdict, "{:?} {:?}", now.arm, now.mark);
        assert_eq!(now.detectable_effect.is_some(), before.detectable_effect.is_some());
    }
    assert!(records.iter().any(|r| r.detectable_effect.is_some()));

    // written again they are of this schema, and the fields of schema 1 say what they said
    write_records(&path, &before).unwrap();
    assert_eq!(read_records(&path).unwrap(), before);
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    for (new, old) in written.lines().map(value).zip(SCHEMA_1.lines().map(value)) {
        for (name, field) in old.as_object().unwrap().iter().filter(|(name, _)| *name != "schema") {
            assert_eq!(new[name], *field, "{name}");
        }
    }
}

#[test]
fn the_fields_of_schema_2_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let full = Record {
        claim: Some(Claim::Distillation),
        attack: Some("clean fine-tuning".into()),
        defence: Some("rounding".into()),
        account: Some(7),
        innocent: Some(true),
        commitment: Some("ab".repeat(32)),
        null_law: Some(NullKind::TwoSample),
        metric_of: Some("kgw".into()),
        axes: [("student.layers".into(), "4".into())].into(),
        ..judged()[0].clone()
    };
    write_records(&path, std::slice::from_ref(&full)).unwrap();
    assert_eq!(read_records(&path).unwrap(), [full]);
    let text = fs::read_to_string(&path).unwrap();
    for part in [r#""claim":"distillation""#, r#""null_law":"two_sample""#, r#""axes":{"student.layers":"4"}"#, r#""account":7"#]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn evidence_fills_the_fields_of_its_names() {
    let evidence = stats::Evidence::binomial(300, 1_000, 0.25);
    let record = Record { mark: Some("kgw".into()), ..judged()[0].clone() }.with_evidence(&evidence);
    assert_eq!(
        (record.log10_p, record.n, record.null.as_deref()),
        (Some(evidence.log10_p), Some(1_000), Some(evidence.null.words.as_str()))
    );
    assert_eq!((record.effect_low, record.effect_high), (Some(evidence.interval.low), Some(evidence.interval.high)));
    assert_eq!((record.decoys, record.log10_p_decoy), (None, None), "no decoys were tried");
    let law = (record.null_law, record.null_mean, record.null_sd);
    assert_eq!(law, (Some(NullKind::Binomial), Some(0.25), Some(0.1875f64.sqrt())));
}

proptest! {
    #[test]
    fn order_of_arrival_does_not_show(order in Just((0..60usize).collect::<Vec<_>>()).prop_shuffle()) {
        // the same point measured at two audit budgets: told apart by nothing but the rest of the record
        let mut records: Vec<Record> = quickstart(1).into_iter().take(59).collect();
        records.push(Record { audit_prompts: Some(77), ..records[0].clone() });
        let mut shuffled: Vec<Record> = order.iter().map(|&i| records[i].clone()).collect();
        sort_records(&mut shuffled);
        sort_records(&mut records);
        prop_assert_eq!(shuffled, records);
    }
}

#[test]
fn mistakes_are_told_by_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let good = serde_json::to_string(&judged()[0]).unwrap();
    let strange = serde_json::to_string(&Record { log10_p: Some(4.0), ..judged()[0].clone() }).unwrap();
    let cases = [
        (format!("{good}\n{{\"schema\":"), "records.jsonl:2: not a JSON record"),
        (format!("{good}\n\n"), "records.jsonl:2: not a JSON record"),
        (format!("{good}\n{{}}"), "records.jsonl:2: a record without `schema`"),
        (
            good.replacen("\"schema\":2", "\"schema\":99", 1),
            "records.jsonl:1: records of schema 99, but this program reads schemas 1 and 2; run the experiment again",
        ),
        (good.replacen("\"seed\"", "\"sead\"", 1), "unknown field `sead`"),
        (good.replacen("\"arm\":\"teacher\"", "\"arm\":\"pupil\"", 1), "unknown variant `pupil`"),
        (format!("{good}\n{strange}"), "records.jsonl:2: no run writes this record: `log10_p` is 4"),
        (String::new(), "records.jsonl: holds no record; run the experiment again"),
    ];
    for (text, expected) in cases {
        fs::write(&path, &text).unwrap();
        let error = format!("{:#}", read_records(&path).unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("records.jsonl"), "{error}");
    }
    let error = format!("{:#}", read_records(&dir.path().join("none.jsonl")).unwrap_err());
    assert!(error.contains("none.jsonl") && error.contains("results directory"), "{error}");
}

#[test]
fn a_number_that_is_not_finite_never_reaches_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.jsonl");
    let bad = Record { effect: Some(f64::NAN), ..judged()[0].clone() };
    assert!(write_records(&path, &[bad]).is_err());
    assert!(!path.exists());
}
