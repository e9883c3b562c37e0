//! Sampling as experiments do it: model, watermark and random streams together.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use lm::{ArchitectureConfig, Chain, ComputePath, Model, ModelConfig, Processing, Row, Runtime};
use marks::{Key, MarkEntry, Owner, Planting};
use oracle::{Codec, LogitsProcessor, Query, Sampling, Step, TokenId};

use crate::support::tiny_model;

const DRAWS: u64 = 20_000;

/// Answers of one token, one per query, follow the watermarked law by its definition: chi-square over the tokens expected at
/// least 10 times, as a standard normal number (Wilson and Hilferty 1931), below 5: error rate 3e-7 for each law.
#[test]
fn watermarked_answers_follow_the_watermarked_law() {
    let (model, tokenizer) = Model::load_with_tokenizer(tiny_model()).unwrap();
    // An untrained model's law is all but flat: this one knows something.
    let model = model.with_weights(model.weights().iter().map(|weight| 12.0 * (weight % 1.0) + weight.trunc()).collect());
    let rt = Runtime::new(2, ComputePath::Fused, Arc::new(AtomicBool::new(false))).unwrap();
    let prompt: Vec<TokenId> = vec![40, 50, 60, 70];
    let (key, codec): (_, Arc<dyn Codec>) = (Key::decoy(1, 2), Arc::new(tokenizer));
    // every mark that does nothing but change the drawn law, and the unmarked law
    let laws = MarkEntry::timed().into_iter().filter_map(|(words, entry)| {
        let needs = entry.config().unwrap().needs();
        if !needs.changes_drawn_law || needs.teacher || needs.neutral_prompts > 0 {
            return None;
        }
        let planting = entry.build(&Owner::new(&key, &codec)).unwrap().planting();
        let [Planting::Law(law)] = &planting[..] else { return None };
        Some((format!("{} {words}", entry.given()[0].info().name), vec![law.clone()]))
    });
    let laws: Vec<(String, Vec<Arc<dyn LogitsProcessor>>)> =
        std::iter::once(("unmarked".into(), Vec::new())).chain(laws).collect();
    assert!(laws.len() > 5);
    for (name, processors) in laws {
        for temperature in [1.0, 0.7] {
            let sampling = Sampling { temperature, ..Sampling::PLAIN };
            let query = |index| Query { sampling, seed: 77_000 + index, ..Query::greedy(index, prompt.clone(), 1) };
            let queries: Vec<Query> = (0..DRAWS).map(query).collect();
            let answers = lm::generate(&model, &queries, Processing::of(&processors), &rt, &|_| {}).unwrap();

            let logits = Mutex::new(Vec::new());
            let laws = prompt.len()..prompt.len() + 1;
            lm::for_each_law(&model, &[Row { ids: &prompt, laws }], &rt, &|_, _, row| *logits.lock().unwrap() = row.to_vec())
                .unwrap();
            let logits = logits.into_inner().unwrap();
            let chain = Chain::new(Processing::of(&processors), model.vocab_size()).unwrap();
            let law_of = |query: &Query| -> Vec<f64> {
                let mut law = logits.clone();
                lm::served_law(&mut law, &sampling, &chain, &Step { query, tokens: &prompt }, &[]);
                let highest = law.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<f64> = law.iter().map(|logit| libm::exp(f64::from(logit - highest))).collect();
                let total: f64 = weights.iter().sum();
                weights.into_iter().map(|weight| weight / total).collect()
            };
            // some marks choose anew for each query: then the mean of all laws is what answers follow
            let first = law_of(&queries[0]);
            let alike = queries[1..32].iter().all(|query| law_of(query) == first);
            let asked = if alike { &queries[..1] } else { &queries };
            let (mut expected, mut certain) = (vec![0.0; first.len()], true);
            for law in asked.iter().map(law_of) {
                certain &= law.iter().filter(|weight| **weight > 0.0).count() == 1;
                expected.iter_mut().zip(law).for_each(|(sum, p)| *sum += p * DRAWS as f64 / asked.len() as f64);
            }
            let largest = expected.iter().copied().fold(0.0, f64::max);
            assert!(largest > 5.0 * DRAWS as f64 / expected.len() as f64, "{name}: a law with a shape");

            let mut counts = vec![0.0; expected.len()];
            answers.iter().for_each(|answer| counts[answer.answer[0] as usize] += 1.0);
            if certain {
                // a keyed sampler leaves one token for each query
                assert_eq!(counts, expected, "{name} at {temperature}");
                continue;
            }
            let (mut chi_square, mut cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
            for (count, expected) in counts.into_iter().zip(expected) {
                if expected >= 10.0 {
                    chi_square += f64::powi(count - expected, 2) / expected;
                    cells += 1.0;
                } else {
                    rare = (rare.0 + count, rare.1 + expected);
                }
            }
            if rare.1 >= 10.0 {
                chi_square += f64::powi(rare.0 - rare.1, 2) / rare.1;
                cells += 1.0;
            }
            let (freedom, spread) = (cells - 1.0, 2.0 / (9.0 * (cells - 1.0)));
            let found = (libm::cbrt(chi_square / freedom) - (1.0 - spread)) / f64::sqrt(spread);
            assert!(cells > 5.0 && found < 5.0, "{name} at {temperature}: {found} over {cells} cells");
        }
    }
}

/// Products with more inner elements than one block of them once failed on calls without rows: when nobody's prompt was left
/// to read, or all prompts together were read in whole portions.
#[test]
fn wide_models_answer_prompts_of_every_length() {
    let architecture: ArchitectureConfig = serde_json::from_value(serde_json::json!({ "llama": {
        "hidden_size": 400, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
        "intermediate_size": 500, "max_position_embeddings": 64, "rope_theta": 10_000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    } }))
    .unwrap();
    let model = Model::init(&ModelConfig::from_architecture(&architecture, 50, None, None).unwrap(), 1);
    for prompt_tokens in [1, 17, 33] {
        let query = |index| {
            let prompt = (0..prompt_tokens).map(|t| (t * 7 + index as u32) % 50).collect();
            Query { sampling: Sampling::PLAIN, seed: index, ..Query::greedy(index, prompt, 3) }
        };
        let queries: Vec<Query> = (0..64).map(query).collect();
        let answers = |rows| {
            let rt = Runtime::new(1, ComputePath::Fused, Arc::new(AtomicBool::new(false))).unwrap().with_decode_rows(rows);
            lm::generate(&model, &queries, Processing::none(), &rt, &|_| {}).unwrap()
        };
        assert_eq!(answers(16), answers(5));
    }
}
