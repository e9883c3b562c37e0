use oracle::{Exchange, Oracle, Sampling};

use super::*;
use crate::testing::Lab;
use crate::{Chance, MarkEntry, Phase};

const CHANCE: Chance = Chance { decoys: 99, decoy_seed: 5, draws: 99, draw_seed: 9 };

/// Every example whose mark is served.
fn served() -> Vec<MarkEntry> {
    MarkEntry::examples().into_iter().filter(|entry| entry.config().unwrap().needs().phase == Phase::Service).collect()
}

fn at(entry: &MarkEntry, mark_rate: Option<f64>, opt_out: Option<OptOut>) -> MarkEntry {
    MarkEntry { mark_rate, opt_out, ..entry.clone() }
}

fn out(accounts: &[u32], queries: f64) -> Option<OptOut> {
    Some(OptOut { accounts: accounts.to_vec(), queries })
}

fn laws(entry: &MarkEntry) -> Vec<Arc<dyn LogitsProcessor>> {
    let planting = Lab::new(entry).build(&Key::decoy(1, 1)).unwrap().planting();
    planting.into_iter().filter_map(|p| if let Planting::Law(law) = p { Some(law) } else { None }).collect()
}

fn named(entry: &MarkEntry) -> Vec<String> {
    laws(entry).iter().map(|law| law.name()).collect()
}

/// Questions of three accounts.
fn questions(lab: &Lab) -> Vec<Query> {
    let of = |(index, query): (usize, Query)| Query { account: index as u32 % 3, max_new_tokens: 12, ..query };
    lab.audit().into_iter().enumerate().map(of).collect()
}

fn answers(lab: &Lab) -> Vec<Exchange> {
    let mark = lab.build(&Key::decoy(1, 1)).unwrap();
    lab.marked(&*mark).answer(&questions(lab)).unwrap()
}

fn kgw() -> MarkEntry {
    MarkEntry::examples().remove(0)
}

/// Whatever the mark: every answer is the marked model's or the plain model's, as the key and the sender say.
#[test]
fn any_served_mark_is_in_the_chosen_answers_and_in_no_other() {
    for entry in served() {
        let lab = Lab::new(&entry);
        let (name, queries) = (lab.name(), questions(&lab));
        let (marked, plain) = (answers(&lab), lab.model(1_000).answer(&queries).unwrap());
        let some = answers(&Lab::new(&at(&entry, Some(0.4), out(&[2], 0.2))));
        let (whole, part) = (laws(&entry), laws(&at(&entry, Some(0.4), out(&[2], 0.2))));
        assert_eq!(whole.len(), part.len());
        let share = KeyedShare::new(&Key::decoy(1, 1), MARKED, 0.4);
        let opt_out = OptOut { accounts: vec![2], queries: 0.2 };
        for (at, query) in queries.iter().enumerate() {
            let is_marked = share.holds(query.account, &query.prompt) && !opt_out.holds(query);
            assert!(!is_marked || query.account != 2);
            assert_eq!(some[at], if is_marked { &marked } else { &plain }[at], "{name}, question {at}");
        }
        for (whole, part) in whole.iter().zip(&part) {
            assert_eq!(
                (whole.stage(), whole.companions(), whole.changes_greedy(), whole.failure()),
                (part.stage(), part.companions(), part.changes_greedy(), part.failure()),
                "{name}"
            );
            assert!(part.name().ends_with(&whole.name()) && part.name() != whole.name(), "{}", part.name());
            let raises = |law: &Arc<dyn LogitsProcessor>, query: &Query| {
                law.raised(&Step { query, tokens: &query.prompt }).map(|raised| raised.bias)
            };
            for query in &queries {
                let is_marked = share.holds(query.account, &query.prompt) && !opt_out.holds(query);
                assert_eq!(raises(part, query), raises(whole, query).filter(|_| is_marked), "{name}");
            }
        }
    }
}

#[test]
fn answers_that_are_all_marked_are_named_as_ever() {
    for entry in served() {
        let table = serde_json::to_string(&entry).unwrap();
        assert!(!table.contains("mark_rate") && !table.contains("opt_out"), "{table}");
        assert_eq!(named(&entry), named(&at(&entry, Some(1.0), None)));
        let some =
            [(Some(0.4), None), (Some(0.5), None), (Some(0.4), out(&[1], 0.0)), (None, out(&[1], 0.0)), (None, out(&[], 0.3))];
        let names: std::collections::BTreeSet<_> = some.into_iter().map(|(rate, out)| named(&at(&entry, rate, out))).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(!names.contains(&named(&entry)));
    }
    // the order and number of times that accounts are named in is nothing
    let twice = [out(&[1, 2], 0.0), out(&[2, 1, 2], 0.0)].map(|out| named(&at(&kgw(), None, out)));
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn a_question_asked_again_is_decided_alike_by_the_server_and_anew_by_its_sender() {
    let lab = Lab::new(&kgw());
    let prompt = lab.audit()[0].prompt.clone();
    let ask = |law: &Arc<dyn LogitsProcessor>, account, index, seed| {
        let query = Query { account, seed, sampling: Sampling::PLAIN, ..Query::greedy(index, prompt.clone(), 4) };
        law.raised(&Step { query: &query, tokens: &query.prompt }).is_some()
    };
    let [by_key] = &laws(&at(&kgw(), Some(0.5), None))[..] else { panic!("one law") };
    let of_account = |account| (0..50).map(|at| ask(by_key, account, at, 7 * at)).collect::<std::collections::BTreeSet<_>>();
    assert!((0..20).all(|account| of_account(account).len() == 1));
    assert_eq!((0..20).flat_map(of_account).collect::<std::collections::BTreeSet<_>>().len(), 2, "accounts are decided apart");
    let [by_sender] = &laws(&at(&kgw(), None, out(&[], 0.25)))[..] else { panic!("one law") };
    let marked = (0..2_000).filter(|&at| ask(by_sender, 0, at, 7 * at)).count();
    // five standard errors of 1,500
    assert!(marked.abs_diff(1_500) < 97, "{marked}");
}

/// What the judge does is the same, and so is what a model without the mark shows.
#[test]
fn a_mark_in_half_of_the_answers_is_found_and_fainter() {
    let found = |entry: &MarkEntry| {
        let lab = Lab::new(entry);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let plain = lab.measure(&*mark, &lab.model(4), CHANCE).unwrap().remove(0);
        (lab.measure(&*mark, &lab.marked(&*mark), CHANCE).unwrap().remove(0).evidence, plain)
    };
    let ((whole, plain), (half, same)) = (found(&kgw()), found(&at(&kgw(), Some(0.5), None)));
    assert_eq!(plain, same);
    assert!(whole.log10_p < half.log10_p && half.log10_p < -5.0, "{whole:?} {half:?}");
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    for (rate, out, key) in [
        (Some(0.0), None, "mark_rate"),
        (Some(-0.1), None, "mark_rate"),
        (Some(1.1), None, "mark_rate"),
        (Some(f64::NAN), None, "mark_rate"),
        (None, out(&[], 0.0), "opt_out"),
        (None, out(&[], 1.0), "opt_out.queries"),
        (None, out(&[1], -0.5), "opt_out.queries"),
    ] {
        let error = at(&kgw(), rate, out).validate().unwrap_err();
        assert!(error.key == key && error.remedy.len() > 10 && !error.to_string().contains('\n'), "{error}");
    }
    for entry in MarkEntry::examples() {
        let is_served = entry.config().unwrap().needs().phase == Phase::Service;
        for (rate, out, key) in [(Some(0.5), None, "mark_rate"), (None, out(&[1], 0.0), "opt_out")] {
            let said = at(&entry, rate, out).validate();
            assert_eq!(said.is_ok(), is_served);
            if let Err(error) = said {
                assert!(error.key == key && error.remedy.contains("changes no served answer"), "{error}");
            }
        }
    }
    // a mark inside another one is served as the outer one is
    let outer = MarkEntry::examples().into_iter().find(|entry| entry.per_account.is_some()).unwrap();
    let mut per_account = outer.per_account.unwrap();
    per_account.of.mark_rate = Some(0.5);
    let error = MarkEntry { per_account: Some(per_account), ..MarkEntry::default() }.validate().unwrap_err();
    assert_eq!((error.key.as_str(), error.value.as_str()), ("per_account.of.mark_rate", "0.5"));
}
