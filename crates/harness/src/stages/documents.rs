//! Texts as token ids.

use corpus::{Split, Texts};
use lm::{RunError, Runtime};
use oracle::TokenId;
use rayon::prelude::*;

use crate::stages::Vocabulary;

/// Most documents encoded at a time by all workers together.
const CHUNK: u64 = 2048;
/// Tokens of a document that are kept beyond those that are asked for: a document that is cut there is as good as whole for whoever
/// asks whether something fits into it.
const BEYOND: u64 = 1 << 16;

/// Documents `0..n` of a split as token ids, `n` the least for which they hold `tokens` tokens; as many are encoded at a time as are
/// likely to be needed, as they are asked for. Of a long document no more is encoded than is left to be filled, and some more.
///
/// An item is an error once the work is cancelled.
pub fn documents_with<'a>(
    texts: &'a dyn Texts,
    split: Split,
    tokens: u64,
    vocabulary: &'a Vocabulary,
    rt: &'a Runtime,
) -> impl Iterator<Item = Result<Vec<TokenId>, RunError>> + 'a {
    let mut next = 0;
    let mut total = 0_u64;
    let mut ready: std::vec::IntoIter<Result<Vec<TokenId>, RunError>> = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if total >= tokens {
            return None;
        }
        if ready.len() == 0 {
            let workers = rt.pool.current_num_threads() as u64;
            // by the mean length so far; at first by none
            let likely =
                if total == 0 { next * 2 } else { ((tokens - total) as f64 / (total as f64 / next as f64)).ceil() as u64 };
            let n = likely.clamp(workers.min(CHUNK), CHUNK);
            let most = usize::try_from((tokens - total).saturating_add(BEYOND)).unwrap_or(usize::MAX);
            let encoded = |index| {
                rt.check_cancelled()?;
                Ok(vocabulary.document_cut(texts, split, index, most))
            };
            let chunk: Vec<_> = rt.pool.install(|| (next..next + n).into_par_iter().map(encoded).collect());
            next += n;
            ready = chunk.into_iter();
        }
        let document = ready.next()?;
        match &document {
            Ok(document) => total += document.len() as u64,
            Err(_) => total = tokens,
        }
        Some(document)
    })
}

/// What `take` makes of documents that may stop coming because the work is cancelled.
///
/// # Errors
/// When it is.
pub fn taken<T>(
    documents: impl Iterator<Item = Result<Vec<TokenId>, RunError>>,
    take: impl FnOnce(&mut dyn Iterator<Item = Vec<TokenId>>) -> T,
) -> Result<T, RunError> {
    let mut stopped = None;
    let mut documents = documents.map_while(|document| match document {
        Ok(document) => Some(document),
        Err(error) => {
            stopped = Some(error);
            None
        }
    });
    let made = take(&mut documents);
    drop(documents);
    match stopped {
        Some(error) => Err(error),
        None => Ok(made),
    }
}

/// The first `n` documents of a split as token ids, cut to `most` ids; no more of a document is encoded than that.
///
/// # Errors
/// When the work is cancelled.
pub fn documents(
    texts: &dyn Texts,
    split: Split,
    n: u64,
    most: usize,
    vocabulary: &Vocabulary,
    rt: &Runtime,
) -> Result<Vec<Vec<TokenId>>, RunError> {
    let encoded = |index| {
        rt.check_cancelled()?;
        Ok(vocabulary.document_cut(texts, split, index, most))
    };
    rt.pool.install(|| (0..n).into_par_iter().map(encoded).collect())
}
