//! Green rows by what chose them, computed once each while they fit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use super::rules::MAX_CONTEXT;

/// Bytes of green rows kept. 64 MiB hold every row of a 20,000-token vocabulary with one-token contexts; beyond it a
/// full shard starts again, which costs time and changes nothing.
const CACHE_BYTES: usize = 64 << 20;

/// Bytes of green rows kept by all marks of the process together: keys by account are up to 4096 lists.
static ALL_ROWS: Budget = Budget { most: 1 << 30, used: AtomicUsize::new(0) };

/// Bytes that several caches share.
struct Budget {
    most: usize,
    used: AtomicUsize,
}

/// Locks the rows are spread over, so that a few dozen generating threads rarely meet.
const SHARDS: usize = 64;

/// One bit per token id.
pub(super) type Row = Box<[u64]>;

/// Words of a row with a bit for each of `vocab` token ids.
pub(super) fn words_of_bits(vocab: usize) -> usize {
    vocab.div_ceil(64)
}

/// What chose a row: ids of a context, or a seed.
type Name = [u32; MAX_CONTEXT];

/// Rows of one mark.
pub(crate) struct RowCache<T = u64> {
    shards: Vec<RwLock<HashMap<Name, Box<[T]>>>>,
    rows_per_shard: usize,
    row_bytes: usize,
    budget: &'static Budget,
}

impl<T> RowCache<T> {
    /// Of rows of so many numbers.
    pub fn new(numbers: usize) -> Self {
        let row_bytes = size_of::<T>() * numbers + 64;
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            rows_per_shard: (CACHE_BYTES / row_bytes / SHARDS).max(1),
            row_bytes,
            budget: &ALL_ROWS,
        }
    }

    /// `then` of the row that `name` chose (at most [`MAX_CONTEXT`] numbers), which `compute` makes where it is not kept.
    pub fn with<R>(&self, name: &[u32], compute: impl FnOnce() -> Box<[T]>, then: impl FnOnce(&[T]) -> R) -> R {
        let mut whole = [0; MAX_CONTEXT];
        whole[..name.len()].copy_from_slice(name);
        let mixed = whole.iter().fold(0u32, |sum, &id| sum.wrapping_mul(0x9e37_79b1).wrapping_add(id));
        let shard = &self.shards[mixed as usize % SHARDS];
        // a thread that panicked while holding the lock left whole rows behind, so poison is no concern
        if let Some(row) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&whole) {
            return then(row);
        }
        let row = compute();
        let made = then(&row);
        let mut rows = shard.write().unwrap_or_else(PoisonError::into_inner);
        // one row too many for all: the shard that adds it starts again
        if rows.len() >= self.rows_per_shard || self.budget.used.load(Ordering::Relaxed) >= self.budget.most {
            self.budget.used.fetch_sub(rows.len() * self.row_bytes, Ordering::Relaxed);
            rows.clear();
        }
        if rows.insert(whole, row).is_none() {
            self.budget.used.fetch_add(self.row_bytes, Ordering::Relaxed);
        }
        made
    }
}

impl<T> Drop for RowCache<T> {
    fn drop(&mut self) {
        let rows: usize = self.shards.iter_mut().map(|rows| rows.get_mut().unwrap_or_else(PoisonError::into_inner).len()).sum();
        self.budget.used.fetch_sub(rows * self.row_bytes, Ordering::Relaxed);
    }
}

/// Adds `bias` to the logits of the tokens whose bit of `row` is set.
pub(crate) fn add_to_green(row: &[u64], bias: f32, logits: &mut [f32]) {
    for (word, chunk) in row.iter().zip(logits.chunks_mut(64)) {
        let mut bits = *word;
        while bits != 0 {
            let place = bits.trailing_zeros() as usize;
            if let Some(logit) = chunk.get_mut(place) {
                *logit += bias;
            }
            bits &= bits - 1;
        }
    }
}

/// Whether the bit of `token` is set.
pub(super) fn has(row: &[u64], token: u32) -> bool {
    row.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that says what chose it.
    fn row(name: &[u32]) -> Row {
        name.iter().map(|id| u64::from(*id)).collect()
    }

    #[test]
    fn rows_are_those_of_their_names_whatever_is_kept() {
        let mut cache = RowCache::new(3);
        cache.rows_per_shard = 1;
        for round in 0..3 {
            for name in (0..200).map(|c| [c, c * 7 + round % 2]) {
                cache.with(&name, || row(&name), |kept| assert_eq!(kept, &*row(&name)));
            }
        }
    }

    #[test]
    fn caches_of_many_lists_share_their_bytes() {
        static FEW: Budget = Budget { most: 40_000, used: AtomicUsize::new(0) };
        let row_bytes = 8 * 3 + 64;
        {
            let few = |_| {
                let mut cache = RowCache::new(3);
                cache.budget = &FEW;
                cache
            };
            let caches: Vec<RowCache> = (0..10).map(few).collect();
            for cache in &caches {
                for name in 0..2_000 {
                    cache.with(&[name % 500], || row(&[name % 500]), |_| ());
                }
            }
            let held: usize = caches.iter().flat_map(|cache| &cache.shards).map(|rows| rows.read().unwrap().len()).sum();
            assert_eq!(FEW.used.load(Ordering::Relaxed), held * row_bytes);
            // a full budget leaves every shard the row that it was just asked for
            assert!(held > 100 && held * row_bytes <= FEW.most + 10 * SHARDS * row_bytes, "{held} rows");
        }
        assert_eq!(FEW.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn bits_beyond_the_row_are_not_set() {
        assert_eq!([0, 3, 64, 66, 640].map(|token| has(&[0b1000, 0b1], token)), [false, true, true, false, false]);
    }
}
