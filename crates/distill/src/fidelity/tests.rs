use super::*;
use crate::testing::{EOS, VOCAB, documents, exchange, model, model_of, runtime};

/// Log-softmax rows of every token but the first, in f64.
fn laws(model: &Model, ids: &[TokenId]) -> Vec<Vec<f64>> {
    let found = Mutex::new(vec![Vec::new(); ids.len() - 1]);
    lm::for_each_law(model, &[all_laws(ids)], &runtime(1), &|_, i, logits| {
        let log_sum = libm::log(logits.iter().map(|&l| libm::exp(f64::from(l))).sum::<f64>());
        found.lock().unwrap()[i - 1] = logits.iter().map(|&l| f64::from(l) - log_sum).collect();
    })
    .unwrap();
    found.into_inner().unwrap()
}

#[test]
fn held_out_loss_is_the_chain_rule() {
    let (model, mut documents) = (model(3), documents(6, 8));
    documents.push(vec![1; 80]);
    let found = held_out(&model, &documents, &runtime(2)).unwrap();
    let (mut nats, mut tokens) = (0.0, 0);
    for (document, row) in documents.iter().zip(&found.rows) {
        let ids = &document[..document.len().min(64)];
        let expected: f64 = laws(&model, ids).iter().zip(&ids[1..]).map(|(law, &t)| -law[t as usize]).sum();
        assert_eq!(row.tokens as usize, ids.len() - 1);
        assert!((row.nats - expected).abs() < 1e-4, "{} instead of {expected}", row.nats);
        nats += expected;
        tokens += ids.len() - 1;
    }
    assert!((found.nats_per_token() - nats / tokens as f64).abs() < 1e-5);
}

#[test]
fn answers_are_scored_after_their_prompts_up_to_a_full_context() {
    let model = model(3);
    let long: Vec<TokenId> = (0..61).map(|i| 3 + i % 40).collect();
    let exchanges = [exchange(&[1, 5, 9], &[6, 7, 8]), exchange(&[1, 4], &[]), exchange(&[1, 2, 3, 4], &long)];
    let found = answers(&model, &exchanges, &runtime(2)).unwrap();
    for (exchange, row) in exchanges.iter().zip(&found.rows) {
        let (prompt, ids) = (exchange.query.prompt.len(), [&exchange.query.prompt[..], &exchange.answer].concat());
        let laws = laws(&model, &ids[..ids.len().min(64)]);
        // the law of the token after a full context is not among them
        let known = exchange.answer.len().min(64 - prompt);
        let expected: f64 = (prompt..prompt + known).map(|i| -laws[i - 1][ids[i] as usize]).sum();
        assert_eq!(row.tokens as usize, exchange.answer.len());
        let rest = row.nats - expected;
        assert!(if known == exchange.answer.len() { rest.abs() < 1e-4 } else { (0.1..20.0).contains(&rest) }, "{rest}");
    }
}

#[test]
fn a_model_is_perfectly_faithful_to_itself() {
    let found = fidelity(&model(3), &model(3), &documents(5, 8), &runtime(2)).unwrap();
    assert_eq!((found.mean_kl(), found.agreement()), (0.0, 1.0));
}

#[test]
fn divergence_and_agreement_follow_their_definitions() {
    let (teacher, student, documents) = (model(3), model(4), documents(7, 8));
    let found = fidelity(&teacher, &student, &documents, &runtime(2)).unwrap();
    let first = |law: &[f64]| (0..VOCAB).fold(0, |best, i| if law[i] > law[best] { i } else { best });
    let (mut kl_sum, mut agreed, mut positions) = (0.0, 0, 0);
    for (document, row) in documents.iter().zip(&found.rows) {
        assert_eq!(document.last(), Some(&EOS));
        let pairs: Vec<_> = laws(&teacher, document).into_iter().zip(laws(&student, document)).collect();
        let kl: f64 = pairs.iter().map(|(q, p)| q.iter().zip(p).map(|(q, p)| libm::exp(*q) * (q - p)).sum::<f64>()).sum();
        assert!((row.kl_nats - kl).abs() < 1e-4 && kl > 0.0, "{} instead of {kl}", row.kl_nats);
        kl_sum += kl;
        agreed += pairs.iter().filter(|(q, p)| first(q) == first(p)).count();
        positions += pairs.len();
    }
    assert!((found.mean_kl() - kl_sum / positions as f64).abs() < 1e-5);
    assert_eq!(found.agreement(), agreed as f64 / positions as f64);
    assert!(found.agreement() < 1.0);
}

#[test]
fn models_of_different_vocabularies_are_not_compared() {
    let error = fidelity(&model(3), &model_of(51, 3), &documents(1, 8), &runtime(1)).unwrap_err().to_string();
    assert!(error.contains("50 and 51") && error.contains("tokenizer"), "{error}");
}

#[test]
fn a_truncated_law_costs_nothing_where_it_is_zero() {
    let q = [libm::logf(0.5_f32), libm::logf(0.5_f32), f32::NEG_INFINITY];
    let p = [libm::logf(0.25_f32), libm::logf(0.25_f32), libm::logf(0.5_f32)];
    assert!((kl(&q, &p) - libm::log(2.0_f64)).abs() < 1e-6);
}
