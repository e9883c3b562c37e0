use lm::Tokenizer;
use oracle::Exchange;

use super::retokeniser::passage;

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
