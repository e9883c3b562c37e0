use results::{Arm, Kind, NStar, Record, StarClaim, findings, judge, n_star, retention, summary_csv};

use crate::fixture::{ALPHA, Csv, curve, of, suspect};

const YES: f64 = -20.0;
const NO: f64 = -0.2;

fn star(students: &[(u64, f64)]) -> NStar {
    stars(&[students])
}

/// One curve for each seed.
fn stars(seeds: &[&[(u64, f64)]]) -> NStar {
    star_of(judged(seeds.iter().zip(0..).flat_map(|(students, seed)| curve("kgw", students, seed)).collect()))
}

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

fn star_of(records: Vec<Record>) -> NStar {
    let [star] = n_star(&records).try_into().unwrap();
    star
}

fn words(star: &NStar) -> String {
    star.words().replace('\u{a0}', " ")
}

#[test]
fn what_is_seen_is_the_smallest_budget_proven_from_there_on() {
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
    for (students, expected, range) in cases {
        let found = star(students);
        assert_eq!(found.by_seed, [(0, expected)], "{students:?}");
        let beyond = range.strip_prefix("> ");
        let seen = beyond.map_or(format!("proven from {range}"), |largest| format!("not proven up to {largest}"));
        assert_eq!(words(&found), format!("no N* (1 seed): {seen}"), "one seed is no ground for a number");
        assert_eq!((found.claim(), found.median()), (StarClaim::FewSeeds, None));
        // the same three times over is N*
        let found = stars(&[students, students, students]);
        assert_eq!((words(&found).as_str(), found.claim(), found.median()), (range, StarClaim::NStar, expected));
    }
}

#[test]
fn over_seeds_n_star_is_a_range() {
    let (early, late, never) =
        ([(300, YES), (1000, YES)].as_slice(), [(300, NO), (1000, YES)].as_slice(), [(300, NO), (1000, NO)].as_slice());
    let of = |seeds: &[&[(u64, f64)]]| words(&stars(seeds));
    assert_eq!(of(&[early, late]), "no N* (2 seeds): proven from 300 to 1 k");
    assert_eq!(of(&[early, late, late]), "300 to 1 k");
    assert_eq!(of(&[late, late, late]), "1 k");
    assert_eq!(of(&[early, early, never]), "300 to > 1 k");
    assert_eq!(of(&[never, never, never]), "> 1 k");
    assert_eq!(stars(&[early, late, never]).median(), Some(1000));
    assert_eq!(stars(&[early, never, never]).median(), None);
}

/// Three seeds proven at both budgets, with these held-out losses of the students by seed and budget, and 2 of the base.
fn worth(losses: [[f64; 2]; 3]) -> Vec<Record> {
    let mut records = Vec::new();
    for (seed, losses) in (0..).zip(losses) {
        records.extend(curve("kgw", &[(300, YES), (1000, YES)], seed));
        records.push(suspect(Arm::Base, "-", 0, seed).metric("held_out_loss", 2.0, "nats/token"));
        for (budget, loss) in [300, 1000].into_iter().zip(losses) {
            records.push(suspect(Arm::Student, "text", budget, seed).metric("held_out_loss", loss, "nats/token"));
        }
    }
    judged(records)
}

#[test]
fn where_a_student_is_worth_less_than_its_base_there_is_no_theft() {
    let of = |losses| star_of(worth(losses));
    let thefts = of([[1.5, 1.4]; 3]);
    assert_eq!((words(&thefts).as_str(), thefts.median()), ("300", Some(300)));
    // a student that is worthless at a small budget moves N*; what was seen stays
    let later = of([[2.5, 1.4]; 3]);
    assert_eq!((words(&later).as_str(), later.by_seed[0].1), ("1 k", Some(300)));
    assert_eq!(words(&of([[2.5, 1.4], [1.5, 1.4], [1.5, 1.4]])), "300 to 1 k");
    // at the largest budget it leaves nothing to claim
    let nothing = of([[2.5, 2.1]; 3]);
    assert_eq!((nothing.claim(), nothing.median()), (StarClaim::NoTheft, None));
    assert_eq!(words(&nothing), "no theft: proven from 300");
    assert_eq!(words(&of([[1.5, 2.1], [1.5, 1.4], [1.5, 1.4]])), "no theft in 1 of 3 seeds: proven from 300");
    // no worse than its base is not worth less
    assert_eq!(of([[2.0, 2.0]; 3]).claim(), StarClaim::NStar);

    let records = worth([[2.5, 2.1]; 3]);
    let sentence = &findings(&records, ALPHA)[0].sentence;
    let end = "; no theft: its held-out loss is 2.1 nats/token, that of its base 2";
    assert!(sentence.starts_with("survives in 3 of 3 seeds") && sentence.ends_with(end), "{sentence}");
    let csv = summary_csv(&records, ALPHA).unwrap();
    assert_eq!(csv.matches(",no theft,").count(), 6, "in the row of each student");
}

#[test]
fn retention_is_the_share_of_the_teachers_effect_above_the_control() {
    let records = curve("kgw", &[(1000, -50.0)], 0);
    // effects of the fixture are 0.01 x evidence: student 0.5, control 0.003, teacher 2
    let student = of(&records, Arm::Student, 1000);
    let expected = (0.5 - 0.003) / (2.0 - 0.003);
    assert!((retention(student, &records).unwrap() - expected).abs() < 1e-12);
    assert_eq!(retention(of(&records, Arm::Control, 1000), &records), None);
    let mut flat = records.clone();
    flat[0].effect = Some(0.003);
    assert_eq!(retention(student, &flat), None, "a teacher without an effect above the control's has nothing to keep");
}

/// Answers move each of three effects by its own interval over answers, or by that of the record.
#[test]
fn retention_has_an_interval_over_answers_and_one_over_seeds() {
    let rows = |records: &[Record]| {
        let csv = Csv::read(&summary_csv(records, ALPHA).unwrap());
        let of = |column: &str| {
            let students = csv.rows_of(&[("arm", "student"), ("mark", "kgw")], column);
            students.iter().map(|cell| cell.parse::<f64>().ok()).collect::<Vec<_>>()
        };
        ["", "_over_seeds"].map(|over| ["", "_low", "_high"].map(|end| of(&format!("retention{over}{end}"))))
    };
    let with = |mut records: Vec<Record>, half: f64| {
        let marks: Vec<Record> = records.iter().filter(|r| r.kind == Kind::Mark).cloned().collect();
        for mark in marks {
            let effect = mark.effect.unwrap();
            let number = Record {
                kind: Kind::Metric,
                mark: None,
                metric: Some("effect_over_answers".into()),
                metric_of: mark.mark.clone(),
                value: Some(effect),
                low: Some(effect - half),
                high: Some(effect + half),
                ..mark
            };
            records.push(number);
        }
        judge(&mut records, ALPHA).unwrap();
        records
    };
    // student 0.5, teacher 2, control 0.003, each with the standard error 0.02
    let one = rows(&with(curve("kgw", &[(1000, -50.0)], 0), 0.02 * 1.959_964));
    let (share, [low, high]) = (0.497 / 1.997, [one[0][1][0].unwrap(), one[0][2][0].unwrap()]);
    // the delta method: (s - c) / (t - c) with variances alike
    let half = 1.959_964 * 0.02 / 1.997 * f64::sqrt(1.0 + share * share + (1.0 - share) * (1.0 - share));
    assert!((one[0][0][0].unwrap() - share).abs() < 1e-12);
    assert!((low - (share - half)).abs() < 0.1 * half && (high - (share + half)).abs() < 0.1 * half, "{low} {high} {half}");
    assert_eq!(one[1][0], [None], "one seed says nothing of others");
    // three seeds that differ by more than answers move them
    let seeds: Vec<Record> =
        [-40.0, -50.0, -60.0].into_iter().zip(0..).flat_map(|(p, seed)| curve("kgw", &[(1000, p)], seed)).collect();
    let three = rows(&with(seeds, 0.01));
    let all = (0.4 + 0.5 + 0.6 - 3.0 * 0.003) / (3.0 * 1.997);
    for (seed, share) in three[1][0].iter().enumerate() {
        let (share, [low, high]) = (share.unwrap(), [1, 2].map(|column| three[1][column][seed].unwrap()));
        assert!((share - all).abs() < 1e-12, "{share} {all}");
        // the standard deviation of the mean of three drawn seeds, about 0.0818 / sqrt 3, over the teacher's 2
        assert!(low < share - 0.03 && low > share - 0.06 && high > share + 0.03 && high < share + 0.06, "{low} {high}");
        let own = [0, 1, 2].map(|column| three[0][column][seed].unwrap());
        assert!(own[2] - own[1] < 0.02, "{own:?}");
    }
    let records = with(curve("kgw", &[(1000, -50.0)], 0), 0.02 * 1.959_964);
    let sentence = &findings(&records, ALPHA)[0].sentence;
    assert!(sentence.contains("; keeps 0.25 (0.22 to 0.28) of the teacher's effect"), "{sentence}");
}

/// Three seeds of one mark that is proven everywhere, with the count's log10 p at each of three budgets; the count is strong in controls.
fn with_counts(counts: [f64; 3]) -> Vec<Record> {
    let mut records = Vec::new();
    for seed in 0..3 {
        records.extend(curve("kgw", &[(300, -20.0), (1_000, -30.0), (3_000, -40.0)], seed));
        for (budget, count) in [300, 1_000, 3_000].into_iter().zip(counts) {
            for (arm, count) in [(Arm::Student, count), (Arm::Control, -50.0)] {
                let metric = suspect(arm, "text", budget, seed).metric("count_log10_p", count, "log10 p");
                records.push(Record { metric_of: Some("kgw".into()), ..metric });
            }
        }
    }
    records
}

/// N* of `kgw` by the count.
fn by_count(records: Vec<Record>) -> Option<NStar> {
    let found = findings(&judged(records), ALPHA);
    found.into_iter().find(|finding| finding.mark == "kgw").unwrap().n_star_by_count
}

#[test]
fn the_older_test_has_an_n_star_of_its_own() {
    let records = judged(with_counts([-1.0, -5.0, -9.0]));
    let found = findings(&records, ALPHA).remove(0);
    assert_eq!(found.n_star.median(), Some(300), "the mark's own test is untouched");
    assert_eq!(found.n_star_by_count.unwrap().median(), Some(1_000));
    let table = results::survival_table(&records, ALPHA, None).replace('\u{a0}', " ");
    assert!(table.contains("by the count of distinct") && table.contains("units: 1 k"), "{table}");
    // proven at every larger budget, as the test's own
    assert_eq!(by_count(with_counts([-9.0, -1.0, -9.0])).unwrap().median(), Some(3_000));
    assert_eq!(by_count(with_counts([-9.0, -9.0, -1.0])).unwrap().median(), None);
    // at the level of Holm's first step among two marks, at alpha alone for a primary mark
    let mut two = with_counts([-3.1, -3.1, -3.1]);
    two.extend((0..3).flat_map(|seed| curve("keys", &[(300, -0.1), (1_000, -0.1), (3_000, -0.1)], seed)));
    assert_eq!(by_count(two.clone()).unwrap().median(), None);
    two.iter_mut().filter(|r| r.mark.as_deref() == Some("kgw")).for_each(|r| r.primary = Some(true));
    assert_eq!(by_count(two).unwrap().median(), Some(300));
    // a mark without a count has none
    assert_eq!(by_count((0..3).flat_map(|seed| curve("kgw", &[(300, -20.0)], seed)).collect()), None);
}

#[test]
fn the_older_test_claims_nothing_where_the_mark_has_no_verdict_and_no_n_star_where_nothing_was_stolen() {
    // the teacher does not show the mark
    let mut unplanted = with_counts([-9.0; 3]);
    unplanted.iter_mut().filter(|r| r.arm == Arm::Teacher).for_each(|r| r.log10_p = r.log10_p.map(|_| -0.1));
    assert_eq!(by_count(unplanted), None);
    // no control beside the student
    let mut uncontrolled = with_counts([-9.0; 3]);
    uncontrolled.retain(|r| r.arm != Arm::Control);
    uncontrolled.iter_mut().filter(|r| r.arm == Arm::Student && r.mark.is_some()).for_each(|r| r.uncontrolled = Some(true));
    assert_eq!(by_count(uncontrolled), None);
    // students worth less than their base
    let mut worthless = with_counts([-9.0; 3]);
    for seed in 0..3 {
        worthless.push(suspect(Arm::Base, "-", 0, seed).metric("held_out_loss", 2.0, "nats/token"));
        for budget in [300, 1_000, 3_000] {
            worthless.push(suspect(Arm::Student, "text", budget, seed).metric("held_out_loss", 2.5, "nats/token"));
        }
    }
    let count = by_count(worthless).unwrap();
    assert_eq!((count.claim(), count.median()), (StarClaim::NoTheft, None));
}
