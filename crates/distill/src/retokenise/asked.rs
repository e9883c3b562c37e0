use std::sync::OnceLock;

use oracle::{Codec, Exchange, LawSink, OpenModel, Oracle, OracleError, Query, ScoreItem, Stop, Surface};

use super::Retokeniser;
use super::shared::{self, SharedTokens};

/// A model of another tokenizer, asked and heard in the owner's tokens.
///
/// Questions reach it as text, and its answers are re-tokenised with their prompt. It is let speak on beyond the tokens asked
/// for, as the owner's may be longer than its own, and what is too much is cut off.
pub struct RetokenisedOracle<O> {
    inner: O,
    to_own: Retokeniser,
    /// Own tokens that the model holds.
    context: usize,
    shared: OnceLock<SharedTokens>,
}

impl<O: Oracle> RetokenisedOracle<O> {
    /// `inner`, whose tokens `to_own` leads to from the owner's, and which holds `context` of its own.
    pub fn new(inner: O, to_own: Retokeniser, context: usize) -> Self {
        Self { inner, to_own, context, shared: OnceLock::new() }
    }
}

/// Own tokens that are enough for `tokens` of the owner's: twice as many, and a long word more.
fn own_tokens(tokens: usize) -> usize {
    tokens.saturating_mul(2).saturating_add(8)
}

impl<O: Oracle> Oracle for RetokenisedOracle<O> {
    fn surface(&self) -> &Surface {
        self.inner.surface()
    }

    /// Of the owner's tokenizer.
    fn vocab_size(&self) -> usize {
        self.to_own.from.vocab_size()
    }

    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, OracleError> {
        let own = |query: &Query| {
            let max_new_tokens = if query.max_new_tokens == 0 { 0 } else { own_tokens(query.max_new_tokens) };
            Query { prompt: self.to_own.document(&query.prompt), max_new_tokens, ..query.clone() }
        };
        let answers = self.inner.answer(&queries.iter().map(own).collect::<Vec<_>>())?;
        let back = self.to_own.reversed();
        let heard = |(query, answer): (&Query, &Exchange)| {
            let mut heard = back.exchange(answer);
            heard.query.max_new_tokens = query.max_new_tokens;
            if heard.answer.len() > query.max_new_tokens {
                heard.answer.truncate(query.max_new_tokens);
                heard.stop = Stop::Length;
            }
            heard
        };
        Ok(queries.iter().zip(&answers).map(heard).collect())
    }

    /// The probability of each continuation's text after its prompt, each encoded whole: log P(prompt, continuation) - log P(prompt).
    fn score(&self, items: &[ScoreItem]) -> Result<Vec<f64>, OracleError> {
        let mut asked = Vec::with_capacity(2 * items.len());
        for item in items {
            let prompt = self.to_own.document(&item.prompt);
            let whole = self.to_own.document(&[&item.prompt[..], &item.continuation].concat());
            let common = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count().max(1);
            for ids in [whole, prompt] {
                let (before, after) = ids.split_at(common.min(ids.len()));
                asked.push(ScoreItem { prompt: before.to_vec(), continuation: after.to_vec() });
            }
        }
        let sums = self.inner.score(&asked)?.chunks_exact(2).map(|pair| pair[0] - pair[1]).collect();
        Ok(sums)
    }

    /// Refused: the model's laws are over other tokens than the owner's.
    fn laws(&self, _given: &[&Exchange], _sink: &LawSink<'_>) -> Result<(), OracleError> {
        Err(OracleError::NotShown {
            surface: self.inner.surface().name().to_string(),
            asked: "law over these tokens (its model has another tokenizer)",
            instead: "logits, of a model with this tokenizer",
        })
    }

    /// After the text before each place, encoded by itself.
    fn laws_of_shared_tokens(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError> {
        let shared = self.shared.get_or_init(|| SharedTokens::of(&self.to_own.from, &self.to_own.to));
        if shared.len() == 0 {
            return Err(OracleError::NotShown {
                surface: self.inner.surface().name().to_string(),
                asked: "law over the owner's tokens (its model's tokenizer has none of them)",
                instead: "logits, of a model whose tokenizer shares tokens with this one",
            });
        }
        shared::laws(&self.inner, (&self.to_own, shared), self.context, given, sink)
    }

    fn open(&self) -> Option<&dyn OpenModel> {
        self.inner.open()
    }
}
