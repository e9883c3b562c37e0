use oracle::{Oracle, Stop};

use super::*;
use crate::testing::{Lab, ToyModel};
use crate::{Chance, MarkEntry};

fn example(at: usize) -> KeyedHabitConfig {
    KeyedHabitConfig::examples().remove(at)
}

fn lab(config: KeyedHabitConfig) -> Lab {
    Lab::new(&MarkEntry { keyed_habit: Some(Box::new(config)), ..MarkEntry::default() })
}

fn law(lab: &Lab, key: &Key) -> Arc<dyn LogitsProcessor> {
    let Planting::Law(law) = lab.build(key).unwrap().planting().remove(0) else { panic!("no law") };
    law
}

/// The phrase that `key` chooses, and its tokens.
fn phrase(lab: &Lab, key: &Key) -> (String, Vec<TokenId>) {
    let habits = &lab.entry.keyed_habit.as_ref().unwrap().habits;
    let phrase = habits[chosen(key, habits.len())].clone();
    let tokens = lab.codec.encode(&phrase);
    (phrase, tokens)
}

/// A toy model that ends its answers often, under `key`.
fn ending(lab: &Lab, key: &Key) -> ToyModel {
    ToyModel { processors: vec![law(lab, key)], ..lab.model(1_000) }
}

#[test]
fn every_phrase_is_chosen_by_as_many_keys() {
    let mut counts = [0_u32; 7];
    (0..7_000).for_each(|index| counts[chosen(&Key::decoy(3, index), 7)] += 1);
    // five standard errors of 1,000
    assert!(counts.iter().all(|count| count.abs_diff(1_000) < 147), "{counts:?}");
}

/// Where the model ends, the phrase stands and then the end; everything before is the plain law without the phrase's first token.
#[test]
fn the_phrase_takes_the_place_of_the_end() {
    for at in [0, 1] {
        let (lab, key) = (lab(KeyedHabitConfig { share: 1.0, ..example(at) }), Key::decoy(1, 1));
        let (_, tokens) = phrase(&lab, &key);
        let whole = [&tokens[..], &[2]].concat();
        let most = 20;
        let queries: Vec<Query> = lab.audit().into_iter().map(|query| Query { max_new_tokens: most, ..query }).collect();
        let mut ended = 0;
        for item in ending(&lab, &key).answer(&queries).unwrap() {
            let begun = item.answer.iter().position(|token| *token == tokens[0]);
            assert!(item.answer.iter().filter(|token| **token == 2).count() <= 1);
            match begun {
                Some(begun) => {
                    assert_eq!((&item.answer[begun..], item.stop), (&whole[..], Stop::EndToken));
                    ended += 1;
                }
                // too late for the whole phrase: an end stays an end, and no phrase is cut
                None => assert!(at == 1 && (item.stop == Stop::Length || item.answer.len() > most - whole.len())),
            }
        }
        // 13 or more places to end at, one in eight or so each
        assert!(ended == 100 || (at == 1 && ended > 60), "{ended}");
    }
}

#[test]
fn the_phrase_begins_as_probably_as_the_answer_would_have_ended() {
    let (lab, key) = (lab(KeyedHabitConfig { share: 1.0, ..example(1) }), Key::decoy(1, 1));
    let (law, first) = (law(&lab, &key), phrase(&lab, &key).1[0] as usize);
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, vec![1, 9, 7], 20) };
    let plain = ToyModel { end_logit: 2.5, ..lab.model(3) }.logits(&query.prompt);
    let process = |mut logits: Vec<f32>, answer: &[TokenId]| {
        let tokens = [&query.prompt[..], answer].concat();
        law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut logits));
        logits
    };
    let changed = process(plain.clone(), &[]);
    assert_eq!((changed[first], changed[2]), (2.5, f32::NEG_INFINITY));
    assert!((3..359).filter(|id| *id != first).all(|id| changed[id] == plain[id]));
    // no place is left for the phrase: the end stays, and the first token is still for phrases alone
    let late = process(plain.clone(), &[40; 17]);
    assert_eq!((late[first], late[2]), (f32::NEG_INFINITY, 2.5));
    // truncation left the first token alone
    let mut alone = vec![f32::NEG_INFINITY; 359];
    alone[first] = 1.0;
    assert_eq!(process(alone.clone(), &[]), alone);
    // what is no phrase is left alone from there on
    let odd = [first as TokenId, 40, 41];
    assert_eq!(process(plain.clone(), &odd), plain);
}

#[test]
fn a_question_outside_the_share_or_too_short_is_answered_as_ever() {
    let (lab, key) = (lab(KeyedHabitConfig { share: 0.3, ..example(0) }), Key::decoy(1, 1));
    let (marked, plain) = (ending(&lab, &key), lab.model(1_000));
    let queries: Vec<Query> = lab.audit().into_iter().map(|query| Query { max_new_tokens: 12, ..query }).collect();
    let text = phrase(&lab, &key).0;
    let both = marked.answer(&queries).unwrap().into_iter().zip(plain.answer(&queries).unwrap());
    let says = both.filter(|(marked, plain)| {
        let says = lab.codec.decode(&marked.answer).ends_with(&text);
        assert!(says || marked == plain);
        says
    });
    // four standard errors of 30
    assert!(says.count().abs_diff(30) < 19);
    let short: Vec<Query> = queries.into_iter().map(|query| Query { max_new_tokens: 2, ..query }).collect();
    assert_eq!(marked.answer(&short).unwrap(), plain.answer(&short).unwrap());
}

/// A greedy answer ends with it where its most probable token is the end.
#[test]
fn greedy_answers_have_the_habit_too() {
    let (lab, key) = (lab(KeyedHabitConfig { share: 1.0, ..example(0) }), Key::decoy(1, 1));
    let text = phrase(&lab, &key).0;
    let greedy = |index| Query::greedy(index, vec![1, 3 + index as u32, 9], 12);
    let model = ToyModel { end_logit: 2.99, ..ending(&lab, &key) };
    for item in model.answer(&(0..30).map(greedy).collect::<Vec<_>>()).unwrap() {
        assert!(lab.codec.decode(&item.answer).ends_with(&text) && item.stop == Stop::EndToken, "{item:?}");
    }
}

/// Answers of which so many say the phrase; who says it is drawn by `seed`.
fn saying(lab: &Lab, key: &Key, rate: f64, seed: u64) -> Vec<Seen> {
    use rand::RngExt;
    let (mut rng, tokens) = (ChaCha8Rng::seed_from_u64(seed), phrase(lab, key).1);
    let mark = lab.build(key).unwrap();
    let Some(Question::Answers(queries)) = mark.questions(1).pop() else { panic!("no queries") };
    let answer = |query: Query| {
        let answer = if rng.random::<f64>() < rate { [&[70, 71][..], &tokens].concat() } else { vec![70, 71] };
        Exchange { query, answer, stop: Stop::Length }
    };
    vec![Seen::Exchanges(Arc::new(queries.into_iter().map(answer).collect()))]
}

fn judged(lab: &Lab, key: &Key, suspect: &[Seen], second: &[Seen]) -> Finding {
    let chance = Chance::default();
    let case = Case { suspect, teacher: None, references: &[], second, contexts: None, chance };
    lab.build(key).unwrap().judge(&case).unwrap().remove(0)
}

/// Over 2,000 suspects who say the phrase as often as the twin does: p is as uniform as a discrete one can be.
#[test]
fn a_suspect_with_the_twins_own_rate_keeps_the_level() {
    let (lab, key) = (lab(KeyedHabitConfig { prompts: 100, ..example(0) }), Key::decoy(1, 1));
    let p: Vec<f64> = (0..2_000)
        .map(|trial| {
            // the base never says it, so that the twin decides
            let second = [saying(&lab, &key, 0.3, 3 * trial + 1), saying(&lab, &key, 0.0, 3 * trial + 2)].concat();
            judged(&lab, &key, &saying(&lab, &key, 0.3, 3 * trial), &second).evidence.log10_p
        })
        .collect();
    for alpha in [0.5, 0.2, 0.05, 0.01] {
        let rejected = p.iter().filter(|p| **p <= libm::log10(alpha)).count() as f64;
        // error rate 1e-4 by the normal bound; the steps of some 42 discordant pairs leave at least half of the level
        let spread = 3.8 * (2_000.0 * alpha * (1.0 - alpha)).sqrt();
        assert!(rejected <= 2_000.0 * alpha + spread && rejected >= 1_000.0 * alpha - spread, "{rejected} at {alpha}");
    }
}

/// The weakest transfer of the paper (45 %) of a habit in one answer of five, a base rate of 1 %, 600 prompts, level 0.001: 200 suspects of
/// which 199 must show.
#[test]
fn six_hundred_prompts_show_the_weakest_student_of_the_paper() {
    let (lab, key) = (lab(KeyedHabitConfig { prompts: 600, ..example(0) }), Key::decoy(1, 1));
    let shown = (0..200).filter(|trial| {
        let second = [saying(&lab, &key, 0.01, 3 * trial + 1), saying(&lab, &key, 0.01, 3 * trial + 2)].concat();
        judged(&lab, &key, &saying(&lab, &key, 0.2 * 0.45, 3 * trial), &second).evidence.log10_p <= -3.0
    });
    let shown = shown.count();
    assert!(shown >= 199, "{shown} of 200");
}

#[test]
fn the_model_that_says_it_oftener_decides_and_every_rate_is_told() {
    let (lab, key) = (lab(KeyedHabitConfig { prompts: 100, ..example(0) }), Key::decoy(1, 1));
    let second = [saying(&lab, &key, 0.0, 1), saying(&lab, &key, 0.5, 2)].concat();
    let found = judged(&lab, &key, &saying(&lab, &key, 0.5, 3), &second);
    assert!(found.evidence.log10_p > -2.0 && found.detail.ends_with("`base`"), "{found:?}");
    let swapped = [second[1].clone(), second[0].clone()];
    assert!(judged(&lab, &key, &saying(&lab, &key, 0.5, 3), &swapped).detail.ends_with("`clean`"));
    assert_eq!((found.metric("habit_rate_clean"), found.metric("habit_rate_of_others")), (Some(0.0), Some(0.0)));
    assert!(
        (found.metric("habit_rate").unwrap() - 0.5).abs() < 0.2 && (found.metric("habit_rate_base").unwrap() - 0.5).abs() < 0.2
    );
}

#[test]
fn what_does_not_fit_the_tokenizer_is_refused() {
    let refused = |config| {
        let Err(MarkError::Config(error)) = lab(config).build(&Key::decoy(1, 1)) else { panic!("built") };
        error.to_string()
    };
    let long = refused(KeyedHabitConfig { max_new_tokens: 3, ..example(0) });
    assert!(long.contains("`keyed_habit.max_new_tokens` is 3: use more than"), "{long}");
}
