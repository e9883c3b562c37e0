use oracle::{Oracle, Stop};

use super::*;
use crate::testing::{ToyCodec, ToyModel};
use crate::{Chance, Key, Reference, Seen};

const VOCAB: usize = 512;

/// Distinct prompts: the numbers from 0 up, in four digits of base `vocab - 3`, lowest last.
fn prompts(count: u32, vocab: u32) -> Vec<Vec<TokenId>> {
    let base = vocab - 3;
    let digit = |i: u32, place: u32| 3 + (0..place).fold(i, |rest, _| rest / base) % base;
    (0..count).map(|i| [1, digit(i, 3), digit(i, 2), digit(i, 1), digit(i, 0)].to_vec()).collect()
}

fn build(count: usize, vocab: usize, neutral: &[Vec<TokenId>]) -> Result<Arc<dyn Mark>, MarkError> {
    let codec: Arc<dyn oracle::Codec> = Arc::new(ToyCodec::new(vocab));
    let key = Key::decoy(0, 0);
    OutputAgreementConfig { prompts: count, teacher: TeacherView::Raw }.build(&Owner { neutral, ..Owner::new(&key, &codec) })
}

fn agreement(count: usize, vocab: usize) -> Arc<dyn Mark> {
    build(count, vocab, &prompts(count as u32, vocab as u32)).unwrap()
}

fn queries(mark: &dyn Mark) -> Vec<Query> {
    let Some(Question::Answers(queries)) = mark.questions(1).pop() else { panic!("no queries") };
    queries
}

fn ask(mark: &dyn Mark, model: &ToyModel) -> Vec<Exchange> {
    model.answer(&queries(mark)).unwrap()
}

fn judge(
    mark: &dyn Mark,
    suspect: &[Exchange],
    teacher: Option<&[Exchange]>,
    references: &[(&str, &[Exchange])],
) -> Result<Finding, MarkError> {
    let seen = |answers: &[Exchange]| vec![Seen::Exchanges(Arc::new(answers.to_vec()))];
    let (suspect, teacher) = (seen(suspect), teacher.map(seen));
    let theirs: Vec<_> = references.iter().map(|(name, answers)| (*name, seen(answers))).collect();
    let references: Vec<_> = theirs.iter().map(|(name, seen)| Reference { name, seen }).collect();
    let (teacher, chance) = (teacher.as_deref(), Chance::default());
    mark.judge(&Case { suspect: &suspect, teacher, references: &references, second: &[], contexts: None, chance })
        .map(|mut found| found.remove(0))
}

#[test]
fn a_copy_of_the_teacher_agrees_with_the_closed_form() {
    let mark = agreement(200, VOCAB);
    let theirs = ask(&*mark, &ToyModel::new(VOCAB, 1));
    let strange = ask(&*mark, &ToyModel::new(VOCAB, 2));
    let chance = theirs.iter().zip(&strange).filter(|(a, b)| a.answer == b.answer).count() as u64;
    let found = judge(&*mark, &theirs, Some(&theirs), &[("stranger", &strange)]).unwrap();
    // the copy alone is right on the 200 - chance prompts where the stranger is wrong: p = 2^-(200 - chance)
    assert!((found.evidence.log10_p + (200 - chance) as f64 * libm::log10(2f64)).abs() < 1e-9);
    assert_eq!((found.evidence.statistic, found.evidence.n), (200.0, 200));
    assert!(found.detail.starts_with("200 of 200") && found.detail.ends_with("stranger"), "{}", found.detail);
    assert!(found.decoy_log10_p.is_empty() && found.evidence.log10_p_decoy.is_none() && found.evidence.decoys == 0);
    let (effect, interval) = (found.evidence.effect, found.evidence.interval);
    assert!((effect - (200 - chance) as f64 / 200.0).abs() < 1e-12);
    assert!(interval.low <= effect && effect <= interval.high && interval.low > 0.9);
}

/// Models equally far from the teacher: small vocabulary, so that they agree on about a fifth of the prompts.
#[test]
fn equally_distant_models_keep_the_level() {
    let mark = agreement(60, 8);
    let model = |seed| ToyModel { order: 4, ..ToyModel::new(8, seed) };
    let teacher = ask(&*mark, &model(10_000));
    let answers: Vec<_> = (0..1600).map(|seed| ask(&*mark, &model(seed))).collect();
    let found = |suspect: usize, references: usize| {
        let references: Vec<_> = (1..=references).map(|i| ("rival", &answers[suspect + i][..])).collect();
        judge(&*mark, &answers[suspect], Some(&teacher), &references).unwrap()
    };
    for references in [1, 3] {
        let found: Vec<_> = (0..400).map(|trial| found(4 * trial, references)).collect();
        for alpha in [0.2f64, 0.05, 0.01] {
            let rejected = found.iter().filter(|found| found.evidence.log10_p <= libm::log10(alpha)).count() as f64;
            // exact and discrete, so at most alpha; error rate 1e-3
            assert!(rejected <= 400.0 * alpha + 3.1 * (400.0 * alpha * (1.0 - alpha)).sqrt() + 1.0, "{alpha}: {rejected}");
        }
        if references == 1 {
            // the test is not idle: half the time the suspect is the nearer one, and its interval covers 0 about 95 times of 100
            let nearer = found.iter().filter(|found| found.evidence.effect > 0.0).count();
            assert!((120..=260).contains(&nearer), "{nearer}");
            let covered = found.iter().filter(|found| found.evidence.interval.contains(0.0));
            // Binomial(400, 0.95): below 365 with probability under 1e-3
            assert!((365..=400).contains(&covered.count()));
        }
    }
}

#[test]
fn prompts_asked_twice_count_once() {
    let twice: Vec<_> = prompts(30, 8).into_iter().flat_map(|prompt| [prompt.clone(), prompt]).collect();
    assert_eq!(queries(&*build(30, 8, &twice).unwrap()), queries(&*agreement(30, 8)));
    assert!(build(31, 8, &twice).err().unwrap().to_string().contains("at most 30"));
}

#[test]
fn the_nearest_reference_decides() {
    let mark = agreement(100, VOCAB);
    let theirs = ask(&*mark, &ToyModel::new(VOCAB, 1));
    let far = ask(&*mark, &ToyModel::new(VOCAB, 2));
    let wrong = |exchange: &Exchange| Exchange { answer: vec![exchange.answer[0] + 1], ..exchange.clone() };
    // right on the first 70 prompts; the suspect on the last 80
    let mixture = |right: std::ops::Range<usize>| -> Vec<Exchange> {
        (0..100).map(|i| if right.contains(&i) { theirs[i].clone() } else { wrong(&theirs[i]) }).collect()
    };
    let (near, suspect) = (mixture(0..70), mixture(20..100));
    let found = judge(&*mark, &suspect, Some(&theirs), &[("near", &near), ("far", &far)]).unwrap();
    assert!(found.detail.ends_with("is near"), "{}", found.detail);
    assert!((found.evidence.effect - 0.1).abs() < 1e-12);
    // 30 prompts for the suspect, 20 for the reference: P[Bin(50, 1/2) >= 30] = 0.101319 (methods, App. A)
    assert!((libm::pow(10f64, found.evidence.log10_p) - 0.101_319_375_5).abs() < 1e-7);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let mark = agreement(10, VOCAB);
    let teacher = ask(&*mark, &ToyModel::new(VOCAB, 1));
    let reason = |suspect: &[Exchange], teacher: Option<&[Exchange]>, references: &[(&str, &[Exchange])]| match judge(
        &*mark, suspect, teacher, references,
    ) {
        Err(MarkError::Unmeasurable { mark: "output_agreement", reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&teacher, None, &[]).contains("teacher"));
    assert!(reason(&teacher, Some(&teacher), &[]).contains("reference"));
    assert!(reason(&teacher[..3], Some(&teacher), &[]).contains("3 answers"));
    assert!(reason(&teacher, Some(&teacher), &[("base", &teacher[..9])]).contains("base gave 9"));

    // a silent model agrees with nobody, not even with silence
    let silence: Vec<_> = teacher.iter().map(|item| Exchange { answer: vec![], stop: Stop::Length, ..item.clone() }).collect();
    let found = judge(&*mark, &silence, Some(&silence), &[("base", &silence)]).unwrap();
    assert_eq!((found.evidence.statistic, found.evidence.log10_p), (0.0, 0.0));
}

#[test]
fn questions_are_greedy_and_do_not_depend_on_how_they_are_batched() {
    let (mark, model) = (agreement(30, VOCAB), ToyModel::new(VOCAB, 3));
    let apart: Vec<_> = queries(&*mark).iter().flat_map(|query| model.answer(std::slice::from_ref(query)).unwrap()).collect();
    assert_eq!(ask(&*mark, &model), apart);
    assert!(queries(&*mark).iter().all(|query| query.sampling.temperature == 0.0));
}
