use oracle::{Codec, Exchange, Oracle, Query, Row, Sampling, Step};
use serde_json::Value;

use super::*;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, MarkEntry, Planting};

fn config(ngram_len: usize, keys: &[u64]) -> HfSynthidConfig {
    let [example, ..] = &HfSynthidConfig::examples()[..] else { panic!("no example") };
    HfSynthidConfig { ngram_len, keys: Some(keys.iter().copied().map(ServedKey::new).collect()), layers: None, ..example.clone() }
}

fn bits(keys: &[u64]) -> Bits {
    Bits::new(Arc::new(Table::new(0, 65_536)), keys.to_vec())
}

/// `logits` as they are served after `tokens`, the first of which is the prompt.
fn served(config: &HfSynthidConfig, tokens: &[TokenId], logits: &[f32], temperature: f32) -> Vec<f32> {
    let (key, codec): (_, Arc<dyn Codec>) = (Key::decoy(1, 1), Arc::new(ToyCodec::new(512)));
    let Planting::Law(law) = config.build(&Owner::new(&key, &codec)).unwrap().planting().remove(0) else { panic!("no law") };
    let sampling = Sampling { temperature, ..Sampling::PLAIN };
    let query = Query { sampling, ..Query::greedy(0, tokens[..1].to_vec(), 2_000) };
    let mut logits = logits.to_vec();
    law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
    logits
}

/// Hashes and bits of transformers 5.24 (units-hf-synthid), nine layers; the context is that of a first token.
#[test]
fn bits_are_those_of_transformers() {
    let keys = [654, 400, 836, 123, 340, 443, 597, 160, 57];
    let context = table::context(&[0; 4]);
    assert_eq!(context, 14_340_359_694_176_818_205);
    assert_eq!([0, 7].map(|token| table::fold(context, token)), [3_490_389_784_639_564_826, 11_145_855_204_148_012_629]);
    let of = |token| {
        let bits = bits(&keys).of(table::fold(context, token));
        (0..9).map(|layer| bits >> layer & 1).collect::<Vec<_>>()
    };
    assert_eq!(of(0), [1, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(of(403), [1, 1, 0, 1, 1, 0, 1, 1, 0]);
    assert_eq!(of(151_935), [0, 0, 1, 0, 0, 1, 1, 0, 1]);
}

/// Every vector of units-hf-synthid: hashes, bits, and the law that is served.
#[test]
fn the_processor_is_that_of_transformers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/watermarked/units-hf-synthid.json");
    let Ok(text) = std::fs::read_to_string(path) else { return println!("skipped: {path} is not there") };
    let units: Value = serde_json::from_str(&text).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    for vector in units["vectors"].as_array().unwrap() {
        let keys: Vec<u64> = vector["keys"].as_array().unwrap().iter().map(number).collect();
        let context: Vec<TokenId> = serde_json::from_value(vector["context"].clone()).unwrap();
        let bits = bits(&keys);
        assert_eq!(table::context(&context), number(&vector["context_hash"]));
        for (token, hash) in vector["ngram_hash"].as_object().unwrap() {
            let token: TokenId = token.parse().unwrap();
            assert_eq!(table::ngram(&[&context[..], &[token]].concat()), number(hash));
        }
        for (token, expected) in vector["bits"].as_object().unwrap() {
            let found = bits.of(table::fold(table::context(&context), token.parse().unwrap()));
            let found: Vec<u64> = (0..keys.len()).map(|layer| found >> layer & 1).collect();
            assert_eq!(found, serde_json::from_value::<Vec<u64>>(expected.clone()).unwrap());
        }
        let logits: Vec<f32> = (0..64).map(|token| (((37 * token + 17 * 5) % 131) as f32 - 56.0) / 16.0).collect();
        // zeros are the context of a first token; others follow a prompt of one
        let tokens = if context.iter().all(|id| *id == 0) { vec![1] } else { [&[1], &context[..]].concat() };
        let served = served(&config(context.len() + 1, &keys), &tokens, &logits, 1.0);
        let expected: Vec<f64> = serde_json::from_value(vector["updated"].clone()).unwrap();
        for (found, expected) in served.iter().zip(expected) {
            // another order of sums moves probabilities by less than 3.1e-7 (served-watermarks 8)
            let (found, expected) = (libm::exp(f64::from(*found)), libm::exp(expected));
            assert!((found - expected).abs() < 3.1e-7, "{found} for {expected}");
        }
        let best = (0..64).fold(0, |best, token| if served[token] > served[best] { token } else { best });
        assert_eq!(best as u64, vector["updated_argmax"].as_u64().unwrap());
    }
}

/// Keys that are equal mod the table's size, and ids that are, give the same bits.
#[test]
fn a_table_sees_the_rest_of_a_hash_alone() {
    let table = Table::new(0, 65_536);
    let (small, large) = (bits(&[654, 31]), bits(&[654 + (1 << 16), 31 + (7 << 40)]));
    for token in 0..2_000 {
        let (low, high) = (table::ngram(&[5, 6, token]), table::ngram(&[5, 6 + 65_536, token]));
        assert_eq!((small.of(low), table.input(low)), (large.of(high), table.input(high)));
    }
    // a size that is no power of two sees the whole hash, as a number with a sign
    let odd = Table::new(7, 40_000);
    assert_eq!((odd.input(u64::MAX), odd.rate()), (u64::MAX, odd.ones() as f64 / 40_000.0));
}

#[test]
fn repeats_are_unmarked_as_far_as_they_are_remembered() {
    let logits: Vec<f32> = (0..64).map(|token| (token % 7) as f32).collect();
    let config = config(3, &[1, 2, 3, 4, 5]);
    let marked =
        |config: &HfSynthidConfig, tokens: &[TokenId], temperature| served(config, tokens, &logits, temperature) != logits;
    // the prompt is the first token: 8 9 stood before 8
    let again = [1, 8, 9, 8, 9];
    assert!(!marked(&config, &again, 1.0) && marked(&config, &again[..4], 1.0));
    let short = HfSynthidConfig { context_history_size: 1, ..config.clone() };
    assert!(marked(&short, &again, 1.0));
    // a first token, with nothing but zeros before it, unless they are skipped
    let skipped = HfSynthidConfig { skip_first_ngram_calls: true, ..config.clone() };
    assert!(marked(&config, &again[..1], 1.0) && !marked(&skipped, &again[..2], 1.0) && marked(&skipped, &again[..3], 1.0));
    // greedy answers are no exception
    assert!(marked(&config, &again[..1], 0.0) && !marked(&config, &again, 0.0));
}

#[test]
fn either_keys_or_layers_are_given() {
    let given = config(5, &[1, 2]);
    assert_eq!(given.validate(), Ok(()));
    let (both, neither) = (HfSynthidConfig { layers: Some(2), ..given.clone() }, HfSynthidConfig { keys: None, ..given.clone() });
    let many = config(5, &(0..65).collect::<Vec<_>>());
    assert_eq!([both, neither, many].map(|config| config.validate().unwrap_err().key), ["layers", "layers", "keys"]);
    let drawn = keys(&Key::decoy(1, 1), 64, 65_536);
    let different: std::collections::BTreeSet<u64> = drawn.iter().copied().collect();
    assert!(different.len() == 64 && drawn.iter().all(|key| *key < 65_536));
    assert_eq!(keys(&Key::decoy(1, 1).serving(&[1 << 41]), 1, 65_536), [1 << 41]);
}

/// The trained detector's e-value on marked text, on other text (above 1000 once in 1,000 by Markov's inequality), and its posterior.
#[test]
fn a_trained_detector_s_ratio_is_an_e_value() {
    let bayesian = Bayesian { beta: vec![1.0; 12], delta: Vec::new(), prior: 0.5 };
    let [_, weighted, ..] = &HfSynthidConfig::examples()[..] else { panic!("no second example") };
    let config = HfSynthidConfig { bayesian: Some(bayesian), ..weighted.clone() };
    let entry = MarkEntry { hf_synthid: Some(Box::new(config)), ..MarkEntry::default() };
    let lab = Lab::new(&entry);
    let mark = lab.build(&Key::decoy(3, 1)).unwrap();
    let answers = |model: &ToyModel| {
        let query = |query: Query| Query { max_new_tokens: 48, ..query };
        model.answer(&lab.audit().into_iter().take(30).map(query).collect::<Vec<_>>()).unwrap()
    };
    let chance = Chance { decoys: 9, decoy_seed: 7, draws: 9, draw_seed: 1 };
    let log10_e = |texts: &[Exchange]| {
        let found = mark.detector().unwrap().detect(texts, chance).unwrap().remove(0);
        found.pooled.finding.metric("bayesian_log10_e").unwrap()
    };
    let (marked, plain) = (answers(&lab.marked(&*mark)), answers(&lab.model(1_000)));
    let (found, other) = (log10_e(&marked), log10_e(&plain));
    assert!(found > 10.0 && other < 3.0, "{found} and {other}");
    let posterior = |texts: &[Exchange]| {
        let ids: Vec<&[TokenId]> = texts.iter().map(|text| &text.answer[..]).collect();
        let scores = mark.authors(&ids).unwrap();
        scores.iter().find(|score| score.statistic_name == "posterior").unwrap().statistic
    };
    assert!(posterior(&marked) > 0.999 && posterior(&plain) < 0.5);
}
