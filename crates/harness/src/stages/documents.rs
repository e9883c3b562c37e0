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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use corpus::{Opening, Task, TaskKind};
    use lm::{ComputePath, Tokenizer};

    use super::*;

    /// Texts of so many words, and how many bytes of them were asked for.
    struct Counted {
        words: usize,
        asked: AtomicU64,
    }

    impl Texts for Counted {
        fn document(&self, _: Split, index: u64) -> String {
            format!("Book {index}. {}", "the old miller counted sacks ".repeat(self.words / 5))
        }

        fn opening(&self, split: Split, index: u64, bytes: usize) -> Opening {
            let opening = Opening::of(&self.document(split, index), bytes);
            self.asked.fetch_add(opening.text.len() as u64, Ordering::Relaxed);
            opening
        }

        fn len(&self, _: Split) -> Option<u64> {
            None
        }

        fn task(&self, _: TaskKind, _: Split, _: u64) -> Option<Task> {
            None
        }

        fn describe(&self) -> String {
            "counted".into()
        }
    }

    fn read(words: usize, tokens: u64, cancelled: bool) -> (Result<Vec<Vec<TokenId>>, RunError>, Counted, Vocabulary) {
        let texts = Counted { words, asked: AtomicU64::new(0) };
        let short = Counted { words: 20, asked: AtomicU64::new(0) };
        let trained = Tokenizer::train_bpe((0..50).map(|i| short.document(Split::Train, i)), 300);
        let vocabulary = Vocabulary::of_tokenizer(trained.unwrap());
        let rt = Runtime::new(2, ComputePath::Fused, Arc::new(AtomicBool::new(cancelled))).unwrap();
        let read = documents_with(&texts, Split::Train, tokens, &vocabulary, &rt).collect();
        (read, texts, vocabulary)
    }

    #[test]
    fn short_documents_are_the_first_that_hold_as_many_tokens() {
        let (read, texts, vocabulary) = read(20, 5000, false);
        let read = read.unwrap();
        let whole: Vec<Vec<TokenId>> =
            (0..read.len() as u64).map(|i| vocabulary.document(&texts.document(Split::Train, i))).collect();
        assert_eq!(read, whole);
        let tokens = |documents: &[Vec<TokenId>]| documents.iter().map(Vec::len).sum::<usize>();
        assert!(tokens(&read) >= 5000 && tokens(&read[..read.len() - 1]) < 5000);
    }

    #[test]
    fn of_books_no_more_is_read_than_is_asked() {
        let (read, texts, vocabulary) = read(200_000, 5000, false);
        let read = read.unwrap();
        assert_eq!(read.len(), 1);
        let whole = vocabulary.document(&texts.document(Split::Train, 0));
        assert!(read[0].len() >= 5000 && read[0].len() < whole.len());
        assert_eq!(read[0], whole[..read[0].len()]);
        assert!(texts.asked.load(Ordering::Relaxed) < 4_000_000, "two workers, a book and a half each at most");
    }

    #[test]
    fn nothing_is_read_once_the_work_is_cancelled() {
        let (read, texts, _) = read(20, 5000, true);
        assert!(matches!(read, Err(RunError::Cancelled)));
        assert_eq!(texts.asked.load(Ordering::Relaxed), 0);
    }
}
