//! What was asked and answered, in order, and its file.

mod parquet;

use oracle::{Exchange, OracleError, Query};

use crate::served::Served;
pub use parquet::{read_parquet, write_parquet};

/// Exchanges in the order of the query stream: a budget is a prefix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The exchanges; number i has query index i of its stream.
    pub exchanges: Vec<Exchange>,
}

impl Transcript {
    /// The first `budget` exchanges, or all if there are fewer.
    pub fn prefix(&self, budget: usize) -> &[Exchange] {
        &self.exchanges[..budget.min(self.exchanges.len())]
    }

    /// Reads a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// As [`read_parquet`].
    pub fn read(path: &std::path::Path) -> Result<Self, crate::DistillError> {
        Ok(Self { exchanges: read_parquet(path)? })
    }

    /// Writes all exchanges.
    ///
    /// # Errors
    /// As [`write_parquet`].
    pub fn write(&self, path: &std::path::Path, vocab_size: usize) -> Result<(), crate::DistillError> {
        write_parquet(path, &self.exchanges, vocab_size)
    }
}

/// How far the asking has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Queries answered.
    pub queries: u64,
    /// Tokens answered.
    pub answer_tokens: u64,
}

/// Asks `queries` in chunks of `chunk` and reports after each; the answers do not depend on `chunk`.
///
/// # Errors
/// When the model fails or the work is cancelled.
pub fn ask(served: &Served, queries: &[Query], chunk: usize, progress: &mut dyn FnMut(Asked)) -> Result<Transcript, OracleError> {
    let mut exchanges = Vec::with_capacity(queries.len());
    let mut asked = Asked { queries: 0, answer_tokens: 0 };
    for chunk in queries.chunks(chunk.max(1)) {
        let answered = served.answer_with(chunk, &|_| ())?;
        asked.queries += answered.len() as u64;
        asked.answer_tokens += answered.iter().map(|e| e.answer.len() as u64).sum::<u64>();
        exchanges.extend(answered);
        progress(asked);
    }
    Ok(Transcript { exchanges })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oracle::{Oracle, Sampling, Surface};

    use super::*;
    use crate::testing::{model, query, runtime};

    #[test]
    fn answers_depend_neither_on_the_chunk_nor_on_the_budget() {
        let served = Served::new(Arc::new(model(4)), Vec::new(), Surface::Text, runtime(2));
        let queries: Vec<Query> = (0..23).map(|i| query(i, 6, Sampling::PLAIN)).collect();
        let mut told = Vec::new();
        let transcript = ask(&served, &queries, 10, &mut |asked| told.push(asked)).unwrap();
        assert_eq!(transcript.exchanges, served.answer(&queries).unwrap());
        assert_eq!(transcript.prefix(7), ask(&served, &queries[..7], 3, &mut |_| ()).unwrap().exchanges);
        assert_eq!(transcript.prefix(99).len(), 23);
        assert_eq!(told.iter().map(|a| a.queries).collect::<Vec<_>>(), [10, 20, 23]);
        let answered: usize = transcript.exchanges.iter().map(|e| e.answer.len()).sum();
        assert_eq!(told[2].answer_tokens, answered as u64);
    }
}
