use results::{Arm, Record, false_positive_rates};

use crate::fixture::{ALPHA, mark, suspect};

/// `models` base models, each with 999 decoys of which `hits` fire.
fn negatives(models: u64, hits: u64) -> Vec<Record> {
    let one =
        |seed| Record { decoys: Some(999), decoys_at_alpha: Some(hits), ..mark(suspect(Arm::Base, "-", 0, seed), "kgw", -0.1) };
    (0..models).map(one).collect()
}

#[test]
fn pairs_of_negative_model_and_decoy_key_are_counted() {
    let mut records = negatives(4, 1);
    records.extend(negatives(3, 9).into_iter().map(|r| Record { arm: Arm::Student, ..r }));
    records.push(mark(suspect(Arm::Stranger, "-", 0, 0), "kgw", -0.1));
    let [rate] = false_positive_rates(&records, ALPHA).try_into().unwrap();
    assert_eq!((rate.hits, rate.pairs, rate.models), (4, 4 * 999, 4), "students are no negatives, unkeyed tests no pairs");
    assert!((rate.rate - 1.0 / 999.0).abs() < 1e-15);
}

#[test]
fn few_models_make_a_rate_over_keys() {
    let sentence = |models| false_positive_rates(&negatives(models, 1), ALPHA)[0].sentence();
    assert!(sentence(19).contains("a rate over keys, not models"), "{}", sentence(19));
    assert!(!sentence(20).contains("not models"), "{}", sentence(20));
    for part in ["kgw", "19 of 18981", "nominal 0.1 %", "observed 0.1001 %", "19 negative models"] {
        assert!(sentence(19).contains(part), "{part}: {}", sentence(19));
    }
}

#[test]
fn the_interval_widens_when_hits_gather_in_one_model() {
    let spread = negatives(30, 1);
    let mut gathered = negatives(30, 0);
    gathered[0].decoys_at_alpha = Some(30);
    let width = |records: &[Record]| {
        let [rate] = false_positive_rates(records, ALPHA).try_into().unwrap();
        assert_eq!(rate.hits, 30);
        rate.high.unwrap() - rate.low.unwrap()
    };
    assert!(width(&gathered) > 3.0 * width(&spread), "{} {}", width(&gathered), width(&spread));
}

#[test]
fn marks_without_keys_have_no_rate() {
    assert!(false_positive_rates(&[mark(suspect(Arm::Base, "-", 0, 0), "agreement", -0.1)], ALPHA).is_empty());
}
