//! vLLM's keyed function, version `philox4x32-10-v1` (served watermarks, 1.3): a context is folded into four words, and these with the
//! candidate give a word for each stream.

use oracle::TokenId;
use sha2::{Digest, Sha256};

use crate::keyed::philox::{self, Wanted, philox};
use crate::keyed::rules::NO_TOKEN;

/// Units that are folded before they are drawn.
const BLOCK: usize = 64;

/// The stream of Gumbel and red-green, the only one in a release.
pub(crate) const PLAIN: u64 = 0;

/// The keyed function under one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prf {
    key: [u32; 2],
}

impl Prf {
    pub fn new(key: u64) -> Self {
        Self { key: halves(key) }
    }

    /// The four words that stand for `context`; a token that is not there is -1.
    pub fn fold(&self, context: &[TokenId]) -> [u32; 4] {
        const { assert!(NO_TOKEN == u32::MAX, "-1 as a word") };
        let mut state = [0x574D_4358, context.len() as u32, 0, 0];
        for (block, ids) in context.chunks(4).enumerate() {
            // where the window has ended, -1 less the place in the block
            let word = |place: usize| ids.get(place).copied().unwrap_or(u32::MAX - place as u32);
            let counter = std::array::from_fn(|place| state[place] ^ word(place));
            state = philox(counter, [self.key[0] ^ (4 * block as u32), self.key[1]]);
        }
        state
    }

    /// Where the words of the candidates after a folded context come from: the last three words of the counter, and the key.
    fn source(&self, state: [u32; 4], stream: u64) -> ([u32; 3], [u32; 2]) {
        let [low, high] = halves(stream);
        ([state[0], state[1], state[2]], [self.key[0] ^ state[3] ^ high, self.key[1] ^ 0x574D_544B ^ low])
    }

    /// The words of the candidates 0, 1, ... after `context`.
    pub fn all_words(&self, context: &[TokenId], stream: u64, words: &mut [u32]) {
        let (tail, key) = self.source(self.fold(context), stream);
        philox::all_words(tail, key, words);
    }

    /// The words of some `candidates` after `context`.
    pub fn words(&self, context: &[TokenId], candidates: &[TokenId], stream: u64, words: &mut [u32]) {
        let (tail, key) = self.source(self.fold(context), stream);
        philox::words(|at| wanted(tail, key, candidates[at]), words);
    }

    /// The words of units (`words.len()`, `width`), each a context and then its candidate.
    pub fn unit_words(&self, windows: &[TokenId], width: usize, stream: u64, words: &mut [u32]) {
        assert_eq!(windows.len(), words.len() * width, "windows of {width} ids");
        let mut sources = [([0; 3], [0; 2]); BLOCK];
        for (windows, words) in windows.chunks(BLOCK * width).zip(words.chunks_mut(BLOCK)) {
            let unit = |at: usize| windows[at * width..][..width].split_last().expect("a unit has a candidate");
            for (at, source) in sources[..words.len()].iter_mut().enumerate() {
                *source = self.source(self.fold(unit(at).1), stream);
            }
            philox::words(|at| wanted(sources[at].0, sources[at].1, *unit(at).0), words);
        }
    }
}

fn wanted(tail: [u32; 3], key: [u32; 2], candidate: TokenId) -> Wanted {
    Wanted { counter: [candidate / 4, tail[0], tail[1], tail[2]], key, word: candidate % 4 }
}

/// Low and high half.
fn halves(wide: u64) -> [u32; 2] {
    [wide as u32, (wide >> 32) as u32]
}

/// The number in (0, 1) of a word: the 32-bit float just below (m + 1) / 2^24, m the word's upper 24 bits. It is a float of 24 bits, so
/// that 1 - u has no rounding either.
#[inline(always)]
pub(crate) fn uniform(word: u32) -> f32 {
    let above = ((word >> 8) + 1) as f32 * (1.0 / 16_777_216.0);
    f32::from_bits(above.to_bits() - 1)
}

/// How many of the 2^24 mantissas have a `uniform` below `gamma`.
pub(crate) fn mantissas_below(gamma: f32) -> u32 {
    let (mut low, mut high) = (0, 1 << 24);
    while low < high {
        let middle = (low + high) / 2;
        if uniform(middle << 8) < gamma { low = middle + 1 } else { high = middle }
    }
    low
}

/// The key that derives from `key` under `label`: the first 8 bytes of a SHA-256.
pub(crate) fn derived(label: &str, key: u64) -> u64 {
    let digest = Sha256::new().chain_update(label).chain_update(key.to_be_bytes()).finalize();
    digest.iter().take(8).fold(0, |derived, byte| derived << 8 | u64::from(*byte))
}
