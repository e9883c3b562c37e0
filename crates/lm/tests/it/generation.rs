//! Generation: answers depend on the query alone, both paths draw the same greedy tokens, and every end is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lm::{ComputePath, Model, ModelConfig, Processing, Row, RunError, for_each_law, generate};
use oracle::{Exchange, LogitsProcessor, Query, Sampling, Stage, Step, Stop, TokenId};

use crate::support::{PATHS, queries, runtime, stirred};

fn answers(model: &Model, queries: &[Query], threads: usize, path: ComputePath) -> Vec<Exchange> {
    generate(model, queries, Processing::none(), &runtime(threads, path), &|_| {}).unwrap()
}

#[test]
fn greedy_answers_agree_between_paths_and_with_scoring() {
    for config in ModelConfig::examples() {
        let model = stirred(&config, 2);
        let asked = queries(&config, 40, 20, Sampling::GREEDY);
        let [fused, generic] = PATHS.map(|path| answers(&model, &asked, 2, path));
        assert_eq!(fused, generic);
        for exchange in fused.iter().take(5) {
            let ids = [exchange.query.prompt.as_slice(), &exchange.answer].concat();
            let start = exchange.query.prompt.len();
            let row = Row { ids: &ids, laws: start..ids.len() };
            for_each_law(&model, &[row], &runtime(1, ComputePath::Generic), &|_, i, logits| {
                let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(logits[ids[i] as usize], best, "token {i}");
            })
            .unwrap();
        }
    }
}

#[test]
fn sampled_answers_depend_on_the_query_alone() {
    for config in ModelConfig::examples() {
        let model = stirred(&config, 3);
        for path in PATHS {
            let mut asked = queries(&config, 90, 12, Sampling { temperature: 0.8, top_k: 20, top_p: 0.9, ..Sampling::PLAIN });
            for (i, query) in asked.iter_mut().enumerate() {
                query.max_new_tokens = 1 + i % 12;
            }
            let all = answers(&model, &asked, 2, path);
            assert!(all.iter().zip(&asked).all(|(exchange, query)| exchange.query == *query));
            assert_eq!(all, answers(&model, &asked, 1, path), "threads");
            for rows in [1, 7, 300] {
                let rt = runtime(2, path).with_decode_rows(rows);
                assert_eq!(all, generate(&model, &asked, Processing::none(), &rt, &|_| {}).unwrap(), "{rows} rows at once");
            }
            asked.reverse();
            let few = answers(&model, &asked[10..13], 1, path);
            assert_eq!(few, [&all[79], &all[78], &all[77]].map(Clone::clone), "company");
        }
    }
}

#[test]
fn answers_end_where_they_should() {
    let config = &ModelConfig::examples()[0];
    let model = stirred(config, 2);
    for path in PATHS {
        let mut asked = queries(config, 200, 400, Sampling::PLAIN);
        asked[3].max_new_tokens = 0;
        asked[4].prompt = vec![5; 48];
        let made = AtomicU64::new(0);
        let count = |n| {
            made.fetch_add(n, Ordering::Relaxed);
        };
        let all = generate(&model, &asked, Processing::none(), &runtime(2, path), &count).unwrap();
        assert_eq!(made.load(Ordering::Relaxed), all.iter().map(|exchange| exchange.answer.len() as u64).sum::<u64>());
        for exchange in &all {
            let (prompt, answer) = (exchange.query.prompt.len(), &exchange.answer);
            let ended = answer.last() == Some(&1);
            assert_eq!(exchange.stop, if ended { Stop::EndToken } else { Stop::Length });
            assert!(answer.iter().rev().skip(1).all(|id| *id != 1), "nothing follows the end token");
            if !ended && exchange.query.max_new_tokens > 0 {
                assert_eq!(prompt + answer.len(), 49, "the context is filled, and one more token drawn from it");
            }
        }
        assert_eq!((all[3].answer.len(), all[4].answer.len()), (0, 1));
        assert!(all.iter().any(|exchange| exchange.stop == Stop::EndToken));
        assert!(all.iter().filter(|exchange| exchange.stop == Stop::Length).count() > 5);
    }
}

/// Makes one token certain after the whole law is cut down.
struct Only(TokenId);

impl LogitsProcessor for Only {
    fn name(&self) -> String {
        format!("only({})", self.0)
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: oracle::Row<'_>) {
        assert!(!step.query.prompt.is_empty() && step.tokens.starts_with(&step.query.prompt));
        row.logits.fill(f32::NEG_INFINITY);
        row.logits[(self.0 as usize + step.answer().len()) % row.logits.len()] = 0.0;
    }
}

#[test]
fn processors_see_prompt_and_answer() {
    let config = &ModelConfig::examples()[0];
    let model = stirred(config, 2);
    for path in PATHS {
        let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(Only(7))];
        let asked = queries(config, 10, 4, Sampling::PLAIN);
        let all = generate(&model, &asked, Processing::of(&processors), &runtime(1, path), &|_| {}).unwrap();
        assert!(all.iter().all(|exchange| exchange.answer == [7, 8, 9, 10]));
    }
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let config = &ModelConfig::examples()[0];
    let model = stirred(config, 2);
    let good = queries(config, 1, 4, Sampling::PLAIN).remove(0);
    let warm = |temperature, top_p| Sampling { temperature, top_p, ..Sampling::PLAIN };
    let bad = [
        (Query { prompt: vec![], ..good.clone() }, "the prompt has 0 tokens"),
        (Query { prompt: vec![1; 49], ..good.clone() }, "the prompt has 49 tokens"),
        (Query { prompt: vec![37], ..good.clone() }, "token id 37"),
        (Query { sampling: warm(-1.0, 1.0), ..good.clone() }, "temperature -1"),
        (Query { sampling: warm(1.0, 0.0), ..good.clone() }, "top_p 0"),
    ];
    for path in PATHS {
        for (query, expected) in &bad {
            let error = generate(&model, std::slice::from_ref(query), Processing::none(), &runtime(1, path), &|_| {})
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        let broken = model.with_weights(vec![f32::NAN; model.n_params()]);
        for sampling in [Sampling::PLAIN, Sampling::GREEDY] {
            let query = Query { sampling, ..good.clone() };
            let error = generate(&broken, &[query], Processing::none(), &runtime(1, path), &|_| {}).unwrap_err();
            assert!(matches!(error, RunError::NoLaw { index: 0, .. }), "{error}");
        }
        let rt = runtime(2, path);
        rt.cancelled.store(true, Ordering::Relaxed);
        assert!(matches!(
            generate(&model, std::slice::from_ref(&good), Processing::none(), &rt, &|_| {}),
            Err(RunError::Cancelled)
        ));
    }
}

#[test]
fn nothing_asked_nothing_answered() {
    let model = stirred(&ModelConfig::examples()[0], 2);
    for path in PATHS {
        assert!(answers(&model, &[], 2, path).is_empty());
    }
}
