//! How well a model predicts texts.

use std::sync::{Mutex, PoisonError};

use oracle::{Codec, TokenId};

use crate::laws::{Row, for_each_law};
use crate::model::Model;
use crate::runtime::{RunError, Runtime};
use crate::tokenizer::Tokenizer;

/// How well a model predicts some texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextScore {
    /// Scored tokens.
    pub tokens: u64,
    /// Bytes of text that the scored tokens stand for.
    pub bytes: u64,
    /// Negative log-probability of all scored tokens.
    pub nats: f64,
    /// Mean negative log-probability of a token; NaN when none was scored.
    pub nats_per_token: f64,
    /// The same total per byte of text: comparable across tokenizers.
    pub nats_per_byte: f64,
}

/// Scores each text: the beginning token is put before it, the ids are cut to `max_ids` and to the context, and all but the
/// first are scored. `f32` logits, `f64` softmax.
///
/// # Errors
/// As [`for_each_law`].
pub fn score_texts(
    model: &Model,
    tokenizer: &Tokenizer,
    texts: &[String],
    max_ids: usize,
    rt: &Runtime,
) -> Result<TextScore, RunError> {
    let most = max_ids.min(model.context_length());
    let opening = |text: &String| {
        rt.check_cancelled()?;
        Ok(tokenizer.encode_opening(text, most))
    };
    let documents: Vec<Vec<TokenId>> = texts.iter().map(opening).collect::<Result<_, RunError>>()?;
    let nats = document_nats(model, &documents, rt)?;
    let scored = |ids: &Vec<TokenId>| ids.len().saturating_sub(1) as u64;
    let tokens = documents.iter().map(scored).sum();
    let bytes = documents.iter().map(|ids| tokenizer.decode(ids.get(1..).unwrap_or_default()).len() as u64).sum();
    let nats: f64 = nats.iter().sum();
    Ok(TextScore { tokens, bytes, nats, nats_per_token: nats / tokens as f64, nats_per_byte: nats / bytes as f64 })
}

/// Negative log-probability of all but the first token of each document, in nats.
///
/// # Errors
/// As [`for_each_law`].
pub fn document_nats<D: AsRef<[TokenId]>>(model: &Model, documents: &[D], rt: &Runtime) -> Result<Vec<f64>, RunError> {
    let rows: Vec<Row<'_>> = documents.iter().map(|ids| ids.as_ref()).map(|ids| Row { ids, laws: 1..ids.len().max(1) }).collect();
    // One sum per document, each filled by one thread in ascending order: the total does not depend on the threads.
    let sums: Vec<Mutex<f64>> = rows.iter().map(|_| Mutex::new(0.0)).collect();
    for_each_law(model, &rows, rt, &|row, i, logits| {
        let nats = -log_probability(logits, rows[row].ids[i]);
        *sums[row].lock().unwrap_or_else(PoisonError::into_inner) += nats;
    })?;
    Ok(sums.into_iter().map(|sum| sum.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

/// Natural-log probability of `token` under softmax(`logits`), in `f64`.
pub fn log_probability(logits: &[f32], token: TokenId) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - max)).sum();
    f64::from(logits[token as usize]) - max - libm::log(sum)
}
