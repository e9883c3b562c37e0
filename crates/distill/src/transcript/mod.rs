//! What was asked and answered, in order: a stream of exchanges that lies in shards.
//!
//! A budget is a prefix of the stream. Nothing here holds more than a few shards in memory, so that a student of ten million
//! queries needs no more of it than one of a hundred thousand.

mod files;
mod parquet;

use std::sync::Arc;

use oracle::Exchange;
use serde::{Deserialize, Serialize};

use crate::error::DistillError;
pub use files::TranscriptFiles;
pub use parquet::{read_parquet, write_parquet};

/// Exchanges in the order of the query stream, in shards of equal length but for the last.
pub trait ExchangeStream: Send + Sync {
    /// Number of exchanges.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exchanges in every shard but the last, which may be shorter; at least 1.
    fn shard_len(&self) -> u64;

    /// Shard `index`, which holds exchanges `index * shard_len ..`; possibly more than [`len`](Self::len) counts.
    ///
    /// # Errors
    /// When it cannot be read.
    fn shard(&self, index: u64) -> Result<Arc<Vec<Exchange>>, DistillError>;

    /// Says that shard `index` will soon be asked for.
    fn prefetch(&self, _index: u64) {}
}

/// Number of exchanges of each shard of a stream of `len`.
pub fn shards(len: u64, shard_len: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..len.div_ceil(shard_len)).map(move |i| i * shard_len..((i + 1) * shard_len).min(len))
}

/// Exchanges that lie in memory, as one shard or several.
#[derive(Debug, Clone)]
pub struct ExchangesInMemory {
    shards: Vec<Arc<Vec<Exchange>>>,
    shard_len: u64,
    len: u64,
}

impl ExchangesInMemory {
    /// `exchanges` cut into shards of `shard_len` (at least 1).
    pub fn new(exchanges: Vec<Exchange>, shard_len: usize) -> Self {
        let shard_len = shard_len.max(1);
        let len = exchanges.len() as u64;
        let shards = exchanges.chunks(shard_len).map(|shard| Arc::new(shard.to_vec())).collect();
        Self { shards, shard_len: shard_len as u64, len }
    }
}

impl From<Vec<Exchange>> for ExchangesInMemory {
    fn from(exchanges: Vec<Exchange>) -> Self {
        let len = exchanges.len();
        Self::new(exchanges, len)
    }
}

impl ExchangeStream for ExchangesInMemory {
    fn len(&self) -> u64 {
        self.len
    }

    fn shard_len(&self) -> u64 {
        self.shard_len
    }

    fn shard(&self, index: u64) -> Result<Arc<Vec<Exchange>>, DistillError> {
        let missing = || DistillError::Data(format!("there is no shard {index}"));
        usize::try_from(index).ok().and_then(|i| self.shards.get(i)).cloned().ok_or_else(missing)
    }
}

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
