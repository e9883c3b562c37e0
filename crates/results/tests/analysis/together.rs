//! What verdicts are worth together, and whether a second audit would give them again.

use results::{Arm, Record, Verdict, family_wise, findings, judge, proven_again};
use stats::NullKind;

use crate::fixture::{ALPHA, curve, of};

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

/// `students` students of one mark each, at budgets of their own.
fn students(students: &[f64]) -> Vec<Record> {
    let points: Vec<(u64, f64)> = students.iter().zip(1..).map(|(&log10_p, i)| (100 * i, log10_p)).collect();
    judged(curve("kgw", &points, 0))
}

#[test]
fn the_error_of_many_students_is_stated_and_corrected() {
    let family = family_wise(&students(&[-20.0, -3.2, -3.1, -0.3]), ALPHA).unwrap();
    assert_eq!((family.students, family.tests, family.proven), (4, 4, 3));
    assert!((family.bound - 0.004).abs() < 1e-12);
    // Holm over four: 4 p, 3 p, 2 p: 3 x 10^-3.2 and 2 x 10^-3.1 are above 0.001
    assert_eq!(family.lost.len(), 2);
    let sentence = family.sentence();
    for part in
        ["at most 0.004", "all 4 tests of students", "1 of 3 proven results stay proven", "kgw in text at 200 queries, seed 0"]
    {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    let family = family_wise(&students(&[-20.0, -30.0]), ALPHA).unwrap();
    assert!(family.sentence().ends_with("all 2 proven results stay proven"), "{}", family.sentence());
    let many: Vec<f64> = vec![-3.05; 2000];
    let family = family_wise(&students(&many), ALPHA).unwrap();
    assert_eq!(family.bound, 1.0, "a probability");
    assert!(family.sentence().contains("and 1995 more"), "{}", family.sentence());
    assert!(family_wise(&[], ALPHA).is_none());
}

#[test]
fn many_true_nulls_give_no_false_proof_more_often_than_the_bound() {
    // uniform p from a fixed sequence: 400 reports of 20 students at a level of 0.01
    let (alpha, reports, each) = (0.01, 400_u32, 20_u32);
    let p = |i: u32| (f64::from(i.wrapping_mul(2_654_435_769) >> 8) + 0.5) / f64::from(1 << 24);
    let wrong =
        (0..reports).filter(|report| (0..each).any(|i| p(report * each + i) <= alpha)).count() as f64 / f64::from(reports);
    let points: Vec<(u64, f64)> = (1..=each).map(|i| (100 * u64::from(i), -0.1)).collect();
    let bound = family_wise(&judged(curve("kgw", &points, 0)), alpha).unwrap().bound;
    assert!((bound - 0.2).abs() < 1e-12);
    assert!(wrong <= bound + 0.04 && wrong > 0.1, "{wrong} of the reports err, at most {bound} may");
}

fn binomial(record: Record, n: u64, rate: f64, effect: f64) -> Record {
    let null = (Some(NullKind::Binomial), Some(rate));
    Record { n: Some(n), effect: Some(effect), null_law: null.0, null_mean: null.1, ..record }
}

#[test]
fn what_a_second_audit_proves_is_what_counting_gives() {
    let records = judged(curve("kgw", &[(1000, -5.0)], 0));
    let student = binomial(of(&records, Arm::Student, 1000).clone(), 16, 0.25, 0.4);
    // all laws of 16 units, term by term
    let law = |rate: f64| -> Vec<f64> {
        let mut choose = 1.0;
        (0..=16)
            .map(|k| {
                if k > 0 {
                    choose *= f64::from(17 - k) / f64::from(k);
                }
                choose * rate.powi(k) * (1.0 - rate).powi(16 - k)
            })
            .collect()
    };
    for tests in [1, 4] {
        let level = ALPHA / f64::from(tests);
        let tail = |law: &[f64], from: usize| law[from..].iter().sum::<f64>();
        let critical = (0..=16).find(|&k| tail(&law(0.25), k) <= level).unwrap();
        let expected = tail(&law(0.65), critical);
        let found = proven_again(&student, tests as usize, ALPHA).unwrap();
        assert!((found - expected).abs() < 1e-9, "{tests} tests: {found} {expected}");
    }
    let one = |tests| proven_again(&student, tests, ALPHA).unwrap();
    assert!(one(4) < one(1), "more marks ask for more evidence");
    let with = |keys: u64| {
        let decoys = Record { decoys: Some(keys), log10_p_decoy: Some(-3.0), ..student.clone() };
        proven_again(&decoys, 1, ALPHA).unwrap()
    };
    assert!(with(999) < one(1) && with(999) > 0.0, "decoys are one more thing that can fail: {}", with(999));
    assert_eq!(with(99), 0.0, "99 decoys cannot reach 0.001");
}

#[test]
fn the_normal_approximation_serves_where_there_is_no_binomial_law() {
    let records = judged(curve("kgw", &[(1000, -5.0)], 0));
    let student = of(&records, Arm::Student, 1000);
    // effect 0.05, interval 0.03 to 0.07: 4.9 standard errors against 3.09
    let z: f64 = 0.05 / (0.04 / 3.919_928);
    let found = proven_again(student, 1, ALPHA).unwrap();
    let expected = 1.0 - libm::pow(10f64, stats::tail::log10_normal_sf(z - 3.090_232));
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    let finding = &findings(&records, ALPHA)[0];
    assert_eq!(finding.again, Some(found));
    // a bound of exp(-z^2 / 2) asks for 3.7169 standard errors
    let of_a_mean = Record { null_law: Some(NullKind::Chernoff), null_mean: Some(0.25), ..student.clone() };
    let expected = 1.0 - libm::pow(10f64, stats::tail::log10_normal_sf(z - 3.716_922));
    let bounded = proven_again(&of_a_mean, 1, ALPHA).unwrap();
    assert!((bounded - expected).abs() < 1e-5 && bounded < found, "{bounded} {expected}");
    // that of a weighted sum is in standard errors itself: its effect is that of other weights
    let of_a_sum = Record { statistic: Some(4.0), null_mean: None, ..of_a_mean };
    let expected = 1.0 - libm::pow(10f64, stats::tail::log10_normal_sf(4.0 - 3.716_922));
    let of_a_sum = proven_again(&of_a_sum, 1, ALPHA).unwrap();
    assert!((of_a_sum - expected).abs() < 1e-5, "{of_a_sum} {expected}");

    assert_eq!(proven_again(of(&records, Arm::Control, 1000), 1, ALPHA), None, "a negative is not to be proven");
    for verdict in [Verdict::NotPlanted, Verdict::NotMeasurable] {
        assert_eq!(proven_again(&Record { verdict: Some(verdict), ..student.clone() }, 1, ALPHA), None);
    }
    let unconfirmed = Record { null_law: Some(NullKind::Normal), ..student.clone() };
    assert_eq!(proven_again(&unconfirmed, 1, ALPHA), Some(0.0), "an approximation without decoys proves nothing, ever");
    let flat = Record { effect_low: Some(0.1), effect_high: Some(0.1), ..student.clone() };
    assert_eq!(proven_again(&flat, 1, ALPHA), None, "no width, no standard error");
}
