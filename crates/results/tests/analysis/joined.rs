//! Records of several results directories as one.

use results::{Arm, JoinError, Part, RESULT_AXIS, Record, Together, Width, join, judge, n_star, summary_csv, survival_figure};

use crate::fixture::{ALPHA, Csv, curve, suspect};

/// A directory with records of one experiment, which is `world` whatever of it was run.
fn part(name: &str, hash: &str, world: &str, records: Vec<Record>) -> Part {
    let records = records.into_iter().map(|r| Record { experiment_hash: hash.into(), experiment: name.into(), ..r }).collect();
    Part { name: name.into(), records, worlds: [(hash.to_string(), world.to_string())].into() }
}

fn judged(together: Together) -> Vec<Record> {
    let mut records = together.records;
    judge(&mut records, ALPHA).unwrap();
    records
}

fn marks(students: &[(u64, f64)], seed: u64) -> Vec<Record> {
    let mut records = curve("kgw", students, seed);
    let of = |arm: Arm, value: f64| suspect(arm, "-", 0, seed).metric("held_out_loss", value, "nats/token");
    records.extend([of(Arm::Teacher, 2.0), of(Arm::Base, 3.0)]);
    records
}

#[test]
fn seeds_that_were_run_apart_are_one_experiment() {
    let parts: Vec<Part> = (0..3)
        .map(|seed| part(&format!("run-{seed}"), &format!("{seed}{seed}"), "w", marks(&[(300, -20.0), (1_000, -30.0)], seed)))
        .collect();
    let together = join(&parts).unwrap();
    assert_eq!(together.counted_before, [0, 0, 0]);
    let records = judged(together);
    assert_eq!(records.len(), 3 * parts[0].records.len());
    assert!(records.iter().all(|r| r.experiment_hash == "00" && !r.axes.contains_key(RESULT_AXIS)));
    let [star] = n_star(&records).try_into().unwrap();
    assert_eq!((star.by_seed.len(), star.median()), (3, Some(300)), "an N* that none of them alone may claim");
    let csv = Csv::read(&summary_csv(&records, ALPHA).unwrap());
    assert_eq!(csv.rows_of(&[("arm", "student"), ("seed", "2"), ("budget_queries", "300")], "source"), ["run-2"]);
    assert_eq!(csv.rows_of(&[("arm", "student"), ("seed", "0"), ("budget_queries", "300")], "n_star"), ["300"]);
}

#[test]
fn what_is_in_both_is_counted_once() {
    let small = part("small", "aa", "w", marks(&[(300, -20.0)], 0));
    let large = part("large", "bb", "w", marks(&[(300, -20.0), (1_000, -30.0)], 0));
    let together = join(&[small.clone(), large.clone()]).unwrap();
    // teacher, base, stranger, a student, its control, two losses
    assert_eq!((together.counted_before[1], together.records.len()), (7, large.records.len()));
    let records = judged(together);
    let of = |source: &str| records.iter().filter(|r| r.source.as_deref() == Some(source)).count();
    assert_eq!((of("small"), of("large")), (7, 2), "each says where it is from");
    assert_eq!(n_star(&records)[0].by_seed, [(0, Some(300))]);
    // verdicts that were given by themselves do not matter
    let mut alone = small.clone();
    judge(&mut alone.records, ALPHA).unwrap();
    assert_eq!(join(&[alone, large.clone()]).unwrap().counted_before, [0, 7]);
    // the same directory twice
    assert_eq!(join(&[large.clone(), Part { name: "again".into(), ..large.clone() }]).unwrap().counted_before, [0, 9]);

    let mut other = small;
    other.records.iter_mut().filter(|r| r.arm == Arm::Student).for_each(|r| r.log10_p = Some(-19.0));
    let error = join(&[other, large]).unwrap_err();
    assert!(matches!(&error, JoinError::Contradicts { what, .. } if what.starts_with("kgw in student of `text`")), "{error}");
    assert!(error.to_string().starts_with("small and large hold other numbers for the same measurement"), "{error}");
}

#[test]
fn other_experiments_stand_beside_each_other() {
    let (a, b) = (part("a/1", "aa", "v", marks(&[(300, -20.0)], 0)), part("b/2", "bb", "w", marks(&[(300, -0.5)], 0)));
    let records = judged(join(&[a.clone(), b.clone()]).unwrap());
    assert_eq!(records.len(), a.records.len() + b.records.len(), "nothing of them is the same");
    let stars = n_star(&records);
    let told: Vec<&str> = stars.iter().map(|star| star.setting.axes[RESULT_AXIS].as_str()).collect();
    assert_eq!(told, ["a/1", "b/2"]);
    let figure = survival_figure(&records, &results::Caption::default(), ALPHA, Width::Two).unwrap().svg;
    for label in ["result=a/1", "result=b/2"] {
        assert!(figure.contains(&format!("\n{label}\n")), "{label}");
    }
    let csv = Csv::read(&summary_csv(&records, ALPHA).unwrap());
    assert_eq!(csv.rows_of(&[("axis.result", "b/2"), ("arm", "student")], "source"), ["b/2"]);
    // a surface of its own tells them apart already, and so does a grid
    let surface = |part: &Part, to: &str| {
        let records = part.records.iter().cloned().map(|r| match r.arm.is_distilled() {
            true => Record { surface: to.into(), ..r },
            false => r,
        });
        Part { records: records.collect(), ..part.clone() }
    };
    let records = join(&[a.clone(), surface(&b, "logits")]).unwrap().records;
    assert!(records.iter().all(|r| r.axes.is_empty()));
    let at = |part: &Part, value: &str| {
        let axes = || [("delta".to_string(), value.to_string())].into();
        Part { records: part.records.iter().map(|r| Record { axes: axes(), ..r.clone() }).collect(), ..part.clone() }
    };
    let records = join(&[at(&a, "1"), at(&b, "2")]).unwrap().records;
    assert!(records.iter().all(|r| !r.axes.contains_key(RESULT_AXIS)));
    // a point of a grid that was run alone too is the same measurement
    let alone = Part { name: "alone".into(), ..a.clone() };
    let together = join(&[at(&a, "1"), alone.clone()]).unwrap();
    assert_eq!(together.counted_before[1], a.records.len());
    let together = join(&[alone, at(&a, "1")]).unwrap();
    assert!(together.records.iter().all(|r| r.axes["delta"] == "1"), "its place on the grid is known from either");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let of = |name: &str, change: fn(&mut Record)| {
        let mut part = part(name, name, name, marks(&[(300, -20.0)], 0));
        part.records.iter_mut().filter(|r| r.mark.is_some()).for_each(change);
        part
    };
    let refused = |change: fn(&mut Record)| match join(&[of("a", |_| ()), of("b", change)]) {
        Err(error) => error.to_string(),
        Ok(_) => "accepted".to_string(),
    };
    type Change = fn(&mut Record);
    let cases: [(Change, &str); 4] = [
        (|r| r.audit_prompts = Some(50), "the audit of mark `kgw`: 400 prompts x 48 tokens there, 50 prompts x 48 tokens here"),
        (|r| r.scheme = Some("other".into()), "the scheme of mark `kgw`: kgw there, other here"),
        (|r| r.primary = Some(true), "the primary mark: none there, kgw here"),
        (|_| (), "accepted"),
    ];
    for (change, want) in cases {
        let said = refused(change);
        assert!(said.contains(want), "{want}: {said}");
    }
    // a grid over audits says itself which is which
    let mut grid = of("grid", |_| ());
    grid.records[0].audit_prompts = Some(50);
    assert!(join(&[of("a", |_| ()), grid]).is_ok());
}
