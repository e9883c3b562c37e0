//! Green lists: which tokens a key favours after a context.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use oracle::{KeyedSet, TokenId};
use siphasher::sip::SipHasher24;

use super::siphash::{self, SipState};
use super::walk::MAX_CONTEXT;
use crate::key::{Key, Purpose};

/// Membership of (context, token) pairs under one key: SipHash-2-4 of the ids, little-endian, context first.
///
/// Every pair has its own draw, so that hits over distinct pairs are exactly binomial in text that has nothing to do
/// with the key. (The permuted list of the KGW paper fixes the number of green tokens per context and makes pairs of one context
/// dependent.) Nothing here depends on a generator's stream order or on a device.
#[derive(Debug, Clone)]
pub(crate) struct GreenList {
    hasher: SipHasher24,
    state: SipState,
    /// The largest draw that is a hit.
    last: u32,
}

impl GreenList {
    /// The list of `key` for `purpose` with green fraction `gamma`.
    pub fn new(key: &Key, purpose: Purpose, gamma: f64) -> Self {
        Self::with_sip_key(&key.sip_key(purpose), gamma)
    }

    fn with_sip_key(sip_key: &[u8; 16], gamma: f64) -> Self {
        Self { hasher: SipHasher24::new_with_key(sip_key), state: SipState::new(sip_key), last: last_hit(gamma) }
    }

    /// The exact probability that a pair is green: `gamma` rounded up to a multiple of 2^-32.
    pub fn rate_of(gamma: f64) -> f64 {
        (f64::from(last_hit(gamma)) + 1.0) / 2f64.powi(32)
    }

    /// The pair's draw in 0..2^32; `window` is the context, then the token.
    fn draw(&self, window: &[TokenId]) -> u32 {
        let mut bytes = [0; 4 * (MAX_CONTEXT + 1)];
        for (place, id) in bytes.chunks_exact_mut(4).zip(window) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        self.hasher.hash(&bytes[..4 * window.len()]) as u32
    }

    /// Whether the last token of `window` is green after those before it.
    pub fn is_green(&self, window: &[TokenId]) -> bool {
        self.hits(self.draw(window))
    }

    fn hits(&self, draw: u32) -> bool {
        draw <= self.last
    }

    /// 1 for each of `windows` (`scores.len()`, `width`) that is green, else 0.
    pub fn score(&self, windows: &[TokenId], width: usize, scores: &mut [f64]) {
        let mut draws = [0; 256];
        for (windows, scores) in windows.chunks(256 * width).zip(scores.chunks_mut(256)) {
            let draws = &mut draws[..scores.len()];
            siphash::windows(self.state, windows, width, draws);
            for (score, draw) in scores.iter_mut().zip(draws) {
                *score = f64::from(u8::from(self.hits(*draw)));
            }
        }
    }
}

/// The largest draw that is a hit: draw < gamma 2^32 for an integer draw is draw < ceil(gamma 2^32).
fn last_hit(gamma: f64) -> u32 {
    ((gamma * 2f64.powi(32)).ceil() - 1.0) as u32
}

/// One pair at a time, special tokens included.
impl KeyedSet for GreenList {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        let mut window = [0; MAX_CONTEXT + 1];
        window[..context.len()].copy_from_slice(context);
        window[context.len()] = token;
        self.is_green(&window[..=context.len()])
    }
}

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
type Row = Box<[u64]>;

/// Green rows by context, computed once each while they fit.
pub(crate) struct GreenRows {
    list: GreenList,
    vocab: usize,
    special: Vec<TokenId>,
    shards: Vec<RwLock<HashMap<[TokenId; MAX_CONTEXT], Row>>>,
    rows_per_shard: usize,
    row_bytes: usize,
    budget: &'static Budget,
}

impl GreenRows {
    /// Rows of `list` over ids `0..vocab`, none of `special` ever green.
    pub fn new(list: GreenList, vocab: usize, special: &[TokenId]) -> Self {
        let row_bytes = 8 * vocab.div_ceil(64) + 64;
        Self {
            list,
            vocab,
            special: special.to_vec(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            rows_per_shard: (CACHE_BYTES / row_bytes / SHARDS).max(1),
            row_bytes,
            budget: &ALL_ROWS,
        }
    }

    fn compute(&self, context: &[TokenId]) -> Row {
        let mut draws = vec![0; self.vocab];
        siphash::all_tokens(self.list.state, context, &mut draws);
        let word = |draws: &[u32]| draws.iter().rev().fold(0, |word, draw| word << 1 | u64::from(self.list.hits(*draw)));
        let mut row: Row = draws.chunks(64).map(word).collect();
        for &token in self.special.iter().filter(|&&token| (token as usize) < self.vocab) {
            row[token as usize / 64] &= !(1 << (token % 64));
        }
        row
    }

    /// Adds `bias` to the logits of the tokens that are green after `context`.
    pub fn add(&self, context: &[TokenId], bias: f32, logits: &mut [f32]) {
        let mut name = [0; MAX_CONTEXT];
        name[..context.len()].copy_from_slice(context);
        let mixed = name.iter().fold(0u32, |sum, &id| sum.wrapping_mul(0x9e37_79b1).wrapping_add(id));
        let shard = &self.shards[mixed as usize % SHARDS];
        // a thread that panicked while holding the lock left whole rows behind, so poison is no concern
        if let Some(row) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return add_to_green(row, bias, logits);
        }
        let row = self.compute(context);
        add_to_green(&row, bias, logits);
        let mut rows = shard.write().unwrap_or_else(PoisonError::into_inner);
        // one row too many for all: the shard that adds it starts again
        if rows.len() >= self.rows_per_shard || self.budget.used.load(Ordering::Relaxed) >= self.budget.most {
            self.budget.used.fetch_sub(rows.len() * self.row_bytes, Ordering::Relaxed);
            rows.clear();
        }
        if rows.insert(name, row).is_none() {
            self.budget.used.fetch_add(self.row_bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for GreenRows {
    fn drop(&mut self) {
        let rows: usize = self.shards.iter_mut().map(|rows| rows.get_mut().unwrap_or_else(PoisonError::into_inner).len()).sum();
        self.budget.used.fetch_sub(rows * self.row_bytes, Ordering::Relaxed);
    }
}

/// One pair at a time, without rows.
impl KeyedSet for GreenRows {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        !self.special.contains(&token) && self.list.contains(context, token)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `vectors_sip64` of the SipHash authors' reference code: key 00 01 .. 0f, messages 00, 00 01, ...
    #[test]
    fn prf_is_siphash_2_4_over_little_endian_ids() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let list = GreenList::with_sip_key(&key, 0.25);
        assert_eq!(list.draw(&[0x0302_0100]), 0xcf27_94e0_2771_87b7_u64 as u32);
        assert_eq!(list.draw(&[0x0302_0100, 0x0706_0504]), 0x93f5_f579_9a93_2462_u64 as u32);
    }

    #[test]
    fn rows_agree_with_pairs_whatever_the_cache_holds() {
        let list = GreenList::new(&Key::decoy(1, 1), Purpose::GreenList, 0.3);
        let vocab = 150;
        let mut rows = GreenRows::new(list.clone(), vocab, &[0, 149, 7]);
        rows.rows_per_shard = 1;
        for round in 0..3 {
            for context in (0..200u32).map(|c| [c, c * 7 + round % 2]) {
                let mut logits = vec![0.0f32; vocab];
                rows.add(&context, 1.5, &mut logits);
                for (token, &logit) in logits.iter().enumerate() {
                    let token = token as TokenId;
                    let green = list.is_green(&[context[0], context[1], token]) && ![0, 149, 7].contains(&token);
                    assert_eq!(logit, if green { 1.5 } else { 0.0 });
                    assert_eq!(rows.contains(&context, token), green);
                }
            }
        }
    }

    #[test]
    fn caches_of_many_lists_share_their_bytes() {
        static FEW: Budget = Budget { most: 40_000, used: AtomicUsize::new(0) };
        let row_bytes = 8 * 3 + 64;
        {
            let of = |index| {
                let mut rows = GreenRows::new(GreenList::new(&Key::decoy(3, index), Purpose::GreenList, 0.3), 150, &[]);
                rows.budget = &FEW;
                rows
            };
            let caches: Vec<GreenRows> = (0..10).map(of).collect();
            for cache in &caches {
                for context in 0..2_000 {
                    cache.add(&[context % 500], 1.0, &mut [0.0; 150]);
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
    fn green_fraction_is_gamma() {
        // 200,000 independent pairs per gamma; bound 4.5 standard deviations, error rate below 1e-5 each
        for gamma in [0.05, 0.25, 0.5, 0.9] {
            let list = GreenList::new(&Key::decoy(2, 0), Purpose::GreenList, gamma);
            let hits = (0..200_000u32).filter(|&i| list.is_green(&[i % 400, i / 400])).count() as f64;
            let sd = (200_000.0 * gamma * (1.0 - gamma)).sqrt();
            assert!((hits - 200_000.0 * gamma).abs() < 4.5 * sd, "gamma {gamma}: {hits}");
            assert!((GreenList::rate_of(gamma) - gamma).abs() < 1e-9);
        }
    }
}
