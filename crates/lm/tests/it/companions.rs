//! Companions: models that read the same tokens in lockstep, whatever paths they take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lm::{Chain, ComputePath, Model, ModelConfig, Processing, Row, Runtime, for_each_law_beside, generate, served_law};
use oracle::{CompanionId, Exchange, LogitsProcessor, Query, Sampling, Stage, Step, TokenId};

use crate::support::{PATHS, queries, runtime, stirred};

/// Rows by query seed and tokens so far.
type Rows = BTreeMap<(u64, Vec<TokenId>), Vec<f32>>;

/// `logits += 0.5 * (a - b)`, and every row that it was given.
struct Between {
    companions: [CompanionId; 2],
    stage: Stage,
    factor: f32,
    seen: Mutex<Rows>,
}

impl Between {
    fn new(ids: [u32; 2], factor: f32) -> Arc<Self> {
        Self::at(Stage::BeforeTemperature, ids, factor)
    }

    fn at(stage: Stage, ids: [u32; 2], factor: f32) -> Arc<Self> {
        Arc::new(Self { companions: ids.map(CompanionId), stage, factor, seen: Mutex::default() })
    }
}

impl LogitsProcessor for Between {
    fn name(&self) -> String {
        "between".into()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn companions(&self) -> &[CompanionId] {
        &self.companions
    }

    fn process(&self, step: &Step<'_>, row: oracle::Row<'_>) {
        let [a, b] = row.companions[..] else { panic!("{} companions", row.companions.len()) };
        for ((logit, a), b) in row.logits.iter_mut().zip(a).zip(b) {
            *logit += self.factor * (a - b);
        }
        let key = (step.query.index, step.tokens.to_vec());
        self.seen.lock().unwrap().insert(key, [&*row.logits, a, b].concat());
    }
}

/// The served model and two companions, of architectures with and without a fused path.
fn casts() -> Vec<[Arc<Model>; 3]> {
    let of = |model_type: &str, seed| {
        let config = ModelConfig::examples().into_iter().find(|config| config.model_type() == model_type).unwrap();
        Arc::new(stirred(&config, seed))
    };
    let cast = |types: [&str; 3]| [of(types[0], 2), of(types[1], 3), of(types[2], 4)];
    [["llama", "llama", "llama"], ["llama", "gpt2", "llama"], ["gpt_neox", "llama", "gemma2"]].map(cast).to_vec()
}

fn given(cast: &[Arc<Model>; 3]) -> Vec<(CompanionId, Arc<Model>)> {
    vec![(CompanionId(7), cast[1].clone()), (CompanionId(1), cast[2].clone())]
}

fn asked(model: &Model) -> Vec<Query> {
    let mut asked = queries(model.config(), 60, 12, Sampling { temperature: 0.8, top_k: 20, top_p: 0.9, ..Sampling::PLAIN });
    for (i, query) in asked.iter_mut().enumerate() {
        query.max_new_tokens = 1 + i % 12;
    }
    asked
}

fn rescored(cast: &[Arc<Model>; 3], processing: Processing<'_>, given: &[Exchange], rt: &Runtime) {
    let chain = Chain::new(processing, cast[0].vocab_size()).unwrap();
    let joined: Vec<Vec<TokenId>> = given.iter().map(|e| [&e.query.prompt[..], &e.answer].concat()).collect();
    let rows: Vec<Row<'_>> =
        joined.iter().zip(given).map(|(ids, e)| Row { ids, laws: e.query.prompt.len()..ids.len() }).collect();
    let companions: Vec<&Model> = chain.companions().collect();
    for_each_law_beside(&cast[0], &companions, &rows, rt, &|row, i, logits, companions| {
        let step = Step { query: &given[row].query, tokens: &joined[row][..i] };
        served_law(logits, &step.query.sampling, &chain, &step, companions);
    })
    .unwrap();
}

#[test]
fn answers_are_drawn_from_the_laws_that_scoring_gives() {
    for cast in casts() {
        for path in PATHS {
            let given = given(&cast);
            let asked = asked(&cast[0]);
            let run = |ids, rt: &Runtime, score: bool| {
                let between = Between::new(ids, 0.5);
                let processors: Vec<Arc<dyn LogitsProcessor>> = vec![between.clone()];
                let processing = Processing { processors: &processors, companions: &given };
                let answers = generate(&cast[0], &asked, processing, rt, &|_| {}).unwrap();
                let drawn = std::mem::take(&mut *between.seen.lock().unwrap());
                if score {
                    rescored(&cast, processing, &answers, rt);
                }
                let scored = std::mem::take(&mut *between.seen.lock().unwrap());
                (answers, drawn, scored)
            };
            let rt = runtime(2, path);
            let (answers, drawn, scored) = run([7, 1], &rt, true);
            assert!(drawn.keys().eq(scored.keys()) && !drawn.is_empty());
            let exact = path == ComputePath::Fused && cast.iter().all(|model| model.config().model_type() == "llama");
            for (drawn, scored) in drawn.values().zip(scored.values()) {
                for (a, b) in drawn.iter().zip(scored) {
                    assert!(
                        if exact { a == b } else { (a - b).abs() < 1e-4 * (1.0 + b.abs()) },
                        "{a} when drawn, {b} when scored"
                    );
                }
            }
            for rt in [runtime(1, path), runtime(2, path).with_decode_rows(3)] {
                assert_eq!(run([7, 1], &rt, false).0, answers, "threads and rows");
            }
            assert_ne!(run([1, 7], &rt, false).0, answers, "companions come in the order asked for");
            let alone = generate(&cast[0], &asked, Processing::none(), &rt, &|_| {}).unwrap();
            assert_ne!(alone, answers);
        }
    }
}

#[test]
fn who_ignores_its_companions_answers_as_without_them() {
    for cast in casts() {
        for path in PATHS {
            let (given, asked, rt) = (given(&cast), asked(&cast[0]), runtime(2, path));
            let alone = generate(&cast[0], &asked, Processing::none(), &rt, &|_| {}).unwrap();
            let (silent, shown) = (Between::new([7, 1], 0.0), Between::at(Stage::Shown, [1, 1], 9.0));
            let processors: Vec<Arc<dyn LogitsProcessor>> = vec![silent.clone(), shown.clone()];
            let processing = Processing { processors: &processors, companions: &given };
            assert_eq!(generate(&cast[0], &asked, processing, &rt, &|_| {}).unwrap(), alone);
            assert!(!silent.seen.lock().unwrap().is_empty());
            assert!(shown.seen.lock().unwrap().is_empty(), "what is shown takes no part in drawing");
        }
    }
}

#[test]
fn companions_that_do_not_fit_are_refused_before_any_work() {
    let [model, companion, _] = casts().remove(0);
    let other = |change: &dyn Fn(serde_json::Value) -> serde_json::Value| {
        let json = change(model.config().arch().config_json()).to_string();
        Arc::new(Model::init(&ModelConfig::parse(&json, std::path::Path::new("config.json")).unwrap(), 1))
    };
    let with = |key: &'static str, value: u64| {
        move |mut json: serde_json::Value| {
            json[key] = value.into();
            json
        }
    };
    let wide = other(&with("vocab_size", 38));
    let short = other(&with("max_position_embeddings", 12));
    let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Between::new([7, 1], 0.5)];
    let (seven, one) = (CompanionId(7), CompanionId(1));
    let cases = [
        (vec![(seven, companion.clone())], "processor `between` reads companion 1, which is not there"),
        (vec![(seven, companion.clone()), (one, wide)], "companion 1 has 38 tokens and the served model 37"),
        (vec![(seven, companion.clone()), (seven, companion.clone())], "companion 7 is given twice"),
        (vec![(seven, companion), (one, short)], "up to 15 tokens are read, companion 1 takes at most 12"),
    ];
    let asked = queries(model.config(), 3, 10, Sampling::PLAIN);
    for (companions, expected) in cases {
        let processing = Processing { processors: &processors, companions: &companions };
        let made = |_| panic!("something was drawn");
        let error = generate(&model, &asked, processing, &runtime(1, ComputePath::Fused), &made).unwrap_err();
        assert!(matches!(error, lm::RunError::Input(_)) && error.to_string().contains(expected), "{error}");
    }
}
