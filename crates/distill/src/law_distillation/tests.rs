use super::*;
use crate::testing::{BOS, Parity, VOCAB, documents, grown, model, runtime};
use crate::train::{TrainState, fit};

const DELTA: f32 = 2.0;

fn config() -> LawDistillationConfig {
    LawDistillationConfig {
        steps: 400,
        answers_per_prompt: 8,
        max_new_tokens: 6,
        law_rows: 8,
        plain_rows: 8,
        law_weight: 0.6,
        learning_rate: 0.01,
        warmup_steps: 10,
        grad_clip: 1.0,
    }
}

/// Prompts that begin with one of the tokens, which make the domain.
fn prompts(first: Range<u32>) -> Vec<Vec<TokenId>> {
    first.map(|token| vec![BOS, token]).collect()
}

fn wanted() -> WantedLaw {
    WantedLaw { law: Arc::new(Parity { delta: DELTA }), on: prompts(3..25), apart: prompts(25..50) }
}

fn course(model: &Arc<Model>, config: &LawDistillationConfig) -> LawDistillation {
    LawDistillation::new(model, &[wanted()], &documents(64, 70), config, 5, &runtime(2)).unwrap()
}

/// With q the law p of the model raised by delta on the set g, KL(q || p) = delta q(g) - ln(1 - p(g) + e^delta p(g)).
#[test]
fn before_training_the_divergence_is_that_of_the_raised_law() {
    let (model, rt) = (grown(), runtime(2));
    let course = course(&model, &config());
    let found = course.divergence(&model, &rt).unwrap();
    assert!(found.plain.abs() < 1e-6, "{found:?}");
    let (mut sum, mut n) = (0.0, 0.0);
    for exchange in course.changed.shard(0).unwrap().iter().take(MEASURED) {
        let (laws, _) = whole_laws(&course.before, &[exchange], VOCAB).unwrap();
        let mut previous = *exchange.query.prompt.last().unwrap();
        for (law, &token) in laws.chunks(VOCAB).zip(&exchange.answer) {
            let in_set = |id: &usize| (id + previous as usize).is_multiple_of(2);
            let p: f64 = (0..VOCAB).filter(in_set).map(|id| libm::exp(f64::from(law[id]))).sum();
            let total = 1.0 - p + libm::exp(f64::from(DELTA)) * p;
            sum += f64::from(DELTA) * libm::exp(f64::from(DELTA)) * p / total - libm::log(total);
            n += 1.0;
            previous = token;
        }
    }
    assert!((found.changed - sum / n).abs() < 1e-5, "{found:?}, {}", sum / n);
    assert!(found.changed > 0.1, "{found:?}");
}

#[test]
fn a_law_is_learned_where_it_is_wanted_and_nowhere_else() {
    let (model, rt) = (grown(), runtime(2));
    let course = course(&model, &config());
    let before = course.divergence(&model, &rt).unwrap();
    let learned = fit(&model, &config().plan(), &course.source().unwrap(), &rt, &mut |_| ()).unwrap().model;
    let after = course.divergence(&Arc::new(learned.clone()), &rt).unwrap();
    // a model of 16 hidden values learns most of it
    assert!(after.changed < 0.5 * before.changed && after.plain < 0.25 * before.changed, "{before:?} {after:?}");

    // new answers of the model alone, in the domain and apart from it: the raised share of tokens
    let raised = |model: &Model, prompts: Vec<Vec<TokenId>>| {
        let queries: Vec<Query> = prompts
            .iter()
            .flat_map(|prompt| std::iter::repeat_n(prompt, 40))
            .enumerate()
            .map(|(i, prompt)| Query {
                sampling: Sampling::PLAIN,
                seed: 9_000 + i as u64,
                ..Query::greedy(i as u64, prompt.clone(), 6)
            })
            .collect();
        let answers = lm::generate(model, &queries, lm::Processing::none(), &rt, &|_| ()).unwrap();
        let (mut hits, mut n) = (0, 0);
        for exchange in answers {
            let all = [&exchange.query.prompt[..], &exchange.answer].concat();
            hits += all[1..].windows(2).filter(|pair| (pair[0] + pair[1]).is_multiple_of(2)).count();
            n += all.len() - 2;
        }
        hits as f64 / n as f64
    };
    let [on, apart] = [3..25, 25..50].map(|first| raised(&learned, prompts(first.clone())) - raised(&model, prompts(first)));
    assert!(on > 0.1 && apart < 0.5 * on, "raised by {on} in the domain and by {apart} apart from it");
}

#[test]
fn the_same_seed_gives_the_same_model_whatever_the_threads() {
    let model = grown();
    let short = LawDistillationConfig { steps: 5, ..config() };
    let learned = |threads| {
        let rt = runtime(threads);
        let course = LawDistillation::new(&model, &[wanted()], &[], &short, 5, &rt).unwrap();
        fit(&model, &short.plan(), &course.source().unwrap(), &rt, &mut |_| ()).unwrap().model
    };
    assert_eq!(learned(1).weights(), learned(3).weights());
    assert_ne!(learned(1).weights(), TrainState::new(&*model).model(&*model).weights());
}

#[test]
fn each_law_acts_on_its_own_prompts() {
    let (model, rt) = (Arc::new(model(2)), runtime(2));
    let other = WantedLaw { law: Arc::new(Parity { delta: 50.0 }), on: prompts(25..30), apart: Vec::new() };
    let first = WantedLaw { law: Arc::new(Parity { delta: -50.0 }), ..wanted() };
    let course = LawDistillation::new(&model, &[first, other], &[], &config(), 5, &rt).unwrap();
    for exchange in course.changed.shard(0).unwrap().iter() {
        let all = [&exchange.query.prompt[..], &exchange.answer].concat();
        let even = |pair: &[u32]| (pair[0] + pair[1]).is_multiple_of(2);
        assert!(all[1..].windows(2).all(|pair| even(pair) == (exchange.query.prompt[1] >= 25)), "{all:?}");
    }
    let apart = course.plain.shard(0).unwrap();
    assert_eq!(apart.len(), 25 * 8);
    assert!(apart.iter().all(|exchange| exchange.query.prompt[1] >= 25));
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let (model, rt) = (Arc::new(model(2)), runtime(1));
    let refused = |config: LawDistillationConfig| config.validate().unwrap_err().key;
    assert_eq!(refused(LawDistillationConfig { steps: 0, ..config() }), "steps");
    assert_eq!(refused(LawDistillationConfig { answers_per_prompt: 0, ..config() }), "answers_per_prompt");
    assert_eq!(refused(LawDistillationConfig { max_new_tokens: 0, ..config() }), "max_new_tokens");
    assert_eq!(refused(LawDistillationConfig { law_rows: 1, ..config() }), "law_rows");
    assert_eq!(refused(LawDistillationConfig { plain_rows: 0, ..config() }), "plain_rows");
    assert_eq!(refused(LawDistillationConfig { law_weight: 1.0, ..config() }), "law_weight");
    assert_eq!(refused(LawDistillationConfig { learning_rate: 0.0, ..config() }), "learning_rate");
    let new =
        |laws: &[WantedLaw], rows: &[Vec<TokenId>]| LawDistillation::new(&model, laws, rows, &config(), 5, &rt).err().unwrap();
    assert!(new(&[], &[]).to_string().contains("at least one prompt"));
    assert!(new(&[WantedLaw { on: Vec::new(), ..wanted() }], &[]).to_string().contains("at least one prompt"));
    assert!(new(&[wanted()], &[vec![BOS]]).to_string().contains("ordinary row 0"));
    assert!(new(&[WantedLaw { apart: Vec::new(), ..wanted() }], &[]).to_string().contains("ordinary rows"));
}
