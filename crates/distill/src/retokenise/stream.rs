use std::sync::{Arc, Mutex, PoisonError};

use oracle::{Exchange, Stop};

use super::Retokeniser;
use crate::error::DistillError;
use crate::transcript::ExchangeStream;

/// Shards kept in the student's tokens: the one that is read and the one before, which another worker may still read.
const KEPT: usize = 2;

/// A transcript as a student of another tokenizer reads it: shard by shard, the same exchanges in the same places.
pub struct RetokenisedStream<S> {
    inner: S,
    retokeniser: Retokeniser,
    context: usize,
    kept: Mutex<Vec<(u64, Arc<Vec<Exchange>>)>>,
}

impl<S: ExchangeStream> RetokenisedStream<S> {
    /// `inner` in the tokens that `retokeniser` leads to. An answer that goes beyond the student's `context` is cut there: more of
    /// it than that no student could read.
    pub fn new(inner: S, retokeniser: Retokeniser, context: usize) -> Self {
        Self { inner, retokeniser, context, kept: Mutex::default() }
    }

    fn put(&self, exchange: &Exchange) -> Exchange {
        let mut put = self.retokeniser.exchange(exchange);
        let room = (self.context + 1).saturating_sub(put.query.prompt.len());
        if put.answer.len() > room {
            put.answer.truncate(room);
            put.stop = Stop::Length;
        }
        put
    }
}

impl<S: ExchangeStream> ExchangeStream for RetokenisedStream<S> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn shard_len(&self) -> u64 {
        self.inner.shard_len()
    }

    fn shard(&self, index: u64) -> Result<Arc<Vec<Exchange>>, DistillError> {
        // held while a shard is put: others who want it wait for it, and nothing below uses the workers' pool
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, shard)) = kept.iter().find(|(known, _)| *known == index) {
            return Ok(shard.clone());
        }
        let shard = Arc::new(self.inner.shard(index)?.iter().map(|exchange| self.put(exchange)).collect::<Vec<_>>());
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((index, shard.clone()));
        Ok(shard)
    }

    fn prefetch(&self, index: u64) {
        self.inner.prefetch(index);
    }
}
