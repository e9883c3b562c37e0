//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011), many counters at once.
//!
//! Ten rounds of straight-line integer arithmetic on arrays, which the compiler turns into the vector instructions that `pulp` finds at run
//! time (hence everything is inlined). Bits do not depend on these.

use pulp::{Arch, Simd, WithSimd};

/// Counters that are worked on together.
const LANES: usize = 16;

/// One word of each of them.
type Lane = [u32; LANES];

/// Ten rounds on each lane's counter under its key.
#[inline(always)]
fn rounds(mut counter: [Lane; 4], mut key: [Lane; 2]) -> [Lane; 4] {
    for _ in 0..10 {
        let mut next = [[0; LANES]; 4];
        for lane in 0..LANES {
            let first = 0xD251_1F53 * u64::from(counter[0][lane]);
            let second = 0xCD9E_8D57 * u64::from(counter[2][lane]);
            next[0][lane] = (second >> 32) as u32 ^ counter[1][lane] ^ key[0][lane];
            next[1][lane] = second as u32;
            next[2][lane] = (first >> 32) as u32 ^ counter[3][lane] ^ key[1][lane];
            next[3][lane] = first as u32;
        }
        counter = next;
        for (lanes, step) in key.iter_mut().zip([0x9E37_79B9, 0xBB67_AE85]) {
            *lanes = lanes.map(|lane| lane.wrapping_add(step));
        }
    }
    counter
}

/// The four words of one counter under `key`.
pub(crate) fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (first, second) = (0xD251_1F53 * u64::from(a), 0xCD9E_8D57 * u64::from(c));
        (a, b, c, d) = ((second >> 32) as u32 ^ b ^ k0, second as u32, (first >> 32) as u32 ^ d ^ k1, first as u32);
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [a, b, c, d]
}

/// Every word of the counters (0, `tail`), (1, `tail`), ... under `key`, four of each, until `words` is full: what a server gives the
/// candidates 0, 1, ...
pub(crate) fn all_words(tail: [u32; 3], key: [u32; 2], words: &mut [u32]) {
    Arch::new().dispatch(AllWords { tail, key, words });
}

struct AllWords<'a> {
    tail: [u32; 3],
    key: [u32; 2],
    words: &'a mut [u32],
}

impl WithSimd for AllWords<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { tail, key, words } = self;
        for (at, words) in words.chunks_mut(4 * LANES).enumerate() {
            let mut counter = [[0; LANES], [tail[0]; LANES], [tail[1]; LANES], [tail[2]; LANES]];
            for (lane, block) in counter[0].iter_mut().enumerate() {
                *block = (at * LANES + lane) as u32;
            }
            let out = rounds(counter, key.map(|word| [word; LANES]));
            for (lane, words) in words.chunks_mut(4).enumerate() {
                for (word, column) in words.iter_mut().zip(&out) {
                    *word = column[lane];
                }
            }
        }
    }
}

/// One counter, its key, and which of its four words is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub counter: [u32; 4],
    pub key: [u32; 2],
    pub word: u32,
}

/// The wanted word of each of `wanted`, which are as many as `words`.
pub(crate) fn words(wanted: impl Fn(usize) -> Wanted, words: &mut [u32]) {
    Arch::new().dispatch(Words { wanted, words });
}

struct Words<'a, W> {
    wanted: W,
    words: &'a mut [u32],
}

impl<W: Fn(usize) -> Wanted> WithSimd for Words<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { wanted, words } = self;
        for (at, words) in words.chunks_mut(LANES).enumerate() {
            let (mut counter, mut key, mut which) = ([[0; LANES]; 4], [[0; LANES]; 2], [0; LANES]);
            for (lane, which) in which.iter_mut().enumerate().take(words.len()) {
                let one = wanted(at * LANES + lane);
                (0..4).for_each(|word| counter[word][lane] = one.counter[word]);
                (0..2).for_each(|word| key[word][lane] = one.key[word]);
                *which = one.word;
            }
            let out = rounds(counter, key);
            for (lane, word) in words.iter_mut().enumerate() {
                *word = out[which[lane] as usize & 3][lane];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of Random123, the authors' library: philox4x32 with 10 rounds.
    #[test]
    fn known_answers() {
        let ones = u32::MAX;
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn many_at_once_are_the_same_as_one_by_one() {
        for count in [0, 1, 3, 4, 63, 64, 65, 517] {
            let (tail, key) = ([7, 0xffff_ffff, 3], [0x8000_0001, 12]);
            let mut out = vec![0; count];
            all_words(tail, key, &mut out);
            let one = |at: usize| philox([at as u32 / 4, tail[0], tail[1], tail[2]], key)[at % 4];
            assert_eq!(out, (0..count).map(one).collect::<Vec<_>>());
            let wanted = |at: usize| {
                let at = at as u32;
                Wanted { counter: [at, 5 * at, !at, 9], key: [at ^ 77, at << 20], word: at * 3 % 4 }
            };
            words(wanted, &mut out);
            let one = |at: usize| philox(wanted(at).counter, wanted(at).key)[wanted(at).word as usize];
            assert_eq!(out, (0..count).map(one).collect::<Vec<_>>());
        }
    }
}
