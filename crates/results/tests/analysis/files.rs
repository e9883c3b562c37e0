use std::fs;

use proptest::prelude::*;
use results::{Record, judge, read_records, sort_records, summary_csv, write_records};

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
    // the rate that `judge` reads from the null's words is the one `stats` wrote
    assert!(evidence.null.words.starts_with("Binomial(") && evidence.null.words.ends_with(", 0.25)"), "{:?}", evidence.null);
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
    let cases = [
        (format!("{good}\n{{\"schema\":"), "records.jsonl:2: not a JSON record"),
        (format!("{good}\n\n"), "records.jsonl:2: not a JSON record"),
        (format!("{good}\n{{}}"), "records.jsonl:2: a record without `schema`"),
        (
            good.replacen("\"schema\":1", "\"schema\":99", 1),
            "records.jsonl:1: records of schema 99, but this program reads schema 1",
        ),
        (good.replacen("\"seed\"", "\"sead\"", 1), "unknown field `sead`"),
        (good.replacen("\"arm\":\"teacher\"", "\"arm\":\"pupil\"", 1), "unknown variant `pupil`"),
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

#[test]
fn the_summary_joins_marks_metrics_and_retention() {
    let records = judged();
    let text = summary_csv(&records).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // marks: 4 x (teacher, base, stranger, 2 surfaces x (4 students, 4 controls, 1 rival)) for each of 2 seeds; and a row for
    // each clean teacher, which has metrics only
    assert_eq!(rows.len(), 2 * (4 * (3 + 2 * 9) + 1));
    let find = |arm: &str, surface: &str, budget: &str, mark: &str| {
        let is = |row: &&csv::StringRecord| {
            [("arm", arm), ("surface", surface), ("budget_queries", budget), ("mark", mark), ("seed", "0")]
                .iter()
                .all(|(name, value)| &row[column(name)] == *value)
        };
        rows.iter().find(is).unwrap()
    };
    let student = find("student", "text", "10000", "kgw");
    assert_eq!(&student[column("held_out_loss")], (2.9 - 0.12 * 3.0).to_string());
    assert_eq!(&student[column("train_flop")], 2.4e12.to_string());
    assert_eq!(&student[column("verdict")], "proven");
    assert!(student[column("retention")].parse::<f64>().unwrap() > 0.0);
    assert!(!student[column("n_star")].is_empty());
    let control = find("control", "text", "10000", "kgw");
    assert_eq!(&control[column("retention")], "");
    assert_eq!(&find("clean_teacher", "-", "", "")[column("held_out_loss")], "2.08");
}
