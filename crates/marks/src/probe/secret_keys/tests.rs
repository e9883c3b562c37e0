use std::collections::HashSet;

use super::*;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, Seen};

const VOCAB: usize = 512;
const QUICKSTART: SecretKeysConfig = SecretKeysConfig { keys: 16, prompt_tokens: 8, answer_tokens: 1, answer_set: 256 };

fn build(config: &SecretKeysConfig, key: &Key, vocab: usize) -> Arc<dyn Mark> {
    let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(vocab));
    config.build(&Owner::new(key, &codec)).unwrap()
}

fn items(mark: &dyn Mark) -> Vec<TrainingItem> {
    let Some(Planting::Items(items)) = mark.planting().pop() else { panic!("no items") };
    items
}

fn measure(mark: &dyn Mark, model: &ToyModel, decoys: usize) -> Finding {
    let chance = Chance { decoys, decoy_seed: 3, ..Chance::default() };
    let lab = Lab::new(&crate::MarkEntry { secret_keys: Some(Box::new(QUICKSTART)), ..crate::MarkEntry::default() });
    lab.measure(mark, model, chance).unwrap().remove(0)
}

/// A model that learned the training items by heart.
fn taught(mark: &dyn Mark, seed: u64, vocab: usize) -> ToyModel {
    let memory = items(mark).into_iter().map(|item| ([item.prompt, item.answer].concat(), 50.0)).collect();
    ToyModel { memory, ..ToyModel::new(vocab, seed) }
}

#[test]
fn sixteen_answers_of_sixteen_have_the_closed_form() {
    let mark = build(&QUICKSTART, &Key::decoy(1, 1), VOCAB);
    let found = measure(&*mark, &taught(&*mark, 2, VOCAB), 999);
    assert_eq!((found.evidence.statistic, found.evidence.n, found.decoy_log10_p.len()), (16.0, 16, 999));
    assert!((found.evidence.log10_p + 16.0 * libm::log10(256f64)).abs() < 1e-9);
    assert!((found.evidence.effect - (1.0 - 1.0 / 256.0)).abs() < 1e-12);
    // two of sixteen decoy answers right: P = 1.7e-3 per decoy key; 999 keys reach three with probability 3e-2
    assert!(found.decoy_log10_p.iter().all(|&log10_p| log10_p >= tail::log10_binomial_sf(3, 16, 1.0 / 256.0)));
    assert!(found.evidence.units_to_detect.unwrap() <= 3);

    let long = build(&SecretKeysConfig { answer_tokens: 3, ..QUICKSTART }, &Key::decoy(1, 1), VOCAB);
    let found = measure(&*long, &taught(&*long, 2, VOCAB), 9);
    assert!(found.evidence.statistic == 16.0 && (found.evidence.log10_p + 48.0 * libm::log10(256f64)).abs() < 1e-9, "{found:?}");
}

#[test]
fn hits_by_chance_are_binomial_where_every_answer_is_a_candidate() {
    // 13 ordinary tokens, all of them candidates: the bound S^-L is met with equality
    let config = SecretKeysConfig { keys: 16, prompt_tokens: 5, answer_tokens: 1, answer_set: 13 };
    let model = ToyModel::new(16, 4);
    let found: Vec<_> = (0..400).map(|index| measure(&*build(&config, &Key::decoy(5, index), 16), &model, 0)).collect();
    let mean = found.iter().map(|found| found.evidence.statistic).sum::<f64>() / 400.0;
    let sd = (16.0 / 13.0 * 12.0 / 13.0 / 400.0f64).sqrt();
    // error rate 1e-4
    assert!((mean - 16.0 / 13.0).abs() < 3.9 * sd, "{mean}");
    for alpha in [0.1f64, 0.05, 0.01] {
        let rejected = found.iter().filter(|found| found.evidence.log10_p <= libm::log10(alpha)).count() as f64;
        // error rate 1e-3
        assert!(rejected <= 400.0 * alpha + 3.1 * (400.0 * alpha * (1.0 - alpha)).sqrt() + 1.0, "{alpha}: {rejected}");
    }
}

#[test]
fn decoy_answers_follow_the_same_null() {
    let config = SecretKeysConfig { keys: 16, prompt_tokens: 5, answer_tokens: 1, answer_set: 13 };
    let mark = build(&config, &Key::decoy(6, 0), 16);
    let found = measure(&*mark, &taught(&*mark, 4, 16), 2000);
    let none = tail::log10_binomial_sf(1, 16, 1.0 / 13.0);
    let share = found.decoy_log10_p.iter().filter(|&&log10_p| log10_p <= none + 1e-12).count() as f64 / 2000.0;
    let expected = libm::pow(10f64, none);
    // error rate 1e-4
    assert!((share - expected).abs() < 3.9 * (expected * (1.0 - expected) / 2000.0).sqrt(), "{share}, expected {expected}");
}

#[test]
fn keys_are_random_ordinary_tokens_after_the_beginning() {
    let mark = build(&QUICKSTART, &Key::decoy(8, 0), VOCAB);
    let planted = items(&*mark);
    assert_eq!(planted, items(&*build(&QUICKSTART, &Key::decoy(8, 0), VOCAB)));
    assert_ne!(planted[0], items(&*build(&QUICKSTART, &Key::decoy(8, 1), VOCAB))[0]);
    assert_eq!(planted.len(), 16);
    let Some(Question::Answers(queries)) = mark.questions(1).pop() else { panic!("no queries") };
    for (item, query) in planted.iter().zip(&queries) {
        assert_eq!((item.prompt.len(), item.prompt[0], item.answer.len()), (9, 1, 1));
        assert!(item.prompt[1..].iter().chain(&item.answer).all(|&id| id > 2 && (id as usize) < VOCAB));
        assert_eq!((&item.prompt, 1, 0.0), (&query.prompt, query.max_new_tokens, query.sampling.temperature));
    }
    // answers do not follow from prompts: another key with the same prompts would be a decoy
    assert!(planted.iter().map(|item| item.answer[0]).collect::<HashSet<_>>().len() > 10);
}

#[test]
fn what_does_not_fit_the_vocabulary_or_the_questions_is_refused() {
    let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(16));
    let key = Key::decoy(1, 1);
    let refused = |config: SecretKeysConfig| config.build(&Owner::new(&key, &codec)).err().unwrap().to_string();
    assert!(refused(QUICKSTART).contains("at most 13"));
    assert!(refused(SecretKeysConfig { prompt_tokens: 2, answer_set: 13, ..QUICKSTART }).contains("`prompt_tokens` is 2"));

    let mark = build(&QUICKSTART, &key, VOCAB);
    let three = [Seen::Exchanges(Arc::new(Vec::new()))];
    let case = Case { suspect: &three, teacher: None, references: &[], second: &[], contexts: None, chance: Chance::default() };
    assert!(mark.judge(&case).unwrap_err().to_string().contains("16 keys were asked and 0 answers"));
}
