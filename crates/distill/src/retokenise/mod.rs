//! Teacher and student with different tokenizers: what one says in the tokens of the other.
//!
//! All goes through text. The text of an exchange is encoded as a whole, as the other model would meet it, and then cut where the
//! answer's bytes begin: a token that straddles the place counts as prompt. So nothing is learned or scored that the prompt has a
//! part in, and no token stands there that the model would never see at that place.

mod asked;
mod stream;

use std::sync::Arc;

use lm::Tokenizer;
use oracle::{Codec, Exchange, Query, Stop, TokenId};

pub use asked::RetokenisedOracle;
pub use stream::RetokenisedStream;

/// Puts what was said in the tokens of one tokenizer into those of another.
#[derive(Clone)]
pub struct Retokeniser {
    from: Arc<Tokenizer>,
    to: Arc<Tokenizer>,
}

impl Retokeniser {
    /// From the tokens of one to those of the other.
    pub fn new(from: Arc<Tokenizer>, to: Arc<Tokenizer>) -> Self {
        Self { from, to }
    }

    /// The same in the other direction.
    pub fn reversed(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }

    /// A text that begins a document, as the other model meets it.
    pub fn document(&self, ids: &[TokenId]) -> Vec<TokenId> {
        self.to.encode_document(&self.from.decode(ids))
    }

    /// The exchange in the other's tokens: prompt and answer meet where the answer's bytes begin, or after the token that straddles
    /// that place. Special tokens are not text: those of the prompt are left out, the beginning token is the other's, and so is the
    /// end token of an answer that had one. Bytes of a character that was cut off at the end are left out.
    pub fn exchange(&self, exchange: &Exchange) -> Exchange {
        let (text, boundary) = passage(exchange, &self.from);
        let tokens = self.to.encode_with_offsets(&text);
        let mut first = tokens.partition_point(|(_, bytes)| bytes.start < boundary);
        let begin = self.to.bos();
        // a model is asked with something
        if begin.is_none() && first == 0 {
            first = tokens.len().min(1);
        }
        let ids = || tokens.iter().map(|(id, _)| *id);
        let prompt = begin.into_iter().chain(ids().take(first)).collect();
        let mut answer: Vec<TokenId> = ids().skip(first).collect();
        if exchange.stop == Stop::EndToken {
            answer.extend(self.to.eos());
        }
        Exchange { query: Query { prompt, ..exchange.query.clone() }, answer, stop: exchange.stop }
    }
}

/// The text of an exchange, and the byte at which its answer begins.
fn passage(exchange: &Exchange, tokenizer: &Tokenizer) -> (String, usize) {
    let prompt = tokenizer.decode(&exchange.query.prompt);
    let mut text = tokenizer.decode(&[&exchange.query.prompt[..], &exchange.answer].concat());
    let boundary = if text.starts_with(&prompt) {
        prompt.len()
    } else {
        // the prompt ends within a character, all of which counts as prompt
        let common = text.char_indices().zip(prompt.chars()).find(|((_, a), b)| a != b).map_or(text.len(), |((at, _), _)| at);
        common + text[common..].chars().next().map_or(0, char::len_utf8)
    };
    if exchange.stop == Stop::Length {
        let kept = text[boundary..].trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.truncate(boundary + kept);
    }
    (text, boundary)
}

/// How well the tokens of two tokenizers meet in answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Tokens of the answers as they were heard, on which marks are measured.
    pub tokens: u64,
    /// Those that end where a token of the speaker's own tokenizer ends: the others lie within a token that it chose as a whole.
    pub aligned: u64,
}

impl Alignment {
    /// Compares the answers of `heard`, in the tokens of `listener`, with the same texts in those of `speaker`.
    pub fn of(heard: &[Exchange], listener: &Tokenizer, speaker: &Tokenizer) -> Self {
        let mut alignment = Self::default();
        for exchange in heard {
            let (text, boundary) = passage(exchange, listener);
            let ends = |tokenizer: &Tokenizer| -> Vec<usize> {
                let tokens = tokenizer.encode_with_offsets(&text).into_iter();
                tokens.map(|(_, bytes)| bytes).filter(|bytes| bytes.start >= boundary).map(|bytes| bytes.end).collect()
            };
            let chosen = ends(speaker);
            for end in ends(listener) {
                alignment.tokens += 1;
                alignment.aligned += u64::from(chosen.binary_search(&end).is_ok());
            }
        }
        alignment
    }

    /// Share of the tokens that are aligned; `None` when there are none.
    pub fn share(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.aligned as f64 / self.tokens as f64)
    }
}

#[cfg(test)]
mod tests;
