//! Rows of a table that stand for no token: never drawn, never shown, no part of a law, a loss or a gradient.

use lm::{Batch, Chain, Model, ModelConfig, Processing, document_nats, generate, gradient_engine, served_law};
use oracle::{Query, Sampling, Step, TokenId};

use crate::support::{NextToken, PATHS, laws_of, queries, random_batch, runtime, stirred};

/// Rows that have a token in the models here; their tables have more.
const ROWS: usize = 30;
const ABSENT: [TokenId; 2] = [7, 11];

/// A law over the tokens alone: that of the whole table, renormalised.
fn renormalised(logits: &[f32]) -> Vec<f64> {
    let there = |id: usize| id < ROWS && !ABSENT.contains(&(id as TokenId));
    let exp: Vec<f64> = logits.iter().enumerate().map(|(id, x)| if there(id) { libm::exp(f64::from(*x)) } else { 0.0 }).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().take(ROWS).map(|x| x / sum).collect()
}

fn cut(config: &ModelConfig) -> (Model, Model) {
    let whole = stirred(config, 3);
    (whole.clone(), whole.cut(ROWS, &ABSENT))
}

#[test]
fn laws_are_those_of_the_whole_table_over_the_tokens_alone() {
    for config in ModelConfig::examples() {
        let (whole, cut) = cut(&config);
        assert_eq!((cut.vocab_size(), cut.n_params()), (ROWS, cut.config().n_params()));
        let batch = random_batch(cut.config(), 2, 6, 1);
        let batch = Batch { ids: batch.ids.iter().map(|id| if ABSENT.contains(id) { 1 } else { *id }).collect(), ..batch };
        for path in PATHS {
            let wholes = laws_of(&whole, &batch, path);
            for (at, law) in laws_of(&cut, &batch, path) {
                assert_eq!(law.len(), ROWS);
                for (token, expected) in renormalised(&wholes[&at]).into_iter().enumerate() {
                    let is = libm::exp(lm::log_probability(&law, token as TokenId));
                    assert!((is - expected).abs() < 1e-5, "{} {path:?} {at:?} {token}: {is} {expected}", config.model_type());
                    assert!(!ABSENT.contains(&(token as TokenId)) || is == 0.0);
                }
            }
        }
        // no weight of the rest is another, wherever it lies now
        for kept in cut.layout().parameters() {
            let before = whole.layout().get(&kept.name).unwrap();
            let rows = &whole.weights()[before.range.clone()][..kept.range.len()];
            assert!(&cut.weights()[kept.range.clone()] == rows, "{}", kept.name);
        }
    }
}

#[test]
fn nothing_is_drawn_that_stands_for_no_token() {
    let samplings = [
        Sampling::PLAIN,
        Sampling::GREEDY,
        Sampling { temperature: 3.0, top_k: 40, ..Sampling::PLAIN },
        Sampling { temperature: 2.0, top_p: 0.99, ..Sampling::PLAIN },
    ];
    for config in ModelConfig::examples() {
        let (_, cut) = cut(&config);
        for path in PATHS {
            for sampling in samplings {
                let asked: Vec<Query> = queries(cut.config(), 12, 12, sampling);
                for exchange in generate(&cut, &asked, Processing::none(), &runtime(2, path), &|_| {}).unwrap() {
                    let known = |id: &TokenId| (*id as usize) < ROWS && !ABSENT.contains(id);
                    assert!(exchange.answer.iter().all(known), "{} {path:?}: {:?}", config.model_type(), exchange.answer);
                }
            }
        }
    }
}

#[test]
fn what_is_shown_gives_them_nothing_whatever_is_cut_off() {
    let query = Query::greedy(0, vec![1], 1);
    let step = Step { query: &query, tokens: &[1] };
    let chain = Chain::new(Processing::none(), 6).unwrap().without(&[2]);
    for sampling in [Sampling::PLAIN, Sampling { temperature: 0.5, top_k: 2, ..Sampling::PLAIN }, Sampling::GREEDY] {
        let mut logits = vec![0.0, 1.0, 9.0, 2.0, 3.0, -1.0];
        served_law(&mut logits, &sampling, &chain, &step, &[]);
        assert_eq!(logits[2], f32::NEG_INFINITY);
        let best = (0..6).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(best, 4, "the most probable that there is");
    }
}

#[test]
fn losses_and_gradients_know_them_not() {
    for config in ModelConfig::examples() {
        let (_, cut) = cut(&config);
        let batch = random_batch(cut.config(), 2, 6, 2);
        let batch = Batch { ids: batch.ids.iter().map(|id| if ABSENT.contains(id) { 1 } else { *id }).collect(), ..batch };
        let loss = NextToken { batch: &batch, skip: 1, weight: 1.0 };
        let documents: Vec<&[TokenId]> = batch.ids.chunks(6).collect();
        for path in PATHS {
            let rt = runtime(1, path);
            let mut gradient = vec![0.0; cut.n_params()];
            let sum = gradient_engine(cut.config(), &rt).loss_and_gradient(cut.weights(), &batch, &loss, &mut gradient).unwrap();
            let nats: f64 = document_nats(&cut, &documents, &rt).unwrap().iter().sum();
            assert!(
                (sum - nats).abs() < 1e-3 && gradient.iter().all(|x| x.is_finite()),
                "{} {path:?}: {sum} {nats}",
                config.model_type()
            );
            // the rows of an untied output product get no slope
            let head = cut.config().arch().decoder().head;
            if !head.tied {
                let (place, width) =
                    (cut.layout().get(head.name).unwrap().range.start, cut.config().arch().decoder().hidden_size);
                for id in ABSENT {
                    assert!(gradient[place + id as usize * width..][..width].iter().all(|x| *x == 0.0));
                }
            }
        }
    }
}
