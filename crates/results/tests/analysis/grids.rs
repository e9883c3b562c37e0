//! Grid points, attacks, defences and accounts: who stands beside whom, and how they are told apart.

use results::{Arm, Kind, Record, Verdict, findings, judge, metrics_csv, n_star, self_tests, summary_csv, survival_table};
use stats::NullKind;

use crate::fixture::{ALPHA, Csv, curve, grid, mark, suspect};

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

fn at(records: Vec<Record>, axis: &str, value: &str) -> Vec<Record> {
    records.into_iter().map(|r| Record { axes: [(axis.into(), value.into())].into(), ..r }).collect()
}

/// The student's verdict at an axis value.
fn verdict(records: &[Record], value: &str) -> Option<Verdict> {
    let is = |r: &&Record| r.arm == Arm::Student && r.axes.values().any(|v| v == value);
    records.iter().find(is).unwrap().verdict
}

#[test]
fn arms_of_another_grid_point_do_not_stand_beside_a_suspect() {
    let both = |change: fn(&mut Record)| {
        let mut records = at(curve("kgw", &[(1000, -40.0)], 0), "delta", "1");
        records.extend(at(curve("kgw", &[(1000, -40.0)], 0), "delta", "2"));
        records.iter_mut().filter(|r| r.axes["delta"] == "1").for_each(change);
        judge(&mut records, ALPHA).map(|()| records)
    };
    let spoiled = both(|r| {
        if r.arm == Arm::Base {
            r.log10_p = Some(-9.0);
        }
    })
    .unwrap();
    assert_eq!((verdict(&spoiled, "1"), verdict(&spoiled, "2")), (Some(Verdict::Suggested), Some(Verdict::Proven)));
    let reason = spoiled.iter().find(|r| r.arm == Arm::Student).unwrap().reason.clone().unwrap();
    assert!(reason.contains("base, delta=1, seed 0"), "{reason}");
    let unplanted = both(|r| {
        if r.arm == Arm::Teacher {
            r.log10_p = Some(-0.1);
        }
    })
    .unwrap();
    assert_eq!((verdict(&unplanted, "1"), verdict(&unplanted, "2")), (Some(Verdict::NotPlanted), Some(Verdict::Proven)));
    let lost = both(|r| {
        if r.arm == Arm::Control {
            r.axes.insert("delta".into(), "3".into());
        }
    });
    assert!(lost.unwrap_err().to_string().contains("grid point"));
    // tests of another grid point are of another suspect, and make no proof harder
    let apart = both(|r| r.log10_p = Some(if r.arm == Arm::Student { -3.0 } else { r.log10_p.unwrap() })).unwrap();
    assert_eq!(verdict(&apart, "1"), Some(Verdict::Proven));
}

#[test]
fn a_teacher_without_attack_stands_beside_attacked_students() {
    let attacked = |records: Vec<Record>| {
        let of_thief = |r: Record| match r.arm {
            Arm::Student | Arm::Control => Record { attack: Some("clean fine-tuning".into()), ..r },
            _ => r,
        };
        records.into_iter().map(of_thief).collect::<Vec<_>>()
    };
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    let mut others = attacked(curve("kgw", &[(1000, -1.5)], 0));
    others.retain(|r| r.arm.is_distilled());
    records.extend(others);
    let records = judged(records);
    let of = |attack: Option<&str>| records.iter().find(|r| r.arm == Arm::Student && r.attack.as_deref() == attack).unwrap();
    assert_eq!(of(None).verdict, Some(Verdict::Proven));
    assert_eq!(of(Some("clean fine-tuning")).verdict, Some(Verdict::Suggested));
    let sentences: Vec<_> = findings(&records, ALPHA).into_iter().map(|f| (f.setting.attack, f.n_star.by_seed[0].1)).collect();
    assert_eq!(sentences, [(None, Some(1000)), (Some("clean fine-tuning".to_string()), None)]);
    let table = survival_table(&records, ALPHA, None);
    assert!(table.contains("after clean fine-tuning") && table.contains("no attack") && table.contains("setting"), "{table}");

    // the base fires: that counts whatever the thief does; the control of another attack does not serve
    let mut fired = records.clone();
    fired.iter_mut().filter(|r| r.arm == Arm::Base).for_each(|r| r.log10_p = Some(-5.0));
    assert!(judged(fired).iter().filter(|r| r.arm == Arm::Student).all(|r| r.verdict == Some(Verdict::Suggested)));
    let mut unpaired = records.clone();
    unpaired.retain(|r| r.arm != Arm::Control || r.attack.is_none());
    let error = judge(&mut unpaired, ALPHA).unwrap_err().to_string();
    assert!(error.contains("after clean fine-tuning") && error.contains("attack"), "{error}");

    // a defence is the teacher's: its arms are others
    let mut defended = records;
    defended.iter_mut().filter(|r| r.arm == Arm::Student).for_each(|r| r.defence = Some("rounding".into()));
    assert!(judge(&mut defended, ALPHA).is_err());
}

/// `own` bought; `others` did not.
fn accounts(own: u32, others: std::ops::Range<u32>, innocent_log10_p: f64) -> Vec<Record> {
    let keyed = |account: u32| curve("kgw", &[(1000, -40.0)], 0).into_iter().map(move |r| Record { account: Some(account), ..r });
    let mut records: Vec<Record> = keyed(own).collect();
    for account in others {
        records.extend(keyed(account).filter(|r| r.arm != Arm::Teacher).map(|r| match r.arm {
            Arm::Student => Record { innocent: Some(true), log10_p: Some(innocent_log10_p), ..r },
            _ => r,
        }));
    }
    records
}

#[test]
fn the_true_account_is_proven_and_innocent_ones_are_clean() {
    let records = judged(accounts(3, 10..19, -1.0));
    for record in records.iter().filter(|r| r.arm == Arm::Student) {
        let expected = if record.account == Some(3) { Verdict::Proven } else { Verdict::Clean };
        assert_eq!(record.verdict, Some(expected), "{:?}", record.account);
    }
    let guilty = records.iter().find(|r| r.arm == Arm::Student && r.account == Some(3)).unwrap();
    // Holm over ten keys of one suspect
    assert!((guilty.log10_p_holm.unwrap() - (-40.0 + 1.0)).abs() < 1e-12);
    let [finding] = findings(&records, ALPHA).try_into().unwrap();
    assert_eq!((finding.account, finding.innocents), (Some(3), (9, 0)));
    assert!(finding.sentence.ends_with("; 0 of 9 innocent accounts fire"), "{}", finding.sentence);
    assert!(survival_table(&records, ALPHA, None).contains("kgw, account 3"));
    assert_eq!(n_star(&records).len(), 1);
    let csv = summary_csv(&records, ALPHA).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).filter(|row| &row[column("arm")] == "student").collect();
    let innocent = rows.iter().filter(|row| &row[column("innocent")] == "true" && row[column("n_star")].is_empty()).count();
    assert_eq!((rows.len(), innocent), (10, 9));
}

#[test]
fn an_innocent_account_that_fires_spoils_the_proof() {
    let records = judged(accounts(3, 10..12, -30.0));
    let students: Vec<&Record> = records.iter().filter(|r| r.arm == Arm::Student).collect();
    assert_eq!(students[0].verdict, Some(Verdict::Suggested));
    assert!(students[0].reason.as_ref().unwrap().contains("innocent account 10 in student"), "{:?}", students[0].reason);
    assert!(students[1..].iter().all(|r| r.verdict == Some(Verdict::FalsePositive)));
    assert!(survival_table(&records, ALPHA, None).contains("FALSE POSITIVE: mark `kgw, account 10`"));
    // one key in a hundred at p = 0.001 is what chance gives: it fires by Holm p only
    let by_chance = judged(accounts(3, 10..110, -3.2));
    assert!(by_chance.iter().all(|r| r.verdict != Some(Verdict::FalsePositive)));
    // innocent accounts of another suspect say nothing here
    let mut apart = accounts(3, 10..12, -30.0);
    apart.iter_mut().filter(|r| r.innocent == Some(true)).for_each(|r| r.seed = 1);
    let own = judged(apart).into_iter().find(|r| r.arm == Arm::Student && r.seed == 0).unwrap();
    assert_eq!(own.verdict, Some(Verdict::Proven));
}

#[test]
fn an_approximate_p_proves_nothing_without_decoys() {
    let with = |decoy: Option<f64>| {
        let mut records = curve("kgw", &[(1000, -40.0)], 0);
        records.iter_mut().filter(|r| r.arm == Arm::Student).for_each(|r| {
            r.null_law = Some(NullKind::Normal);
            r.log10_p_decoy = decoy;
        });
        judged(records).into_iter().find(|r| r.arm == Arm::Student).unwrap()
    };
    assert_eq!(with(Some(-3.0)).verdict, Some(Verdict::Proven));
    assert_eq!(with(None).verdict, Some(Verdict::Suggested));
    assert!(with(None).reason.unwrap().contains("no decoy keys"));
}

#[test]
fn tables_have_a_row_and_a_column_for_each_grid_point() {
    let mut records = grid();
    let (own, other) = (records[0].clone(), Record { mark: Some("secret_sharer".into()), ..records[0].clone() });
    for (mark, value) in [(own, 1.5), (other, 2.5)] {
        records.push(Record { metric_of: mark.mark.clone(), ..mark.metric("exposure", value, "bits") });
    }
    let records = judged(records);
    let stars = n_star(&records);
    assert_eq!(stars.len(), 2 * 12);
    let deltas: Vec<&str> = stars[..12].iter().map(|star| star.setting.axes["marks.wm.kgw.delta"].as_str()).collect();
    assert!(deltas.is_sorted_by_key(|delta| delta.parse::<u32>().unwrap()), "{deltas:?}");
    assert_eq!(findings(&records, ALPHA).len(), 2 * 12);
    let table = survival_table(&records, ALPHA, Some(150));
    for label in ["setting", "delta=10, width=4"] {
        assert!(table.contains(label), "{table}");
    }
    assert!(!table.contains("layers"), "what does not differ is not named: {table}");

    let marks = Csv::read(&summary_csv(&records, ALPHA).unwrap());
    assert_eq!(marks.rows.len(), records.iter().filter(|r| r.kind == Kind::Mark).count());
    let delta = "axis.marks.wm.kgw.delta";
    assert_eq!(marks.rows_of(&[("arm", "teacher"), ("mark", "kgw"), (delta, "10")], "axis.student.layers"), ["4"; 3]);
    let metrics = Csv::read(&metrics_csv(&records).unwrap());
    for (mark, value) in [("kgw", "1.5"), ("secret_sharer", "2.5")] {
        assert_eq!(metrics.rows_of(&[("metric", "exposure"), ("metric_of", mark), (delta, "1")], "value"), [value]);
    }
}

#[test]
fn grid_points_of_a_negative_are_one_model() {
    let base = |delta: &str| {
        let record = mark(suspect(Arm::Base, "-", 0, 0), "kgw", -0.1);
        let axes = [("delta".to_string(), delta.to_string())].into();
        Record { decoys: Some(999), decoys_at_alpha: Some(1), axes, ..record }
    };
    let [rate] = self_tests(&[base("1"), base("2")], ALPHA).try_into().unwrap();
    assert_eq!((rate.models, rate.pairs), (1, 2 * 999));
}
