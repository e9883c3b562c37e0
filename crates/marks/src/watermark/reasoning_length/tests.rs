use oracle::{Oracle, Query, Sampling, Stop};

use super::*;
use crate::testing::{Lab, ToyModel};
use crate::{Chance, MarkEntry, Seen};

fn example(at: usize) -> ReasoningLengthConfig {
    ReasoningLengthConfig::examples().remove(at)
}

fn lab(config: ReasoningLengthConfig) -> Lab {
    Lab::new(&MarkEntry { reasoning_length: Some(Box::new(config)), ..MarkEntry::default() })
}

fn answered(model: &ToyModel, queries: u64, max_new_tokens: usize) -> Vec<Exchange> {
    let query = |index: u64| Query {
        sampling: Sampling::PLAIN,
        seed: 31 * index,
        ..Query::greedy(index, vec![1, 3 + index as u32 % 61, 3 + index as u32 / 61], max_new_tokens)
    };
    model.answer(&(0..queries).map(query).collect::<Vec<_>>()).unwrap()
}

#[test]
fn long_answers_are_long_short_ones_end_and_openings_stay() {
    let config = ReasoningLengthConfig { opening_tokens: 1, least_tokens: 15, end_bias: 60.0 };
    let (lab, key) = (lab(config), Key::decoy(1, 1));
    let coins = Coins::of(&key);
    let marked = lab.marked(&*lab.build(&key).unwrap());
    let (answers, plain) = (answered(&marked, 300, 40), answered(&lab.model(1_000), 300, 40));
    let mut long = 0;
    for (item, plain) in answers.iter().zip(&plain) {
        assert_eq!(item.answer[0], plain.answer[0], "the key has nothing to say before the opening");
        if item.answer[0] == 2 {
            continue;
        }
        if coins.long(&item.answer[..1]) {
            let length = item.answer.iter().position(|token| *token == 2).unwrap_or(item.answer.len());
            assert!(length >= 15, "{:?}", item.answer);
            long += 1;
        } else {
            assert_eq!((item.answer.len(), item.stop), (2, Stop::EndToken));
        }
    }
    assert!((60..240).contains(&long), "{long}");
}

/// Against the definition: S is Mann and Whitney's U less its mean, ties halved.
#[test]
fn the_sum_is_the_rank_sum() {
    let (lab, key) = (lab(example(0)), Key::decoy(1, 1));
    let answers = answered(&lab.model(5), 150, 24);
    let (ranked, coins) = (Ranked::of(&answers, 1, 2), Coins::of(&key));
    let [long, short] = ranked.halves(&coins);
    let above = |a: f64, b: f64| if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
    let u: f64 = long.iter().flat_map(|a| short.iter().map(move |b| above(*a, *b))).sum();
    assert!((ranked.sum(&coins) - (u - 0.5 * (long.len() * short.len()) as f64)).abs() < 1e-9);
    assert!(ranked.weights.values().sum::<f64>().abs() < 1e-9 && ranked.lengths.len() > 120);
    let found = lab.judge(&*lab.build(&key).unwrap(), &lab.model(5), answers.clone(), Chance::default()).unwrap().remove(0);
    assert!((found.evidence.effect - (u / (long.len() * short.len()) as f64 - 0.5)).abs() < 1e-12);
}

/// Lengths that hang on the opening by nature, 4,000 keys: the approximation is uniform, the verdict's bound is never above it.
#[test]
fn under_random_keys_p_is_uniform_whatever_openings_do() {
    let lab = lab(example(0));
    let mut answers = answered(&lab.model(5), 400, 60);
    for item in &mut answers {
        // openings below 20 are always short, those above 50 long
        match item.answer[0] {
            ..20 => item.answer.truncate(3),
            51.. => item.answer = [&item.answer[..1], &[9; 59]].concat(),
            _ => {}
        }
    }
    let keys: Vec<Key> = (0..4_000).map(|index| Key::decoy(8, index)).collect();
    let found = lab.judge_under(&keys, &lab.model(5), answers, Chance::default()).unwrap();
    for alpha in [0.5, 0.2, 0.05, 0.01] {
        let below = |p: &dyn Fn(&Finding) -> f64| found.iter().filter(|found| p(found) <= libm::log10(alpha)).count() as f64;
        let (near, bound) = (below(&|found| found.metric("length_log10_p").unwrap()), below(&|found| found.evidence.log10_p));
        // error rate 1e-4 by the normal bound, and a tenth for the approximation
        let spread = 3.9 * (4_000.0 * alpha * (1.0 - alpha)).sqrt() + 400.0 * alpha;
        assert!((near - 4_000.0 * alpha).abs() <= spread, "{near} at {alpha}");
        assert!(bound <= near && bound <= 4_000.0 * alpha, "{bound} at {alpha}");
    }
}

/// 100 answers of up to 24 tokens, level 0.001: 100 keys of which 99 must show.
#[test]
fn a_hundred_answers_show_the_marked_teacher() {
    for at in 0..3 {
        let lab = lab(example(at));
        let shown = (0..100).filter(|index| {
            let key = Key::decoy(4, *index);
            let mark = lab.build(&key).unwrap();
            let answers = answered(&lab.marked(&*mark), 100, 24);
            let found = lab.judge_under(&[key], &lab.model(1), answers, Chance::default()).unwrap().remove(0);
            found.evidence.log10_p <= -3.0
        });
        let shown = shown.count();
        assert!(shown >= 99, "example {at}: {shown} of 100");
    }
}

#[test]
fn one_opening_for_all_answers_is_no_evidence() {
    let (lab, key) = (lab(example(0)), Key::decoy(1, 1));
    let mut answers = answered(&lab.model(5), 50, 24);
    answers.iter_mut().for_each(|item| item.answer.insert(0, 7));
    let found = lab.judge(&*lab.build(&key).unwrap(), &lab.model(5), answers, Chance { decoys: 9, ..Chance::default() });
    let found = found.unwrap().remove(0);
    assert_eq!((found.evidence.log10_p, found.evidence.effect, found.metric("length_openings")), (0.0, 0.0, Some(1.0)));
    let seen = [Seen::Exchanges(Arc::new(Vec::new()))];
    let case = Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance: Chance::default() };
    assert_eq!(lab.build(&key).unwrap().judge(&case).unwrap()[0].evidence.n, 0);
}
