//! Decoy keys on negative models: a self-test, and how little its models are.

use results::{Arm, Record, self_tests};
use stats::NullKind;

use crate::fixture::{ALPHA, mark, suspect};

/// `models` base models, each of a seed of its own, with 999 decoys of which `hits` fire.
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
    let [test] = self_tests(&records, ALPHA).try_into().unwrap();
    assert_eq!((test.hits, test.pairs, test.models), (4, 4 * 999, 4), "students are no negatives, unkeyed tests no pairs");
    assert!((test.rate - 1.0 / 999.0).abs() < 1e-15);
}

#[test]
fn models_of_one_training_count_once() {
    // of one seed: six controls of one clean twin, two rivals and the stranger of another model, and the base
    let tried = |record: Record| Record { decoys: Some(999), decoys_at_alpha: Some(1), ..mark(record, "kgw", -0.1) };
    let mut records: Vec<Record> = (0..6).map(|i| tried(suspect(Arm::Control, "text", 100 + i, 0))).collect();
    records.extend(["text", "logits"].map(|surface| tried(suspect(Arm::Rival, surface, 100, 0))));
    records.extend([Arm::Stranger, Arm::Base].map(|arm| tried(suspect(arm, "-", 0, 0))));
    let [test] = self_tests(&records, ALPHA).try_into().unwrap();
    assert_eq!((test.models, test.trainings, test.seeds), (10, 3, 1));
    let sentence = test.sentence();
    for part in ["10 negative models from 3 trainings of 1 seed", "count for fewer than 10", "a rate over keys, not over models"]
    {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
}

/// Of one seed, eight controls whose scores have a common half and a base of its own.
#[test]
fn models_that_go_together_count_for_fewer_than_their_number() {
    let noise = |model: u64, key: u64| f64::from((model * 7_919 + key * 104_729 + model * key * 31) as u32 % 1_009) - 504.0;
    let scores =
        |model: u64, common: f64| (0..99).map(|key| common * noise(1, key) + noise(100 + model, key)).collect::<Vec<_>>();
    let tried = |record: Record, z: &[f64]| {
        Record { decoys: Some(99), decoys_at_alpha: Some(0), ..mark(record, "kgw", -0.1) }.with_decoy_z(z)
    };
    let mut records: Vec<Record> = (0..8).map(|i| tried(suspect(Arm::Control, "text", 100 + i, 0), &scores(i, 1.0))).collect();
    let [alone] = self_tests(&records[..1], ALPHA).try_into().unwrap();
    assert_eq!((alone.scored, alone.correlation, alone.effective), (1, None, Some(1.0)));
    records.push(tried(suspect(Arm::Base, "-", 0, 0), &scores(50, 0.0)));
    // the same control at another point of a grid is no further model
    records.push(Record { axes: [("x".to_string(), "1".to_string())].into(), ..records[0].clone() });
    let [test] = self_tests(&records, ALPHA).try_into().unwrap();
    let (r, effective) = (test.correlation.unwrap(), test.effective.unwrap());
    // 28 pairs of about one half, 8 of about none: 0.39, each within 0.1 over 99 keys
    assert!((r - 0.39).abs() < 0.1 && test.scored == 9, "{test:?}");
    assert!((effective - 9.0 / (1.0 + 8.0 * r)).abs() < 1e-9, "{test:?}");
    let words = format!("correlate {r:.2} over keys and tell as much as {effective:.1} independent models");
    assert!(test.sentence().contains(&words), "{}", test.sentence());
    // keys are shared, so that one seed is one cluster
    assert_eq!((test.low, test.high), (None, None));
    // a score that never varies says nothing
    records.push(tried(suspect(Arm::Stranger, "-", 0, 0), &[1.0; 99]));
    let [test] = self_tests(&records, ALPHA).try_into().unwrap();
    assert!(
        (test.models, test.scored) == (10, 9) && test.sentence().contains("scores of the 9 that vary"),
        "{}",
        test.sentence()
    );
}

#[test]
fn the_size_that_the_null_promises_stands_beside_the_rate() {
    let keys = |n: u64| Record {
        n: Some(n),
        null_law: Some(NullKind::Binomial),
        null_mean: Some(1.0 / 256.0),
        ..negatives(1, 0)[0].clone()
    };
    let [test] = self_tests(&[keys(16)], ALPHA).try_into().unwrap();
    // P[Bin(16, 1/256) >= 3], term by term: the first count whose tail is at most 0.001
    let (p, choose) = (1.0 / 256.0_f64, [1.0, 16.0, 120.0]);
    let size = 1.0 - (0..3).map(|k| choose[k] * p.powi(k as i32) * (1.0 - p).powi(16 - k as i32)).sum::<f64>();
    let (low, high) = test.attained.unwrap();
    assert!((low / size - 1.0).abs() < 1e-6 && low == high, "{low} {size}");
    assert!(test.sentence().contains("the null's own size is 3.2e-5 (nominal 0.001)"), "{}", test.sentence());
    let other = Record { seed: 1, ..keys(200) };
    let [test] = self_tests(&[keys(16), other], ALPHA).try_into().unwrap();
    assert!(test.attained.unwrap().0 < test.attained.unwrap().1);
    assert_eq!(self_tests(&negatives(1, 0), ALPHA)[0].attained, None, "no binomial null, no promise");
}

#[test]
fn few_trainings_make_a_rate_over_keys() {
    let sentence = |models| self_tests(&negatives(models, 1), ALPHA)[0].sentence();
    assert!(sentence(19).contains("a rate over keys, not over models"), "{}", sentence(19));
    assert!(!sentence(20).contains("not over models"), "{}", sentence(20));
    for part in ["kgw", "19 of 18981", "1.0e-3", "19 negative models from 19 trainings of 19 seeds"] {
        assert!(sentence(19).contains(part), "{part}: {}", sentence(19));
    }
}

#[test]
fn the_interval_widens_when_hits_gather_in_one_training() {
    let spread = negatives(30, 1);
    let mut gathered = negatives(30, 0);
    gathered[0].decoys_at_alpha = Some(30);
    let width = |records: &[Record]| {
        let [test] = self_tests(records, ALPHA).try_into().unwrap();
        assert_eq!(test.hits, 30);
        test.high.unwrap() - test.low.unwrap()
    };
    assert!(width(&gathered) > 3.0 * width(&spread), "{} {}", width(&gathered), width(&spread));
}

#[test]
fn marks_without_keys_have_no_self_test() {
    assert!(self_tests(&[mark(suspect(Arm::Base, "-", 0, 0), "agreement", -0.1)], ALPHA).is_empty());
}
