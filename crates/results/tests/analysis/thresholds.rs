use results::{NStar, Record, judge, n_star, retention};

use crate::fixture::{ALPHA, curve, of};

const YES: f64 = -20.0;
const NO: f64 = -0.2;

fn star(students: &[(u64, f64)]) -> NStar {
    stars(&[students])
}

/// One curve for each seed.
fn stars(seeds: &[&[(u64, f64)]]) -> NStar {
    let mut records: Vec<Record> = seeds.iter().zip(0..).flat_map(|(students, seed)| curve("kgw", students, seed)).collect();
    judge(&mut records, ALPHA).unwrap();
    let [star] = n_star(&records).try_into().unwrap();
    star
}

#[test]
fn n_star_is_the_smallest_budget_proven_from_there_on() {
    type Case = (&'static [(u64, f64)], Option<u64>, &'static str);
    let cases: [Case; 6] = [
        (&[(300, NO), (1000, YES), (3000, YES)], Some(1000), "1 k"),
        (&[(300, YES), (1000, YES)], Some(300), "300"),
        (&[(300, NO), (1000, NO), (10_000, YES)], Some(10_000), "10 k"),
        (&[(300, NO), (10_000, NO)], None, "> 10 k"),
        // proven once and lost again does not count
        (&[(300, YES), (1000, NO), (3000, YES)], Some(3000), "3 k"),
        (&[(300, YES), (1000, YES), (3000, NO)], None, "> 3 k"),
    ];
    for (students, expected, words) in cases {
        let found = star(students);
        assert_eq!(found.by_seed, [(0, expected)], "{students:?}");
        assert_eq!(found.words().replace('\u{a0}', " "), words);
        assert_eq!(found.median(), expected);
    }
}

#[test]
fn over_seeds_n_star_is_a_range() {
    let (early, late, never) =
        ([(300, YES), (1000, YES)].as_slice(), [(300, NO), (1000, YES)].as_slice(), [(300, NO), (1000, NO)].as_slice());
    let words = |seeds: &[&[(u64, f64)]]| stars(seeds).words().replace('\u{a0}', " ");
    assert_eq!(words(&[early, late]), "300 to 1 k");
    assert_eq!(words(&[late, late]), "1 k");
    assert_eq!(words(&[early, never]), "300 to > 1 k");
    assert_eq!(words(&[never, never]), "> 1 k");
    assert_eq!(stars(&[early, late, never]).median(), Some(1000));
    assert_eq!(stars(&[early, never, never]).median(), None);
}

#[test]
fn retention_is_the_share_of_the_teachers_effect_above_the_control() {
    let records = curve("kgw", &[(1000, -50.0)], 0);
    // effects of the fixture are 0.01 x evidence: student 0.5, control 0.003, teacher 2
    let student = of(&records, results::Arm::Student, 1000);
    let expected = (0.5 - 0.003) / (2.0 - 0.003);
    assert!((retention(student, &records).unwrap() - expected).abs() < 1e-12);
    assert_eq!(retention(of(&records, results::Arm::Control, 1000), &records), None);
    let mut flat = records.clone();
    flat[0].effect = Some(0.003);
    assert_eq!(retention(student, &flat), None, "a teacher without an effect above the control's has nothing to keep");
}
