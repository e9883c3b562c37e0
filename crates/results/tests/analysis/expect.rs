//! Conditions on records: what they speak of, when they are broken, and what is said then.

use std::collections::BTreeMap;

use results::{Arm, Expectation, Number, Record, Share, Verdict, Verdicts, broken, judge};

use crate::fixture::{ALPHA, curve, suspect};

/// Proven at 1,000 and 3,000 queries of seed 0, not at 300; the loss of each student.
fn records() -> Vec<Record> {
    let mut records = curve("kgw", &[(300, -1.0), (1000, -8.0), (3000, -20.0)], 0);
    judge(&mut records, ALPHA).unwrap();
    for (budget, loss) in [(300, 3.0), (1000, 2.5), (3000, 2.0)] {
        records.push(suspect(Arm::Student, "text", budget, 0).metric("held_out_loss", loss, "nats/token"));
    }
    records
}

fn lines(name: &str, expectation: Expectation) -> Vec<String> {
    broken(&BTreeMap::from([(name.to_string(), expectation)]), &records())
}

fn kgw(verdict: Verdict) -> Expectation {
    Expectation { mark: Some("kgw".into()), verdict: Some(Verdicts::One(verdict)), ..Expectation::default() }
}

fn holds(expectation: Expectation) {
    assert_eq!(lines("x", expectation), Vec::<String>::new());
}

#[test]
fn a_condition_speaks_of_the_records_it_names_and_of_no_others() {
    holds(Expectation { budget: Some(1000), ..kgw(Verdict::Proven) });
    holds(Expectation { of: Share::Any, ..kgw(Verdict::Proven) });
    holds(Expectation { arm: Arm::Control, ..kgw(Verdict::Clean) });
    holds(Expectation { arm: Arm::Teacher, ..kgw(Verdict::Proven) });
    holds(Expectation { verdict: Some(Verdicts::Several(vec![Verdict::Proven, Verdict::NotShown])), ..kgw(Verdict::Proven) });
    holds(Expectation { budget: Some(300), surface: Some("text".into()), seed: Some(0), ..kgw(Verdict::NotShown) });

    let line = lines("survives", kgw(Verdict::Proven)).remove(0);
    assert_eq!(
        line,
        "expect.survives: `kgw` in all of arm student: verdict proven; 1 of 3 are not so: not shown in student of `text` by sequence_kd \
         at 300 queries, seed 0"
    );
    let line = lines("x", Expectation { of: Share::Any, arm: Arm::Control, ..kgw(Verdict::Proven) }).remove(0);
    assert!(
        line.starts_with("expect.x: `kgw` in any of arm control: verdict proven; none of 3 is so: clean in control of"),
        "{line}"
    );
}

#[test]
fn a_condition_on_a_number_asks_for_the_number() {
    let p = |budget: u64, at_most: f64| Expectation {
        budget: Some(budget),
        value: Some(Number::Log10P),
        at_most: Some(at_most),
        verdict: None,
        ..kgw(Verdict::Proven)
    };
    holds(p(3000, -20.0));
    let line = lines("strong", p(1000, -10.0)).remove(0);
    assert!(line.contains("log10_p at most -10; 1 of 1 are not so: log10_p -8 in student of `text`"), "{line}");
    let loss = |at_least: Option<f64>, at_most: Option<f64>| Expectation {
        metric: Some("held_out_loss".into()),
        at_least,
        at_most,
        ..Expectation::default()
    };
    holds(loss(Some(2.0), Some(3.0)));
    let line = lines("useful", loss(None, Some(2.5))).remove(0);
    assert!(line.contains("metric `held_out_loss` in all of arm student: held_out_loss at most 2.5; 1 of 3"), "{line}");
    assert!(line.contains("held_out_loss 3 in student"), "{line}");
    // a number that was not measured fulfils nothing
    let decoy = Expectation { value: Some(Number::Log10PDecoy), at_most: Some(0.0), verdict: None, ..kgw(Verdict::Proven) };
    assert!(lines("x", decoy)[0].contains("no log10_p_decoy in student"));
}

#[test]
fn a_condition_that_nothing_answers_to_is_broken() {
    for missing in [
        Expectation { seed: Some(7), ..kgw(Verdict::Proven) },
        Expectation { arm: Arm::Rival, of: Share::Any, ..kgw(Verdict::Clean) },
        Expectation { metric: Some("no_such".into()), at_most: Some(1.0), ..Expectation::default() },
    ] {
        assert!(lines("x", missing)[0].ends_with("; found no such record"));
    }
}

#[test]
fn every_broken_condition_is_one_line_and_many_records_are_counted() {
    let expected = BTreeMap::from([
        ("a".to_string(), kgw(Verdict::NotPlanted)),
        ("b".to_string(), kgw(Verdict::Suggested)),
        ("c".to_string(), Expectation { of: Share::Any, ..kgw(Verdict::Proven) }),
    ]);
    let mut many = records();
    for budget in [4000, 5000] {
        let mut more = curve("kgw", &[(budget, -9.0)], 0);
        more.drain(..3);
        many.extend(more);
    }
    judge(&mut many, ALPHA).unwrap();
    let lines = broken(&expected, &many);
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| !line.contains('\n') && line.ends_with("; and 2 more")), "{lines:?}");
}
