//! Green lists: which tokens a key favours after a context.

use oracle::{KeyedSet, TokenId};
use siphasher::sip::SipHasher24;

use super::rows::{Row, RowCache, add_to_green, words_of_bits};
use super::rules::MAX_CONTEXT;
use super::siphash::{self, SipState};
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

/// Rows of a green list by context.
pub(crate) struct GreenRows {
    list: GreenList,
    vocab: usize,
    special: Vec<TokenId>,
    cache: RowCache,
}

impl GreenRows {
    /// Rows of `list` over ids `0..vocab`, none of `special` ever green.
    pub fn new(list: GreenList, vocab: usize, special: &[TokenId]) -> Self {
        Self { list, vocab, special: special.to_vec(), cache: RowCache::new(words_of_bits(vocab)) }
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
        self.cache.with(context, || self.compute(context), |row| add_to_green(row, bias, logits));
    }
}

/// One pair at a time, without rows.
impl KeyedSet for GreenRows {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        !self.special.contains(&token) && self.list.contains(context, token)
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
    fn rows_agree_with_pairs() {
        let list = GreenList::new(&Key::decoy(1, 1), Purpose::GreenList, 0.3);
        let vocab = 150;
        let rows = GreenRows::new(list.clone(), vocab, &[0, 149, 7]);
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
