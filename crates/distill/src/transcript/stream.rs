use std::sync::Arc;

use oracle::Exchange;

use crate::error::DistillError;

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
