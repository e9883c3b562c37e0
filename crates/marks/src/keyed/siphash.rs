//! SipHash-2-4 (Aumasson and Bernstein, *SipHash: a fast short-input PRF*, INDOCRYPT 2012) of many short messages at once.
//!
//! The messages of one call are equally long, so their hashing is one loop of straight-line integer arithmetic, which the
//! compiler turns into vector instructions, those that `pulp` finds at run time (hence everything is inlined). Bits do not depend on these.

use oracle::TokenId;
use pulp::{Arch, Simd, WithSimd};

use super::rules::MAX_CONTEXT;

/// Messages that are packed before they are hashed.
const BLOCK: usize = 256;

/// Most 8-byte words of a message, the last one holding its length.
const MAX_WORDS: usize = MAX_CONTEXT.div_ceil(2) + 1;

/// The inner state after a key and perhaps some words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SipState([u64; 4]);

impl SipState {
    /// Before the first word.
    pub fn new(key: &[u8; 16]) -> Self {
        let [k0, k1] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| key[at + i])));
        Self([k0 ^ 0x736f_6d65_7073_6575, k1 ^ 0x646f_7261_6e64_6f6d, k0 ^ 0x6c79_6765_6e65_7261, k1 ^ 0x7465_6462_7974_6573])
    }

    #[inline(always)]
    fn round(self) -> Self {
        let [v0, v1, v2, v3] = self.0;
        let (v0, v2) = (v0.wrapping_add(v1), v2.wrapping_add(v3));
        let (v1, v3) = (v1.rotate_left(13) ^ v0, v3.rotate_left(16) ^ v2);
        let v0 = v0.rotate_left(32);
        let (v2, v0) = (v2.wrapping_add(v1), v0.wrapping_add(v3));
        let (v1, v3) = (v1.rotate_left(17) ^ v2, v3.rotate_left(21) ^ v0);
        Self([v0, v1, v2.rotate_left(32), v3])
    }

    #[inline(always)]
    fn absorb(mut self, word: u64) -> Self {
        self.0[3] ^= word;
        self = self.round().round();
        self.0[0] ^= word;
        self
    }

    /// The hash.
    #[inline(always)]
    fn hash(mut self) -> u64 {
        self.0[2] ^= 0xff;
        let [v0, v1, v2, v3] = self.round().round().round().round().0;
        v0 ^ v1 ^ v2 ^ v3
    }

    /// The hash's low half.
    #[inline(always)]
    fn finish(self) -> u32 {
        self.hash() as u32
    }
}

/// The `word`th word of the message that `ids` make, little-endian.
#[inline(always)]
fn packed(ids: &[TokenId], word: usize) -> u64 {
    let id = |at: usize| ids.get(at).copied().map_or(0, u64::from);
    let length = if 2 * word + 1 >= ids.len() && word == ids.len() / 2 { (4 * ids.len() as u64) << 56 } else { 0 };
    id(2 * word) | id(2 * word + 1) << 32 | length
}

/// Low halves of the hashes of `windows` (`draws.len()`, `W`).
#[inline(always)]
fn hash_windows<const W: usize>(state: SipState, windows: &[TokenId], draws: &mut [u32]) {
    let mut words = [[0; BLOCK]; MAX_WORDS];
    for (windows, draws) in windows.chunks(BLOCK * W).zip(draws.chunks_mut(BLOCK)) {
        for (at, window) in windows.as_chunks::<W>().0.iter().enumerate() {
            for (word, column) in words[..W / 2 + 1].iter_mut().enumerate() {
                column[at] = packed(window, word);
            }
        }
        let [a, b, c, d] = &words;
        for ((((draw, &a), &b), &c), &d) in draws.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let state = state.absorb(a);
            let state = if W >= 2 { state.absorb(b) } else { state };
            let state = if W >= 4 { state.absorb(c) } else { state };
            let state = if W >= 6 { state.absorb(d) } else { state };
            *draw = state.finish();
        }
    }
}

/// Low halves of the hashes of `windows` (`draws.len()`, `width`), each window the bytes of its ids, little-endian.
///
/// # Panics
/// If the width is not 1 to `MAX_CONTEXT + 1`, or the lengths do not fit.
pub(crate) fn windows(state: SipState, windows: &[TokenId], width: usize, draws: &mut [u32]) {
    assert_eq!(windows.len(), draws.len() * width, "windows of {width} ids");
    Arch::new().dispatch(Windows { state, windows, width, draws });
}

struct Windows<'a> {
    state: SipState,
    windows: &'a [TokenId],
    width: usize,
    draws: &'a mut [u32],
}

impl WithSimd for Windows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { state, windows, width, draws } = self;
        match width {
            1 => hash_windows::<1>(state, windows, draws),
            2 => hash_windows::<2>(state, windows, draws),
            3 => hash_windows::<3>(state, windows, draws),
            4 => hash_windows::<4>(state, windows, draws),
            5 => hash_windows::<5>(state, windows, draws),
            6 => hash_windows::<6>(state, windows, draws),
            _ => panic!("windows of {width} ids"),
        }
    }
}

/// Hashes of the numbers from 0 on, each as eight bytes, little-endian.
pub(crate) fn numbers(state: SipState, hashes: &mut [u64]) {
    Arch::new().dispatch(Numbers { state, hashes });
}

struct Numbers<'a> {
    state: SipState,
    hashes: &'a mut [u64],
}

impl WithSimd for Numbers<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (number, hash) in self.hashes.iter_mut().enumerate() {
            *hash = self.state.absorb(number as u64).absorb(8 << 56).hash();
        }
    }
}

/// Low halves of the hashes of `context` followed by each of the tokens `0..draws.len()`.
pub(crate) fn all_tokens(state: SipState, context: &[TokenId], draws: &mut [u32]) {
    let whole = context.len() / 2;
    let state = (0..whole).fold(state, |state, word| state.absorb(packed(&context[2 * word..2 * word + 2], 0)));
    let length = (4 * (context.len() as u64 + 1)) << 56;
    let half = context[2 * whole..].first().copied();
    Arch::new().dispatch(AllTokens { state, half, length, draws });
}

/// The same of some `tokens` alone, in ascending order, their ids below `vocab`.
pub(crate) fn some_tokens(state: SipState, context: &[TokenId], tokens: &[TokenId], vocab: usize) -> Vec<u32> {
    // where most are wanted, all cost less: the context is hashed once
    if 2 * tokens.len() >= vocab {
        let mut all = vec![0; vocab];
        all_tokens(state, context, &mut all);
        return if tokens.len() == vocab { all } else { tokens.iter().map(|token| all[*token as usize]).collect() };
    }
    let messages: Vec<TokenId> = tokens.iter().flat_map(|token| context.iter().chain([token])).copied().collect();
    let mut draws = vec![0; tokens.len()];
    windows(state, &messages, context.len() + 1, &mut draws);
    draws
}

struct AllTokens<'a> {
    state: SipState,
    /// The id that shares its word with the token.
    half: Option<TokenId>,
    length: u64,
    draws: &'a mut [u32],
}

impl WithSimd for AllTokens<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { state, half, length, draws } = self;
        match half {
            Some(id) => {
                for (token, draw) in (0_u32..).zip(draws) {
                    *draw = state.absorb(u64::from(id) | u64::from(token) << 32).absorb(length).finish();
                }
            }
            None => {
                for (token, draw) in (0_u32..).zip(draws) {
                    *draw = state.absorb(u64::from(token) | length).finish();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use siphasher::sip::SipHasher24;

    use super::*;

    /// Bit for bit the published function, as the `siphasher` crate computes it.
    #[test]
    fn every_width_and_length_is_siphash() {
        let key: [u8; 16] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let reference = SipHasher24::new_with_key(&key);
        let hash = |ids: &[TokenId]| {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            reference.hash(&bytes) as u32
        };
        let state = SipState::new(&key);
        for width in 1..=MAX_CONTEXT + 1 {
            for count in [0, 1, 7, 255, 256, 257, 600] {
                let ids: Vec<TokenId> =
                    (0..(count * width) as u32).map(|i| i.wrapping_mul(2_654_435_761) ^ 0x8000_0001).collect();
                let mut draws = vec![0; count];
                windows(state, &ids, width, &mut draws);
                let expected: Vec<u32> = ids.chunks(width).map(hash).collect();
                assert_eq!(draws, expected, "{count} windows of {width}");
            }
        }
        for width in 0..=MAX_CONTEXT {
            let context: Vec<TokenId> = (0..width as u32).map(|i| u32::MAX - 77 * i).collect();
            let mut draws = vec![0; 1_003];
            all_tokens(state, &context, &mut draws);
            let expected: Vec<u32> = (0..1_003).map(|token| hash(&[&context[..], &[token]].concat())).collect();
            assert_eq!(draws, expected, "after {width} tokens");
            for tokens in [&[][..], &[3, 7, 1_002], &(0..1_003).collect::<Vec<_>>(), &(2..1_003).collect::<Vec<_>>()] {
                let expected: Vec<u32> = tokens.iter().map(|token| expected[*token as usize]).collect();
                assert_eq!(some_tokens(state, &context, tokens, 1_003), expected, "{} after {width}", tokens.len());
            }
        }
    }
}
