use std::sync::Arc;

use lm::Tokenizer;
use oracle::{Codec, Exchange, Query, Stop, TokenId};

/// Puts what was said in the tokens of one tokenizer into those of another.
#[derive(Clone)]
pub struct Retokeniser {
    pub(super) from: Arc<Tokenizer>,
    pub(super) to: Arc<Tokenizer>,
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
        let (prompt, mut answer) = cut_text(&self.to, &text, boundary);
        if exchange.stop == Stop::EndToken {
            answer.extend(self.to.eos());
        }
        Exchange { query: Query { prompt, ..exchange.query.clone() }, answer, stop: exchange.stop }
    }
}

/// `text` as a document in the tokens of `tokenizer`, cut into prompt and answer at byte `boundary`: the whole is encoded, and a token
/// that straddles the place counts as prompt. The prompt opens with the beginning token, if there is one.
pub fn cut_text(tokenizer: &Tokenizer, text: &str, boundary: usize) -> (Vec<TokenId>, Vec<TokenId>) {
    let tokens = tokenizer.encode_with_offsets(text);
    let mut first = tokens.partition_point(|(_, bytes)| bytes.start < boundary);
    let begin = tokenizer.bos();
    // a model is asked with something
    if begin.is_none() && first == 0 {
        first = tokens.len().min(1);
    }
    let ids = || tokens.iter().map(|(id, _)| *id);
    (begin.into_iter().chain(ids().take(first)).collect(), ids().skip(first).collect())
}

/// The text of an exchange, and the byte at which its answer begins.
pub(super) fn passage(exchange: &Exchange, tokenizer: &Tokenizer) -> (String, usize) {
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
