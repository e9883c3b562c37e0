use results::{Arm, JudgeError, Record, Verdict, View, judge};

use crate::fixture::{ALPHA, curve, mark, of, suspect};

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

fn student(records: &[Record]) -> &Record {
    of(records, Arm::Student, 1000)
}

fn edit(records: &mut [Record], arm: Arm, change: impl FnOnce(&mut Record)) {
    change(records.iter_mut().find(|r| r.arm == arm).unwrap());
}

#[test]
fn holm_p_decides_between_proven_suggested_and_not_shown() {
    let cases = [
        (-50.0, Verdict::Proven),
        (-3.0, Verdict::Proven),
        (-2.99, Verdict::Suggested),
        (libm::log10(0.05f64), Verdict::Suggested),
        (-1.30, Verdict::NotShown),
        (0.0, Verdict::NotShown),
    ];
    for (log10_p, expected) in cases {
        let records = judged(curve("kgw", &[(1000, log10_p)], 0));
        assert_eq!(student(&records).verdict, Some(expected), "{log10_p}");
        assert_eq!(student(&records).log10_p_holm, Some(log10_p));
        assert_eq!(of(&records, Arm::Teacher, 0).verdict, Some(Verdict::Proven));
        for arm in [Arm::Base, Arm::Stranger] {
            assert_eq!(of(&records, arm, 0).verdict, Some(Verdict::Clean));
        }
        assert_eq!(of(&records, Arm::Control, 1000).verdict, Some(Verdict::Clean));
    }
}

#[test]
fn more_marks_asked_of_a_suspect_make_proof_harder() {
    let alone = judged(curve("kgw", &[(1000, -3.2)], 0));
    assert_eq!(student(&alone).verdict, Some(Verdict::Proven));
    let mut both = curve("kgw", &[(1000, -3.2)], 0);
    both.extend(curve("other", &[(1000, -0.1)], 0));
    let both = judged(both);
    // Holm: the smaller of two p-values counts twice
    assert!((student(&both).log10_p_holm.unwrap() - (-3.2 + libm::log10(2f64))).abs() < 1e-12);
    assert_eq!(student(&both).verdict, Some(Verdict::Suggested));
    // another budget or seed is another suspect, and does not count
    let mut apart = curve("kgw", &[(1000, -3.2)], 0);
    apart.extend(curve("other", &[(3000, -0.1)], 0));
    assert_eq!(student(&judged(apart)).verdict, Some(Verdict::Proven));
}

#[test]
fn decoy_keys_must_agree_where_there_are_any() {
    let with_decoys = |exceed: f64| {
        let mut records = curve("kgw", &[(1000, -40.0)], 0);
        edit(&mut records, Arm::Student, |r| r.log10_p_decoy = Some(libm::log10((1.0 + exceed) / 1000.0)));
        judged(records)
    };
    // the smallest p that 999 decoys can give is exactly alpha
    assert_eq!(student(&with_decoys(0.0)).verdict, Some(Verdict::Proven));
    let beaten = with_decoys(4.0);
    assert_eq!(student(&beaten).verdict, Some(Verdict::Suggested));
    assert!(student(&beaten).reason.as_ref().unwrap().contains("among decoy keys p is 0.005"));
}

#[test]
fn one_negative_that_fires_spoils_the_proof_and_is_named() {
    for (arm, named) in [(Arm::Control, "control of `text`"), (Arm::Base, "base"), (Arm::Stranger, "stranger")] {
        let mut records = curve("kgw", &[(1000, -40.0)], 0);
        edit(&mut records, arm, |r| r.log10_p = Some(-3.0));
        let records = judged(records);
        assert_eq!(student(&records).verdict, Some(Verdict::Suggested), "{named}");
        assert!(student(&records).reason.as_ref().unwrap().contains(named), "{:?}", student(&records).reason);
        let fired = records.iter().find(|r| r.arm == arm).unwrap();
        assert_eq!(fired.verdict, Some(Verdict::FalsePositive));
    }
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    records.push(mark(suspect(Arm::Rival, "text", 10_000, 0), "kgw", -5.0));
    assert_eq!(student(&judged(records)).verdict, Some(Verdict::Suggested), "a rival of the seed, at whatever budget");
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    records.push(mark(suspect(Arm::Rival, "text", 10_000, 1), "kgw", -5.0));
    assert_eq!(student(&judged(records)).verdict, Some(Verdict::Proven), "another seed has other keys");
}

#[test]
fn a_control_that_fires_spoils_its_own_point_only() {
    let mut records = curve("kgw", &[(1000, -40.0), (3000, -40.0)], 0);
    edit(&mut records, Arm::Control, |r| r.log10_p = Some(-9.0));
    let records = judged(records);
    assert_eq!(of(&records, Arm::Student, 1000).verdict, Some(Verdict::Suggested));
    assert_eq!(of(&records, Arm::Student, 3000).verdict, Some(Verdict::Proven));
    assert_eq!(of(&records, Arm::Teacher, 0).verdict, Some(Verdict::Proven));
}

#[test]
fn an_intrinsic_fingerprint_may_show_in_the_control() {
    let mut records = curve("agreement", &[(1000, -40.0)], 0);
    records.iter_mut().for_each(|r| r.planted = Some(false));
    edit(&mut records, Arm::Control, |r| r.log10_p = Some(-30.0));
    let found = judged(records.clone());
    assert_eq!(student(&found).verdict, Some(Verdict::Proven));
    assert_eq!(of(&found, Arm::Control, 1000).verdict, Some(Verdict::Proven));
    // independent models may not show it, and it needs no teacher to have been planted in
    edit(&mut records, Arm::Stranger, |r| r.log10_p = Some(-4.0));
    records.retain(|r| r.arm != Arm::Teacher);
    let spoiled = judged(records);
    assert_eq!(student(&spoiled).verdict, Some(Verdict::Suggested));
    assert_eq!(of(&spoiled, Arm::Stranger, 0).verdict, Some(Verdict::FalsePositive));
}

#[test]
fn a_mark_that_the_teacher_does_not_show_was_not_planted() {
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    edit(&mut records, Arm::Teacher, |r| r.log10_p = Some(-2.0));
    let records = judged(records);
    assert_eq!(student(&records).verdict, Some(Verdict::NotPlanted));
    assert_eq!(of(&records, Arm::Teacher, 0).verdict, Some(Verdict::NotPlanted));
    assert_eq!(of(&records, Arm::Control, 1000).verdict, Some(Verdict::Clean));
    // a false positive elsewhere is named as what it is, and does not make a mark "not planted"
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    edit(&mut records, Arm::Base, |r| r.log10_p = Some(-9.0));
    let records = judged(records);
    assert_eq!(of(&records, Arm::Teacher, 0).verdict, Some(Verdict::Suggested));
    assert!(of(&records, Arm::Teacher, 0).reason.as_ref().unwrap().contains("base"));
}

#[test]
fn a_teacher_measured_by_surface_counts_for_its_own_surface() {
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    edit(&mut records, Arm::Teacher, |r| r.surface = "text".into());
    let mut weak = mark(suspect(Arm::Teacher, "-", 0, 0), "kgw", -0.1);
    weak.surface = "top_logprobs".into();
    records.push(weak);
    let mut other = mark(suspect(Arm::Student, "top_logprobs", 1000, 0), "kgw", -40.0);
    records.push(other.clone());
    other.arm = Arm::Control;
    other.log10_p = Some(0.0);
    records.push(other);
    let records = judged(records);
    let verdict = |surface: &str| records.iter().find(|r| r.arm == Arm::Student && r.surface == surface).unwrap().verdict;
    assert_eq!(verdict("text"), Some(Verdict::Proven));
    assert_eq!(verdict("top_logprobs"), Some(Verdict::NotPlanted));
}

#[test]
fn what_could_not_be_tested_says_what_it_needs() {
    let mut records = curve("keys", &[(1000, -40.0)], 0);
    for record in &mut records {
        record.access = Some("logprobs".into());
        if matches!(record.arm, Arm::Student | Arm::Control) {
            record.log10_p = None;
        }
    }
    let found = judged(records.clone());
    assert_eq!(student(&found).verdict, Some(Verdict::NotMeasurable));
    assert_eq!(student(&found).reason.as_deref(), Some("needs logprobs access"));
    edit(&mut records, Arm::Student, |r| r.reason = Some("needs weights access: served as text".into()));
    assert_eq!(student(&judged(records)).reason.as_deref(), Some("needs weights access: served as text"));
}

#[test]
fn without_control_or_teacher_there_is_no_verdict() {
    let without = |arm: Arm| {
        let mut records = curve("kgw", &[(1000, -40.0)], 7);
        records.retain(|r| r.arm != arm);
        judge(&mut records, ALPHA)
    };
    let error = without(Arm::Control).unwrap_err();
    assert!(matches!(error, JudgeError::NoControl { .. }));
    let text = error.to_string();
    for part in ["`kgw`", "student of `text` by sequence_kd at 1\u{a0}k queries, seed 7", "control"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(matches!(without(Arm::Teacher).unwrap_err(), JudgeError::NoTeacher { seed: 7, .. }));
    // a control of another surface, budget or seed does not serve, nor one that was not tested
    let changes: [fn(&mut Record); 4] =
        [|r| r.surface = "logits".into(), |r| r.budget_queries = Some(999), |r| r.seed = 8, |r| r.log10_p = None];
    for change in changes {
        let mut records = curve("kgw", &[(1000, -40.0)], 7);
        edit(&mut records, Arm::Control, change);
        assert!(matches!(judge(&mut records, ALPHA), Err(JudgeError::NoControl { .. })));
    }
}

/// A control that was asked and could not be measured says why: a planted mark gets no verdict without it, an intrinsic one, whose control is
/// no negative, is judged beside the others.
#[test]
fn a_control_that_cannot_be_measured_is_no_missing_control() {
    let mut records = curve("kgw", &[(1000, -40.0)], 7);
    edit(&mut records, Arm::Control, |r| (r.log10_p, r.reason) = (None, Some("needs a reference model".into())));
    let found = judged(records.clone());
    assert_eq!(student(&found).verdict, Some(Verdict::NotMeasurable));
    assert_eq!(student(&found).reason.as_deref(), Some("its control cannot be measured: needs a reference model"));
    assert_eq!(judged(found.clone()), found, "judging again changes nothing");
    records.iter_mut().for_each(|r| r.planted = Some(false));
    let found = judged(records);
    assert_eq!(student(&found).verdict, Some(Verdict::Proven));
    assert_eq!(of(&found, Arm::Control, 1000).verdict, Some(Verdict::NotMeasurable));
}

#[test]
fn without_a_control_by_design_nothing_is_proven() {
    let mut records = curve("kgw", &[(1000, -40.0)], 7);
    records.retain(|r| r.arm != Arm::Control);
    edit(&mut records, Arm::Student, |r| r.uncontrolled = Some(true));
    let found = judged(records);
    assert_eq!(student(&found).verdict, Some(Verdict::NotMeasurable));
    assert!(student(&found).reason.as_ref().is_some_and(|reason| reason.starts_with("no control")));
    assert_eq!(judged(found.clone()), found, "judging again changes nothing");
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    let refuse = |change: fn(&mut Vec<Record>)| {
        let mut records = curve("kgw", &[(1000, -40.0)], 0);
        change(&mut records);
        judge(&mut records, ALPHA).unwrap_err().to_string()
    };
    assert!(refuse(|r| r.push(r[0].clone())).contains("two records"));
    assert!(refuse(|r| r[0].mark = None).contains("does not name its mark"));
    assert!(refuse(|r| r[0].planted = None).contains("planted"));
    assert!(refuse(|r| r[0].log10_p = Some(0.5)).contains("0.5"));
    assert!(refuse(|r| r[0].log10_p = Some(f64::NEG_INFINITY)).contains("-inf"));
    // the same mark through another view is another test
    let mut records = curve("kgw", &[(1000, -40.0)], 0);
    records.push(Record { view: Some(View::Raw), log10_p: Some(-0.1), ..records[0].clone() });
    let records = judged(records);
    assert_eq!(student(&records).verdict, Some(Verdict::Proven));
}

#[test]
fn what_was_not_shown_comes_with_what_would_have_been() {
    let records = judged(curve("kgw", &[(1000, -0.5)], 0));
    // normal approximation: (z_0.001 + z_0.2) standard errors, with the interval 2 x 1.96 standard errors wide
    let expected = (3.090_232 + 0.841_621) * 0.04 / (2.0 * 1.959_964);
    let found = student(&records).detectable_effect.unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    assert_eq!(of(&records, Arm::Control, 1000).detectable_effect, None);

    // a p that is a bound of exp(-z^2 / 2) asks for sqrt(2 ln 1000)
    let mut bound = curve("kgw", &[(1000, -0.5)], 0);
    edit(&mut bound, Arm::Student, |r| r.null_law = Some(stats::NullKind::Chernoff));
    let expected = (3.716_922 + 0.841_621) * 0.04 / (2.0 * 1.959_964);
    let found = student(&judged(bound)).detectable_effect.unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");

    let mut exact = curve("kgw", &[(1000, -0.5)], 0);
    edit(&mut exact, Arm::Student, |r| {
        r.null_law = Some(stats::NullKind::Binomial);
        r.null_mean = Some(0.25);
    });
    let found = student(&judged(exact)).detectable_effect.unwrap();
    // same formula with the binomial's standard error; the exact power differs from it by a few percent at n = 10,000
    let approximate = (3.090_232 + 0.841_621) * (0.25f64 * 0.75 / 10_000.0).sqrt();
    assert!((found / approximate - 1.0).abs() < 0.05, "{found} {approximate}");
}

#[test]
fn judging_again_changes_nothing() {
    let mut once = crate::fixture::quickstart(2);
    judge(&mut once, ALPHA).unwrap();
    let mut twice = once.clone();
    judge(&mut twice, ALPHA).unwrap();
    assert_eq!(once, twice);
}
