//! Students whose teachers lacked one mark each: a negative of that mark, further suspects of the others, and what the mark alone costs.

use results::{
    Arm, Caption, JudgeError, LOSS_ADDED, Record, Verdict, Width, family_wise, findings, judge, mark_costs, n_star, self_tests,
    summary_csv, survival_figure, survival_table,
};

use crate::fixture::{ALPHA, curve, mark, suspect};

/// A student without `lacks` beside the students of [`curve`].
fn apart(name: &str, lacks: &str, budget: u64, seed: u64, log10_p: f64) -> Record {
    Record { lacks: Some(lacks.into()), ..mark(suspect(Arm::Apart, "text", budget, seed), name, log10_p) }
}

/// Two marks at two budgets, each proven in the students, and the students without the first of them.
fn two_marks(lacked: f64, other: f64) -> Vec<Record> {
    let points = [(300, -20.0), (1000, -40.0)];
    let mut records = curve("kgw", &points, 0);
    records.extend(curve("keys", &points, 0));
    for budget in [300, 1000] {
        records.push(apart("kgw", "kgw", budget, 0, lacked));
        records.push(apart("keys", "kgw", budget, 0, other));
    }
    records
}

fn judged(mut records: Vec<Record>) -> Vec<Record> {
    judge(&mut records, ALPHA).unwrap();
    records
}

fn at<'a>(records: &'a [Record], arm: Arm, name: &str, budget: u64) -> &'a Record {
    let is = |r: &&Record| r.arm == arm && r.mark.as_deref() == Some(name) && r.budget_queries == Some(budget);
    records.iter().find(is).unwrap()
}

#[test]
fn it_is_a_negative_of_the_mark_it_lacks_and_a_suspect_of_the_others() {
    let found = judged(two_marks(-0.4, -9.0));
    assert_eq!(at(&found, Arm::Apart, "kgw", 1000).verdict, Some(Verdict::Clean));
    assert_eq!(at(&found, Arm::Apart, "keys", 1000).verdict, Some(Verdict::Proven));
    assert_eq!(at(&found, Arm::Student, "kgw", 1000).verdict, Some(Verdict::Proven));
    // its Holm runs over its own tests: two marks
    assert!((at(&found, Arm::Apart, "keys", 1000).log10_p_holm.unwrap() - (-9.0 + libm::log10(2f64))).abs() < 1e-12);
    let weak = judged(two_marks(-0.4, -0.5));
    assert_eq!(at(&weak, Arm::Apart, "keys", 1000).verdict, Some(Verdict::NotShown));
    assert!(at(&weak, Arm::Apart, "keys", 1000).detectable_effect.is_some());
    assert_eq!(judged(found.clone()), found, "judging again changes nothing");
}

#[test]
fn where_the_key_of_the_lacked_mark_fires_nothing_is_proven_of_it() {
    let mut records = two_marks(-0.4, -9.0);
    records.iter_mut().filter(|r| r.is_negative() && r.arm == Arm::Apart && r.budget_queries == Some(300)).for_each(|r| {
        r.log10_p = Some(-5.0);
    });
    let found = judged(records);
    assert_eq!(at(&found, Arm::Apart, "kgw", 300).verdict, Some(Verdict::FalsePositive));
    let student = at(&found, Arm::Student, "kgw", 300);
    assert_eq!(student.verdict, Some(Verdict::Suggested));
    assert!(student.reason.as_ref().is_some_and(|reason| reason.contains("student without kgw of `text`")), "{student:?}");
    // at its own point only, as a control; and the other mark is none of its business
    assert_eq!(at(&found, Arm::Student, "kgw", 1000).verdict, Some(Verdict::Proven));
    assert_eq!(at(&found, Arm::Student, "keys", 300).verdict, Some(Verdict::Proven));
    assert!(
        survival_table(&found, ALPHA, None)
            .contains("FALSE POSITIVE: mark `kgw` with its true key has p 1e-5 in student without kgw")
    );
}

#[test]
fn it_needs_the_control_as_a_student_does() {
    let mut records = two_marks(-0.4, -9.0);
    records.retain(|r| r.arm != Arm::Control || r.mark.as_deref() != Some("keys"));
    assert!(matches!(judge(&mut records, ALPHA), Err(JudgeError::NoControl { .. })));
    // a control that fires spoils the other mark in it too
    let mut records = two_marks(-0.4, -9.0);
    records
        .iter_mut()
        .filter(|r| r.arm == Arm::Control && r.mark.as_deref() == Some("keys"))
        .for_each(|r| r.log10_p = Some(-5.0));
    assert_eq!(at(&judged(records), Arm::Apart, "keys", 1000).verdict, Some(Verdict::Suggested));
}

#[test]
fn it_counts_in_no_survival_curve_and_in_every_sum_of_errors() {
    let found = judged(two_marks(-0.4, -0.5));
    let stars = n_star(&found);
    assert_eq!(stars.len(), 2);
    assert!(stars.iter().all(|star| star.by_seed == [(0, Some(300))]), "{stars:?}");
    let family = family_wise(&found, ALPHA).unwrap();
    // two students and two without a mark, two tests each
    assert_eq!((family.students, family.tests), (4, 8));
    // decoy keys on the student without the mark test the key function, and go with the clean twin's
    let mut keyed = found;
    keyed
        .iter_mut()
        .filter(|r| r.mark.as_deref() == Some("kgw"))
        .for_each(|r| (r.decoys, r.decoys_at_alpha) = (Some(999), Some(1)));
    let test = &self_tests(&keyed, ALPHA)[0];
    // base, stranger, two controls, two without the mark; from clean twin, base and stranger
    assert_eq!((test.models, test.trainings), (6, 3));
}

#[test]
fn a_primary_mark_that_a_teacher_lacks_keeps_no_other_back() {
    let mut records = two_marks(-0.4, -9.0);
    records.iter_mut().filter(|r| r.mark.as_deref() == Some("kgw")).for_each(|r| r.primary = Some(true));
    let found = judged(records.clone());
    let keys = at(&found, Arm::Apart, "keys", 1000);
    assert_eq!((keys.verdict, keys.log10_p_holm), (Some(Verdict::Proven), Some(-9.0)));
    // where it is the other mark, it goes first there too
    records.iter_mut().for_each(|r| r.primary = (r.mark.as_deref() == Some("keys")).then_some(true));
    assert_eq!(at(&judged(records), Arm::Apart, "keys", 1000).log10_p_holm, Some(-9.0));
}

/// A student and the one without `kgw` at 1,000 queries, with the loss that the mark adds.
fn worth(seed: u64, added: f64) -> Vec<Record> {
    let student = suspect(Arm::Student, "text", 1000, seed);
    let without = Record { lacks: Some("kgw".into()), ..suspect(Arm::Apart, "text", 1000, seed) };
    let metric = without.metric(LOSS_ADDED, added, "nats/token");
    vec![
        Record { metric_of: Some("kgw".into()), low: Some(added - 0.004), high: Some(added + 0.004), ..metric },
        student.metric("held_out_loss", 2.40 + added, "nats/token"),
        without.metric("held_out_loss", 2.40, "nats/token"),
        student.metric("exact_match", 0.081, "1"),
        without.metric("exact_match", 0.09, "1"),
    ]
}

#[test]
fn tables_and_figures_name_it_and_say_what_the_mark_costs() {
    let mut records = two_marks(-0.4, -9.0);
    records.extend(worth(0, 0.013));
    let found = judged(records);
    let table = survival_table(&found, ALPHA, Some(160)).replace('\u{a0}', " ");
    for part in [
        "without kgw",
        "the mark kgw alone costs the thief 0.013 (0.009\u{2013}0.017) nats/token of held-out loss at 1 k queries, text; 95 % interval over documents; \
         tasks solved: 8.1 % with it, 9.0 % without",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    assert!(table.lines().any(|line| line.trim_start().starts_with("student without kgw")), "a row of worth\n{table}");
    let of = |name: &str| findings(&found, ALPHA).into_iter().find(|f| f.mark == name).unwrap();
    assert!(of("keys").sentence.ends_with("; in the student without kgw: proven"), "{}", of("keys").sentence);
    assert!(!of("kgw").sentence.contains("without"), "{}", of("kgw").sentence);
    assert_eq!(of("kgw").apart.iter().map(|a| (a.lacks.as_str(), a.verdict.as_str())).collect::<Vec<_>>(), [("kgw", "clean")]);

    let figure = |records: &[Record]| survival_figure(records, &Caption::default(), ALPHA, Width::Two).unwrap().svg;
    let plain: Vec<Record> = found.iter().filter(|r| r.arm != Arm::Apart).cloned().collect();
    assert!(figure(&found).contains("student without kgw") && !figure(&plain).contains("without"));
    assert!(figure(&found).len() > figure(&plain).len() + 500, "its line is drawn");
    let header = |records: &[Record]| summary_csv(records, ALPHA).unwrap().lines().next().unwrap().to_string();
    assert!(header(&found).contains(",lacks") && !header(&plain).contains("lacks"));
    let roles = crate::fixture::Csv::read(&summary_csv(&found, ALPHA).unwrap()).rows_of(&[("arm", "apart")], "role");
    assert!(roles.contains(&"negative".to_string()) && roles.contains(&"question".to_string()), "{roles:?}");
}

#[test]
fn the_cost_over_seeds_is_their_median_with_its_range() {
    let records: Vec<Record> = [0.01, 0.034, 0.02].into_iter().zip(0..).flat_map(|(added, seed)| worth(seed, added)).collect();
    let costs = mark_costs(&records);
    assert_eq!((costs.len(), costs[0].loss_added.len(), costs[0].budget), (1, 3, 1000));
    let sentence = costs[0].sentence();
    assert!(
        sentence.contains("costs the thief 0.02 (0.01\u{2013}0.03) nats/token") && sentence.contains("range over 3 seeds"),
        "{sentence}"
    );
    assert!(mark_costs(&[]).is_empty());
}
