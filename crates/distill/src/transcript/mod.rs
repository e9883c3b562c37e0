//! What was asked and answered, in order: a stream of exchanges that lies in shards.
//!
//! A budget is a prefix of the stream. Nothing here holds more than a few shards in memory, so that a student of ten million
//! queries needs no more of it than one of a hundred thousand.

mod files;
mod parquet;
mod stream;

use oracle::Exchange;
use serde::{Deserialize, Serialize};

pub use files::TranscriptFiles;
pub use parquet::{TranscriptHeader, read_parquet, write_parquet};
pub use stream::{ExchangeStream, ExchangesInMemory, shards};

/// What a number of exchanges holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Queries.
    pub queries: u64,
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub answer_tokens: u64,
}

impl Counts {
    /// Counts `exchanges`.
    pub fn of<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Self {
        let mut counts = Self::default();
        for exchange in exchanges {
            counts.queries += 1;
            counts.prompt_tokens += exchange.query.prompt.len() as u64;
            counts.answer_tokens += exchange.answer.len() as u64;
        }
        counts
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.prompt_tokens += other.prompt_tokens;
        self.answer_tokens += other.answer_tokens;
    }
}

#[cfg(test)]
mod tests;
