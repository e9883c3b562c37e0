//! The inside of a model: states of every layer, and weights by what they do.

use std::sync::Arc;

use lm::arch::decoder::{Decoder, NormKind};
use lm::{ComputePath, Model, ModelConfig, Opened};
use oracle::{Matrix, OpenModel, OracleError, Role, TokenId};

use crate::support::{laws, random_ids, relative_distance, runtime, stirred};

fn opened(model: &Model, threads: usize) -> Opened {
    Opened { model: Arc::new(model.clone()), runtime: Arc::new(runtime(threads, ComputePath::Fused)) }
}

fn texts(config: &ModelConfig) -> Vec<Vec<TokenId>> {
    [5, 1, 0, 48, 5, 9].iter().enumerate().map(|(i, n)| random_ids(*n, config.vocab_size(), i as u64)).collect()
}

#[test]
fn shapes_are_those_of_the_roles() {
    for config in ModelConfig::examples() {
        let (decoder, model) = (config.arch().decoder(), stirred(&config, 1));
        let opened = opened(&model, 1);
        assert_eq!(opened.layers(), decoder.blocks.len());
        let (hidden, vocab) = (decoder.hidden_size, decoder.vocab_size);
        for (layer, block) in decoder.blocks.iter().enumerate() {
            let attention = &block.attention.layer;
            let (queries, keys) = (attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim);
            let inner = block.feed_forward.layer.down.inputs;
            let expected = [
                (Role::Embedding, vocab, hidden),
                (Role::Query, queries, hidden),
                (Role::Key, keys, hidden),
                (Role::Value, keys, hidden),
                (Role::Output, hidden, queries),
                (Role::Gate, inner, hidden),
                (Role::Up, inner, hidden),
                (Role::Down, hidden, inner),
                (Role::Head, vocab, hidden),
            ];
            for (role, rows, cols) in expected {
                let Some(found) = opened.weight(role, layer) else {
                    assert!(role == Role::Gate && matches!(config.model_type(), "gpt2" | "gpt_neo" | "gpt_neox" | "opt"));
                    continue;
                };
                assert_eq!((found.rows, found.cols, found.data.len()), (rows, cols, rows * cols), "{role:?}");
            }
        }
        assert_eq!(opened.weight(Role::Query, decoder.blocks.len()), None);
        assert_eq!(decoder.head.tied, opened.weight(Role::Head, 0) == opened.weight(Role::Embedding, 0));
        for layer in 0..=decoder.blocks.len() {
            let states = opened.hidden(&texts(&config), layer).unwrap();
            assert_eq!((states.rows, states.cols, states.data.len()), (68, hidden, 68 * hidden));
        }
    }
}

/// The last norm and the head, by their definitions.
fn logits(decoder: &Decoder, model: &Model, head: &Matrix, state: &[f32]) -> Vec<f32> {
    let x: Vec<f64> = state.iter().map(|x| f64::from(*x)).collect();
    let mean = |of: &dyn Fn(f64) -> f64| x.iter().map(|x| of(*x)).sum::<f64>() / x.len() as f64;
    let norm = decoder.norm.as_ref().unwrap();
    let part = |name: &str| {
        let parameter = model.layout().get(&format!("{}.{name}", norm.name)).unwrap();
        model.weights()[parameter.range.clone()].iter().map(|w| f64::from(*w)).collect::<Vec<f64>>()
    };
    let weight = part("weight");
    let normed: Vec<f64> = match norm.kind {
        NormKind::Rms(eps) => x.iter().zip(weight).map(|(v, w)| v * w / (mean(&|x| x * x) + eps).sqrt()).collect(),
        NormKind::RmsAroundOne(eps) => {
            x.iter().zip(weight).map(|(v, w)| v * (1.0 + w) / (mean(&|x| x * x) + eps).sqrt()).collect()
        }
        NormKind::Layer(eps) => {
            let centre = mean(&|x| x);
            let deviation = (mean(&|x| (x - centre).powi(2)) + eps).sqrt();
            x.iter().zip(weight).zip(part("bias")).map(|((v, w), b)| (v - centre) / deviation * w + b).collect()
        }
    };
    let product = |row: &[f32]| row.iter().zip(&normed).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    let capped = |logit: f64| decoder.head.soft_cap.map_or(logit, |cap| cap * libm::tanh(logit / cap));
    head.data.chunks(head.cols).map(|row| capped(product(row)) as f32).collect()
}

#[test]
fn the_last_states_lead_to_the_laws() {
    for config in ModelConfig::examples() {
        let (decoder, model) = (config.arch().decoder(), stirred(&config, 5));
        let (opened, texts) = (opened(&model, 2), texts(&config));
        let states = opened.hidden(&texts, opened.layers()).unwrap();
        let head = opened.weight(Role::Head, 0).unwrap();
        let rows: Vec<lm::Row<'_>> = texts.iter().map(|ids| lm::Row { ids, laws: 1..ids.len() + 1 }).collect();
        let laws = laws(&model, &rows, 2, ComputePath::Fused);
        assert_eq!(laws.len(), states.rows);
        for (state, ((row, i), law)) in states.data.chunks(states.cols).zip(&laws) {
            let distance = relative_distance(&logits(&decoder, &model, &head, state), law);
            assert!(distance < 1e-4, "{} row {row}, law {i}: {distance}", config.model_type());
        }
    }
}

#[test]
fn states_depend_on_their_text_alone_and_the_first_are_the_embedding() {
    for config in ModelConfig::examples() {
        let (decoder, model) = (config.arch().decoder(), stirred(&config, 6));
        let texts = texts(&config);
        for layer in [0, 1, decoder.blocks.len()] {
            let together = opened(&model, 2).hidden(&texts, layer).unwrap();
            let alone = texts.iter().flat_map(|text| opened(&model, 1).hidden(std::slice::from_ref(text), layer).unwrap().data);
            assert!(alone.eq(together.data.iter().copied()), "{} layer {layer}", config.model_type());
        }
        if decoder.embedding.positions.is_none() && decoder.embedding.scale.is_none() {
            let (states, table) = (opened(&model, 1).hidden(&texts, 0).unwrap(), opened(&model, 1).weight(Role::Embedding, 0));
            let (table, width) = (table.unwrap(), decoder.hidden_size);
            let rows = texts.iter().flatten().flat_map(|id| &table.data[*id as usize * width..][..width]);
            assert!(rows.eq(&states.data));
        }
    }
}

#[test]
fn what_has_no_states_is_an_error() {
    let config = &ModelConfig::examples()[0];
    let opened = opened(&stirred(config, 1), 1);
    let cases = [(vec![1], 3, "layer 3: the model has 2"), (vec![1; 49], 1, "context of 48"), (vec![37], 1, "token id 37")];
    for (text, layer, expected) in cases {
        let error = opened.hidden(&[text], layer).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    opened.runtime.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(opened.hidden(&[vec![1]], 1), Err(OracleError::Cancelled)));
    assert_eq!(opened.hidden(&[], 1).unwrap(), Matrix { rows: 0, cols: config.arch().decoder().hidden_size, data: vec![] });
}
