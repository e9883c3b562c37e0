//! Models from outside: what is proven of them, by what they must be compared with, and how it is said.

use results::{Arm, AuditOutcome, Claim, Record, Verdict, audit_outcome, audit_table, judge, summary_csv};

use crate::fixture::{ALPHA, mark, suspect};

/// A model from outside with this mark.
fn outside(arm: Arm, model: &str, name: &str, log10_p: f64) -> Record {
    Record { model: Some(model.into()), ..mark(suspect(arm, "-", 0, 0), name, log10_p) }
}

/// The experiment's own models and a suspect with p = 10^log10_p, without any negative from outside.
fn alone(name: &str, log10_p: f64) -> Vec<Record> {
    let own = |arm: Arm, log10_p: f64| mark(suspect(arm, "-", 0, 0), name, log10_p);
    vec![
        own(Arm::Teacher, -200.0),
        own(Arm::CleanTeacher, -0.1),
        own(Arm::Base, -0.2),
        own(Arm::Stranger, -0.4),
        outside(Arm::Suspect, "thief", name, log10_p),
    ]
}

/// The same beside one negative.
fn beside(name: &str, log10_p: f64, negative: f64) -> Vec<Record> {
    [alone(name, log10_p), vec![outside(Arm::Negative, "honest", name, negative)]].concat()
}

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

fn of<'a>(records: &'a [Record], arm: Arm, name: &str) -> &'a Record {
    records.iter().find(|r| r.arm == arm && r.mark.as_deref() == Some(name)).unwrap()
}

#[test]
fn a_suspect_needs_no_control_but_a_negative() {
    let found = judged(beside("kgw", -20.0, -0.3));
    assert_eq!(of(&found, Arm::Suspect, "kgw").verdict, Some(Verdict::Proven));
    assert_eq!(of(&found, Arm::Negative, "kgw").verdict, Some(Verdict::Clean));
    assert_eq!(audit_outcome(&found, ALPHA), AuditOutcome::Proven);
    assert_eq!(judged(found.clone()), found, "judging again changes nothing");

    for (log10_p, verdict) in [(-2.0, Verdict::Suggested), (-0.5, Verdict::NotShown)] {
        let found = judged(beside("kgw", log10_p, -0.3));
        assert_eq!(of(&found, Arm::Suspect, "kgw").verdict, Some(verdict));
        assert_eq!(audit_outcome(&found, ALPHA), AuditOutcome::NotProven);
    }
}

#[test]
fn without_a_negative_nothing_is_concluded_whatever_p_is() {
    for log10_p in [-300.0, -0.1] {
        let found = judged(alone("kgw", log10_p));
        let record = of(&found, Arm::Suspect, "kgw");
        assert_eq!(record.verdict, Some(Verdict::Inconclusive));
        assert!(record.reason.as_deref().unwrap().starts_with("no negative was named"), "{:?}", record.reason);
        assert_eq!(record.detectable_effect.is_some(), log10_p > -1.0, "said of what was not found");
        assert_eq!(audit_outcome(&found, ALPHA), AuditOutcome::Inconclusive);
        let table = audit_table(&found, ALPHA);
        assert!(table.contains("kgw: INCONCLUSIVE") && table.contains("--negative MODEL"), "{table}");
    }
    // one that cannot be measured is none
    let mut records = beside("kgw", -20.0, -0.3);
    records[5] = Record { log10_p: None, reason: Some("needs logprobs access".into()), ..records[5].clone() };
    let found = judged(records);
    let record = of(&found, Arm::Suspect, "kgw");
    assert_eq!(record.verdict, Some(Verdict::Inconclusive));
    assert!(record.reason.as_deref().unwrap().contains("negative honest, seed 0 needs logprobs access"), "{:?}", record.reason);
}

#[test]
fn a_mark_that_fires_in_any_negative_proves_nothing() {
    let spoilers: [(usize, &str); 4] = [(1, "clean_teacher"), (2, "base"), (3, "stranger"), (5, "negative honest")];
    for (place, who) in spoilers {
        let mut records = beside("kgw", -50.0, -0.3);
        records[place].log10_p = Some(-4.0);
        let found = judged(records);
        assert_eq!(found[place].verdict, Some(Verdict::FalsePositive));
        let record = of(&found, Arm::Suspect, "kgw");
        assert_eq!(record.verdict, Some(Verdict::Inconclusive), "{who}");
        assert!(record.reason.as_deref().unwrap().contains(&format!("fires where it must not: {who}")), "{:?}", record.reason);
        assert_eq!(audit_outcome(&found, ALPHA), AuditOutcome::Inconclusive);
    }
    // another mark is another question
    let mut records = [beside("kgw", -50.0, -4.0), beside("keys", -20.0, -0.1)].concat();
    records.iter_mut().for_each(|r| r.audit_prompts = Some(20));
    let found = judged(records);
    assert_eq!(of(&found, Arm::Suspect, "keys").verdict, Some(Verdict::Proven));
    assert_eq!(audit_outcome(&found, ALPHA), AuditOutcome::Proven);
    let table = audit_table(&found, ALPHA);
    assert!(table.contains("negative honest p 1e-4 FIRES") && table.contains("Verdict: PROVEN, by `keys`"), "{table}");
}

#[test]
fn a_mark_that_would_be_proven_but_for_its_negatives_leaves_the_whole_open() {
    let whole = |suspect: f64| audit_outcome(&judged([beside("kgw", suspect, -4.0), beside("keys", -0.2, -0.1)].concat()), ALPHA);
    assert_eq!(whole(-50.0), AuditOutcome::Inconclusive);
    // what was not found is not found, whatever its negatives do
    assert_eq!(whole(-0.5), AuditOutcome::NotProven);
}

#[test]
fn all_marks_of_a_suspect_are_corrected_together_and_a_mark_must_be_in_the_teacher() {
    let found = judged([beside("kgw", -3.2, -0.3), beside("keys", -0.1, -0.3)].concat());
    let record = of(&found, Arm::Suspect, "kgw");
    assert_eq!(record.verdict, Some(Verdict::Suggested), "10^-3.2 twice is above 0.001");
    assert!((record.log10_p_holm.unwrap() - (-3.2 + libm::log10(2f64))).abs() < 1e-12);
    // negatives are models, each with a family of its own
    let two = vec![outside(Arm::Negative, "second", "kgw", -0.6)];
    let found = judged([beside("kgw", -3.2, -0.3), two].concat());
    assert_eq!(of(&found, Arm::Suspect, "kgw").verdict, Some(Verdict::Proven));

    let mut records = beside("kgw", -20.0, -0.3);
    records[0].log10_p = Some(-0.2);
    assert_eq!(of(&judged(records), Arm::Suspect, "kgw").verdict, Some(Verdict::NotPlanted));
    // decoys that do as well
    let mut records = beside("kgw", -20.0, -0.3);
    records[4].log10_p_decoy = Some(-2.0);
    assert_eq!(of(&judged(records), Arm::Suspect, "kgw").verdict, Some(Verdict::Suggested));
}

#[test]
fn a_primary_mark_goes_first_in_a_suspect_too() {
    let first = |records: Vec<Record>| -> Vec<Record> {
        records.into_iter().map(|r| Record { primary: (r.mark.as_deref() == Some("kgw")).then_some(true), ..r }).collect()
    };
    let found = judged(first([beside("kgw", -3.2, -0.3), beside("keys", -30.0, -0.3)].concat()));
    assert_eq!(of(&found, Arm::Suspect, "kgw").verdict, Some(Verdict::Proven));
    assert_eq!(of(&found, Arm::Suspect, "keys").verdict, Some(Verdict::Proven));
    let found = judged(first([beside("kgw", -0.5, -0.3), beside("keys", -30.0, -0.3)].concat()));
    assert_eq!(of(&found, Arm::Suspect, "keys").verdict, Some(Verdict::NotShown));
    let found = judged(first([alone("kgw", -0.5), alone("keys", -30.0)].concat()));
    assert_eq!(of(&found, Arm::Suspect, "keys").verdict, Some(Verdict::Inconclusive), "not `not shown`: nobody can tell");
}

#[test]
fn the_words_say_all_that_was_measured() {
    let mut records = beside("kgw", -20.0, -0.3);
    records.iter_mut().for_each(|r| r.claim = Some(Claim::Distillation));
    let found = judged(records);
    let table = audit_table(&found, ALPHA);
    for part in [
        "kgw: PROVEN, so the suspect learned from the owner's answers",
        "statistic 100 over 10000 scored units",
        "effect 0.200 (0.180 to 0.220)",
        "p 1e-20; corrected for 1 test 1e-20, level 0.001",
        "decoy keys: none",
        "must not show it: base p 0.63; stranger p 0.40; clean twin p 0.79; negative honest p 0.50",
        "the owner's own model: p 1e-200",
    ] {
        assert!(table.contains(part), "no `{part}` in\n{table}");
    }
    let csv = summary_csv(&found, ALPHA).unwrap();
    let row = csv.lines().find(|line| line.contains(",suspect,")).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(",model") && row.contains(",question,") && row.ends_with(",thief"), "{csv}");
}
