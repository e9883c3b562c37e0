use oracle::{Exchange, Oracle, Stop, TokenId};
use stats::tail;

use super::*;
use crate::testing::{ToyCodec, ToyModel};

const VOCAB: usize = 512;

/// Distinct prompts: the numbers from 0 up, in four digits of base `vocab - 3`, lowest last.
fn prompts(count: u32, vocab: u32) -> Vec<Vec<TokenId>> {
    let base = vocab - 3;
    let digit = |i: u32, place: u32| 3 + (0..place).fold(i, |rest, _| rest / base) % base;
    (0..count).map(|i| [1, digit(i, 3), digit(i, 2), digit(i, 1), digit(i, 0)].to_vec()).collect()
}

fn keys(config: &SecretKeysConfig, key: &Key, vocab: usize) -> Arc<dyn Probe> {
    ProbeConfig::SecretKeys(config.clone()).build(key, &ToyCodec::new(vocab), &[]).unwrap()
}

fn agreement(count: usize, vocab: usize) -> Arc<dyn Probe> {
    let config = ProbeConfig::OutputAgreement(OutputAgreementConfig { prompts: count });
    config.build(&Key::decoy(0, 0), &ToyCodec::new(vocab), &prompts(count as u32, vocab as u32)).unwrap()
}

const QUICKSTART: SecretKeysConfig = SecretKeysConfig { keys: 16, prompt_tokens: 8, answer_tokens: 1, answer_set: 256 };

/// A model that learned the training items by heart.
fn taught(probe: &dyn Probe, seed: u64, vocab: usize) -> ToyModel {
    let memory = probe.training_items().into_iter().map(|item| ([item.prompt, item.answer].concat(), 50.0)).collect();
    ToyModel { memory, ..ToyModel::new(vocab, seed) }
}

#[test]
fn planted_probes_are_proven_in_a_taught_model_and_not_in_others() {
    for config in ProbeConfig::examples().iter().filter(|config| config.info().planted) {
        let probe = config.build(&Key::decoy(1, 0), &ToyCodec::new(VOCAB), &prompts(100, VOCAB as u32)).unwrap();
        let against = Comparison::default();
        let found = probe.measure(&Suspect::new(&taught(&*probe, 2, VOCAB)), &against, 999, 3).unwrap();
        assert_eq!(found.hits, found.asked, "{}", config.name());
        assert!(found.evidence.log10_p < -10.0 && found.evidence.log10_p_decoy == Some(-3.0));
        let stranger = probe.measure(&Suspect::new(&ToyModel::new(VOCAB, 2)), &against, 999, 3).unwrap();
        assert!(stranger.evidence.log10_p > -3.0 && stranger.hits <= 2, "{stranger:?}");
    }
}

#[test]
fn sixteen_answers_of_sixteen_have_the_closed_form() {
    let probe = keys(&QUICKSTART, &Key::decoy(1, 1), VOCAB);
    let found = probe.measure(&Suspect::new(&taught(&*probe, 2, VOCAB)), &Comparison::default(), 999, 3).unwrap();
    assert_eq!((found.hits, found.asked), (16, 16));
    assert!((found.evidence.log10_p + 16.0 * 256f64.log10()).abs() < 1e-9);
    assert!((found.evidence.effect - (1.0 - 1.0 / 256.0)).abs() < 1e-12);
    assert_eq!((found.evidence.n, found.decoy_log10_p.len()), (16, 999));
    // two of sixteen decoy answers right: P = 1.7e-3 per decoy key; 999 keys reach three with probability 3e-2
    assert!(found.decoy_log10_p.iter().all(|&log10_p| log10_p >= tail::log10_binomial_sf(3, 16, 1.0 / 256.0)));
    assert!(found.evidence.units_to_detect.unwrap() <= 3);

    let long = keys(&SecretKeysConfig { answer_tokens: 3, ..QUICKSTART.clone() }, &Key::decoy(1, 1), VOCAB);
    let found = long.measure(&Suspect::new(&taught(&*long, 2, VOCAB)), &Comparison::default(), 9, 3).unwrap();
    assert!(found.hits == 16 && (found.evidence.log10_p + 48.0 * 256f64.log10()).abs() < 1e-9, "{found:?}");
}

#[test]
fn hits_by_chance_are_binomial_where_every_answer_is_a_candidate() {
    // 13 ordinary tokens, all of them candidates: the bound S^-L is met with equality
    let config = SecretKeysConfig { keys: 16, prompt_tokens: 5, answer_tokens: 1, answer_set: 13 };
    let model = ToyModel::new(16, 4);
    let found: Vec<_> = (0..400)
        .map(|index| {
            let probe = keys(&config, &Key::decoy(5, index), 16);
            probe.measure(&Suspect::new(&model), &Comparison::default(), 0, 0).unwrap()
        })
        .collect();
    let mean = found.iter().map(|found| found.hits as f64).sum::<f64>() / 400.0;
    let sd = (16.0 / 13.0 * 12.0 / 13.0 / 400.0f64).sqrt();
    // error rate 1e-4
    assert!((mean - 16.0 / 13.0).abs() < 3.9 * sd, "{mean}");
    for alpha in [0.1f64, 0.05, 0.01] {
        let rejected = found.iter().filter(|found| found.evidence.log10_p <= alpha.log10()).count() as f64;
        // error rate 1e-3
        assert!(rejected <= 400.0 * alpha + 3.1 * (400.0 * alpha * (1.0 - alpha)).sqrt() + 1.0, "{alpha}: {rejected}");
    }
}

#[test]
fn decoy_answers_follow_the_same_null() {
    let config = SecretKeysConfig { keys: 16, prompt_tokens: 5, answer_tokens: 1, answer_set: 13 };
    let probe = keys(&config, &Key::decoy(6, 0), 16);
    let found = probe.measure(&Suspect::new(&taught(&*probe, 4, 16)), &Comparison::default(), 2000, 7).unwrap();
    let none = tail::log10_binomial_sf(1, 16, 1.0 / 13.0);
    let share = found.decoy_log10_p.iter().filter(|&&log10_p| log10_p <= none + 1e-12).count() as f64 / 2000.0;
    let expected = 10f64.powf(none);
    // error rate 1e-4
    assert!((share - expected).abs() < 3.9 * (expected * (1.0 - expected) / 2000.0).sqrt(), "{share}, expected {expected}");
}

#[test]
fn keys_are_random_ordinary_tokens_after_the_beginning() {
    let probe = keys(&QUICKSTART, &Key::decoy(8, 0), VOCAB);
    let items = probe.training_items();
    assert_eq!(items, keys(&QUICKSTART, &Key::decoy(8, 0), VOCAB).training_items());
    assert_ne!(items[0], keys(&QUICKSTART, &Key::decoy(8, 1), VOCAB).training_items()[0]);
    assert_eq!(items.len(), 16);
    for (item, question) in items.iter().zip(probe.questions()) {
        assert_eq!((item.prompt.len(), item.prompt[0], item.answer.len()), (9, 1, 1));
        assert!(item.prompt[1..].iter().chain(&item.answer).all(|&id| id > 2 && (id as usize) < VOCAB));
        assert_eq!((&item.prompt, 1), (&question.prompt, question.max_new_tokens));
    }
    // answers do not follow from prompts: another key with the same prompts would be a decoy
    assert!(items.iter().map(|item| item.answer[0]).collect::<std::collections::HashSet<_>>().len() > 10);
}

#[test]
fn a_copy_of_the_teacher_agrees_with_the_closed_form() {
    let probe = agreement(200, VOCAB);
    let (teacher, stranger) = (ToyModel::new(VOCAB, 1), ToyModel::new(VOCAB, 2));
    let theirs = probe.ask(&teacher).unwrap();
    let strange = probe.ask(&stranger).unwrap();
    let chance = theirs.iter().zip(&strange).filter(|(a, b)| a.answer == b.answer).count() as u64;
    let references = [Reference { name: "stranger", answers: &strange }];
    let against = Comparison { teacher: Some(&theirs), references: &references };
    let found = probe.measure(&Suspect::new(&teacher), &against, 999, 1).unwrap();
    // the copy alone is right on the 200 - chance prompts where the stranger is wrong: p = 2^-(200 - chance)
    assert!((found.evidence.log10_p + (200 - chance) as f64 * 2f64.log10()).abs() < 1e-9);
    assert_eq!((found.hits, found.asked, found.nearest_reference.as_deref()), (200, 200, Some("stranger")));
    assert!(found.decoy_log10_p.is_empty() && found.evidence.log10_p_decoy.is_none() && found.evidence.decoys == 0);
    let (effect, interval) = (found.evidence.effect, found.evidence.interval);
    assert!((effect - (200 - chance) as f64 / 200.0).abs() < 1e-12);
    assert!(interval.low <= effect && effect <= interval.high && interval.low > 0.9);
    assert!(probe.training_items().is_empty() && !probe.planted());
}

/// Models equally far from the teacher: small vocabulary, so that they agree on about a fifth of the prompts.
#[test]
fn equally_distant_models_keep_the_level() {
    let probe = agreement(60, 8);
    let model = |seed| ToyModel { order: 4, ..ToyModel::new(8, seed) };
    let teacher = probe.ask(&model(10_000)).unwrap();
    let answers: Vec<_> = (0..1600).map(|seed| probe.ask(&model(seed)).unwrap()).collect();
    let p = |suspect: usize, references: usize| {
        let references: Vec<_> = (1..=references).map(|i| Reference { name: "rival", answers: &answers[suspect + i] }).collect();
        let against = Comparison { teacher: Some(&teacher), references: &references };
        probe.judge(&answers[suspect], &against, 0, 0).unwrap()
    };
    for references in [1, 3] {
        let found: Vec<_> = (0..400).map(|trial| p(4 * trial, references)).collect();
        for alpha in [0.2f64, 0.05, 0.01] {
            let rejected = found.iter().filter(|found| found.evidence.log10_p <= alpha.log10()).count() as f64;
            // exact and discrete, so at most alpha; error rate 1e-3
            assert!(rejected <= 400.0 * alpha + 3.1 * (400.0 * alpha * (1.0 - alpha)).sqrt() + 1.0, "{alpha}: {rejected}");
        }
        if references == 1 {
            // the test is not idle: half the time the suspect is the nearer one, and its interval covers 0 about 95 times of 100
            let nearer = found.iter().filter(|found| found.evidence.effect > 0.0).count();
            assert!((120..=260).contains(&nearer), "{nearer}");
            let covered = found.iter().filter(|found| found.evidence.interval.low <= 0.0 && found.evidence.interval.high >= 0.0);
            // Binomial(400, 0.95): below 365 with probability under 1e-3
            assert!((365..=400).contains(&covered.count()));
        }
    }
}

#[test]
fn prompts_asked_twice_count_once() {
    let twice: Vec<_> = prompts(30, 8).into_iter().flat_map(|prompt| [prompt.clone(), prompt]).collect();
    let build = |count| {
        ProbeConfig::OutputAgreement(OutputAgreementConfig { prompts: count }).build(&Key::decoy(0, 0), &ToyCodec::new(8), &twice)
    };
    assert_eq!(build(30).unwrap().questions(), agreement(30, 8).questions());
    assert!(build(31).err().unwrap().to_string().contains("at most 30"));
}

#[test]
fn the_nearest_reference_decides() {
    let probe = agreement(100, VOCAB);
    let teacher = ToyModel::new(VOCAB, 1);
    let theirs = probe.ask(&teacher).unwrap();
    let far = probe.ask(&ToyModel::new(VOCAB, 2)).unwrap();
    // right on the first 70 prompts; the suspect on the last 80
    let blend = |right: std::ops::Range<usize>| -> Vec<Exchange> {
        (0..100).map(|i| if right.contains(&i) { theirs[i].clone() } else { wrong(&theirs[i]) }).collect()
    };
    let (near, suspect) = (blend(0..70), blend(20..100));
    let references = [Reference { name: "near", answers: &near }, Reference { name: "far", answers: &far }];
    let found = probe.judge(&suspect, &Comparison { teacher: Some(&theirs), references: &references }, 0, 0).unwrap();
    assert_eq!(found.nearest_reference.as_deref(), Some("near"));
    assert!((found.evidence.effect - 0.1).abs() < 1e-12);
    // 30 prompts for the suspect, 20 for the reference: P[Bin(50, 1/2) >= 30] = 0.101319 (methods, App. A)
    assert!((10f64.powf(found.evidence.log10_p) - 0.101_319_375_5).abs() < 1e-7);
}

fn wrong(exchange: &Exchange) -> Exchange {
    Exchange { answer: vec![exchange.answer[0] + 1], ..exchange.clone() }
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let probe = agreement(10, VOCAB);
    let teacher = probe.ask(&ToyModel::new(VOCAB, 1)).unwrap();
    let reason = |answers: &[Exchange], against: &Comparison<'_>| match probe.judge(answers, against, 0, 0) {
        Err(MarkError::Unmeasurable { mark: "output_agreement", reason }) => reason,
        other => panic!("{other:?}"),
    };
    let short = [Reference { name: "base", answers: &teacher[..9] }];
    assert!(reason(&teacher, &Comparison::default()).contains("teacher"));
    assert!(reason(&teacher, &Comparison { teacher: Some(&teacher), references: &[] }).contains("reference"));
    assert!(reason(&teacher[..3], &Comparison { teacher: Some(&teacher), references: &[] }).contains("3 answers"));
    assert!(reason(&teacher, &Comparison { teacher: Some(&teacher), references: &short }).contains("base gave 9"));
    let keys = keys(&QUICKSTART, &Key::decoy(1, 1), VOCAB);
    assert!(matches!(keys.judge(&teacher, &Comparison::default(), 0, 0), Err(MarkError::Unmeasurable { .. })));

    // a silent model agrees with nobody, not even with silence
    let silence: Vec<_> = teacher.iter().map(|item| Exchange { answer: vec![], stop: Stop::Length, ..item.clone() }).collect();
    let references = [Reference { name: "base", answers: &silence }];
    let found = probe.judge(&silence, &Comparison { teacher: Some(&silence), references: &references }, 0, 0).unwrap();
    assert_eq!((found.hits, found.evidence.log10_p), (0, 0.0));
}

#[test]
fn questions_are_greedy_and_do_not_depend_on_how_they_are_batched() {
    for config in ProbeConfig::examples() {
        let probe = config.build(&Key::decoy(1, 0), &ToyCodec::new(VOCAB), &prompts(100, VOCAB as u32)).unwrap();
        let model = ToyModel::new(VOCAB, 3);
        let together = probe.ask(&model).unwrap();
        let apart: Vec<_> =
            probe.questions().iter().flat_map(|question| model.answer(std::slice::from_ref(question)).unwrap()).collect();
        assert_eq!(together, apart);
        assert!(probe.questions().iter().all(|question| question.sampling.temperature == 0.0));
    }
}
