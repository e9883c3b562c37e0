//! PyTorch's generator on the CPU, to the bit (methods 0.10): what marks of transformers and of the KGW authors draw their lists and
//! tables with. A generator on another device gives other numbers.
//!
//! MT19937 (Matsumoto and Nishimura, *Mersenne Twister*, ACM TOMACS 8, 1998), seeded with the low 32 bits of the seed; `randperm` is a
//! Fisher-Yates shuffle that goes forward. Lists are the beginnings of permutations, most of a generator's state is never
//! looked at then, and whether one token is in a list needs no list. So nothing is computed before it is asked for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use oracle::TokenId;
use pulp::{Arch, Simd, WithSimd};

/// Words of the generator's state.
const WORDS: usize = 624;

/// How far the word that is mixed in lies ahead.
const AHEAD: usize = 397;

/// PyTorch's CPU generator after `manual_seed`; of several seeds side by side, whose long chains of multiplications a processor then works
/// on at once.
#[derive(Clone)]
pub(crate) struct TorchRng<const LANES: usize = 1> {
    words: [[u32; LANES]; WORDS],
    /// Words that are seeded so far.
    seeded: usize,
    /// The next word that is drawn.
    at: usize,
}

/// Seeds that are drawn from side by side where many are asked for.
const SIDE_BY_SIDE: usize = 16;

impl<const LANES: usize> TorchRng<LANES> {
    /// Seeded with `seeds`, which are the low 32 bits of PyTorch's.
    fn of(seeds: [u32; LANES]) -> Self {
        let mut words = [[0; LANES]; WORDS];
        words[0] = seeds;
        Self { words, seeded: 1, at: 0 }
    }

    /// Seeded anew.
    fn again(&mut self, seeds: [u32; LANES]) {
        self.words[0] = seeds;
        (self.seeded, self.at) = (1, 0);
    }

    /// The next 32 random bits of each.
    #[inline(always)]
    fn next(&mut self) -> [u32; LANES] {
        if self.seeded < WORDS {
            self.seed_beyond();
        }
        let (at, words) = (self.at, &mut self.words);
        self.at = if at + 1 == WORDS { 0 } else { at + 1 };
        let ahead = if at + AHEAD < WORDS { at + AHEAD } else { at + AHEAD - WORDS };
        let (here, next, ahead) = (words[at], words[self.at], words[ahead]);
        let drawn = std::array::from_fn(|lane| {
            let joined = here[lane] & 0x8000_0000 | next[lane] & 0x7fff_ffff;
            ahead[lane] ^ joined >> 1 ^ (joined & 1).wrapping_neg() & 0x9908_b0df
        });
        words[at] = drawn;
        drawn.map(|word| {
            let word = word ^ word >> 11;
            let word = word ^ word << 7 & 0x9d2c_5680;
            let word = word ^ word << 15 & 0xefc6_0000;
            word ^ word >> 18
        })
    }

    /// Seeds the words that the next draw needs.
    #[inline(always)]
    fn seed_beyond(&mut self) {
        // words before `at` are drawn already; the seeding of a word needs the seed of the one before, which lies ahead of them
        let end = (self.at + AHEAD + 1).min(WORDS);
        let mut last = self.words[self.seeded - 1];
        for (at, words) in self.words[..end].iter_mut().enumerate().skip(self.seeded) {
            for word in &mut last {
                *word = 1_812_433_253_u32.wrapping_mul(*word ^ *word >> 30).wrapping_add(at as u32);
            }
            *words = last;
        }
        self.seeded = self.seeded.max(end);
    }

    /// Whether each of `items` is among the first `count` of its seed's `randperm(n)`: follows those items alone.
    #[inline(always)]
    fn heads_have(&mut self, n: u32, count: usize, items: [u32; LANES]) -> [bool; LANES] {
        let (mut places, mut found) = (items, [0_u32; LANES]);
        for at in 0..(count as u32).min(n.saturating_sub(1)) {
            let (drawn, left) = (self.next(), Modulus::new(n - at));
            for ((place, found), drawn) in places.iter_mut().zip(&mut found).zip(drawn) {
                let other = at + left.rest_of(drawn);
                *found |= u32::from(other == *place);
                *place = if at == *place { other } else { *place };
            }
        }
        // all but one were picked
        std::array::from_fn(|lane| found[lane] == 1 || places[lane] < n && count >= n as usize)
    }
}

/// Rests of divisions by one number below 2^31, in a form that becomes vector instructions.
#[derive(Clone, Copy)]
struct Modulus {
    by: u32,
    inverse: f64,
}

impl Modulus {
    #[inline(always)]
    fn new(by: u32) -> Self {
        Self { by, inverse: 1.0 / f64::from(by) }
    }

    /// `number % by`: the quotient is rounded to the nearest whole number, which is the right one or the one above.
    #[inline(always)]
    fn rest_of(self, number: u32) -> u32 {
        // of numbers from 2^52 on the lowest bits are whole numbers
        const WHOLE: f64 = (1_u64 << 52) as f64;
        let quotient = (f64::from(number) * self.inverse + WHOLE).to_bits() as u32;
        let rest = number.wrapping_sub(quotient.wrapping_mul(self.by));
        rest.wrapping_add(if (rest as i32) < 0 { self.by } else { 0 })
    }
}

impl TorchRng {
    /// Seeded with `seed`, which are the low 32 bits of PyTorch's.
    pub fn new(seed: u32) -> Self {
        Self::of([seed])
    }

    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        self.next()[0]
    }

    /// Where the shuffle of `n` items puts the one that comes next, item number `at`: one of `at..n`.
    #[inline]
    fn other(&mut self, at: u32, n: u32) -> u32 {
        at + self.next_u32() % (n - at)
    }

    /// The first `count` of `randperm(n)`, at most all.
    pub fn randperm_head(mut self, n: u32, count: usize) -> Vec<u32> {
        let count = (n as usize).min(count);
        if count < n as usize / 64 {
            // few of many: only places that were swapped are kept
            let mut moved: HashMap<u32, u32> = HashMap::with_capacity(2 * count);
            let pick = |at: usize| {
                let (at, other) = (at as u32, self.other(at as u32, n));
                let here = moved.get(&at).copied().unwrap_or(at);
                moved.insert(other, here).filter(|_| other != at).unwrap_or(if other == at { here } else { other })
            };
            return (0..count).map(pick).collect();
        }
        let mut items: Vec<u32> = (0..n).collect();
        // the last item is left where it is
        for at in 0..count.min((n as usize).saturating_sub(1)) {
            let other = self.other(at as u32, n);
            items.swap(at, other as usize);
        }
        items.truncate(count);
        items
    }

    /// The next number of `rand` in float32.
    #[cfg(test)]
    fn next_f32(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0
    }

    /// `randint(0, 2, (n,))`, one bit a word.
    pub fn bits(mut self, n: usize) -> Vec<bool> {
        (0..n).map(|_| self.next_u32() & 1 == 1).collect()
    }
}

/// For each seed and item, whether the item is among the first `count` of the seed's `randperm(n)`.
pub(crate) fn randperm_heads_have(n: u32, count: usize, asked: &[(u32, u32)]) -> Vec<bool> {
    let mut have = Vec::with_capacity(asked.len());
    Arch::new().dispatch(HeadsHave { n, count, asked, have: &mut have });
    have
}

/// [`randperm_heads_have`] by the vector instructions that there are.
struct HeadsHave<'a> {
    n: u32,
    count: usize,
    asked: &'a [(u32, u32)],
    have: &'a mut Vec<bool>,
}

impl WithSimd for HeadsHave<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let mut lanes = TorchRng::of([0; SIDE_BY_SIDE]);
        for few in self.asked.chunks(SIDE_BY_SIDE) {
            // lanes that are left over repeat the last
            let of = |lane: usize| few[lane.min(few.len() - 1)];
            lanes.again(std::array::from_fn(|lane| of(lane).0));
            let found = lanes.heads_have(self.n, self.count, std::array::from_fn(|lane| of(lane).1));
            self.have.extend_from_slice(&found[..few.len()]);
        }
    }
}

/// A seed as `manual_seed` takes it, mod 2^64 - 1 as both codes hand it over; its low 32 bits are what counts.
pub(crate) fn low_bits(seed: i128) -> u32 {
    seed.rem_euclid((1 << 64) - 1) as u32
}

/// Entries of the hash tables of the KGW authors and of transformers.
pub(crate) const TABLE_SIZE: u32 = 1_000_003;

/// Seed of the one table of the KGW authors.
const AUTHORS_TABLE: u32 = 2_971_215_073;

/// The hash of an id: a number of the permutation, plus 1.
#[derive(Clone)]
pub(crate) struct Table(Arc<[u32]>);

impl Table {
    /// The KGW authors' table, made once a process.
    pub fn of_the_authors() -> Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| Self(TorchRng::new(AUTHORS_TABLE).randperm_head(TABLE_SIZE, TABLE_SIZE as usize).into())).clone()
    }

    /// The table of a seed as far as ids below `vocab` look into it.
    pub fn of_ids(seed: u32, vocab: usize) -> Self {
        Self(TorchRng::new(seed).randperm_head(TABLE_SIZE, vocab.clamp(1, TABLE_SIZE as usize)).into())
    }

    /// The hash of a number, which may be negative where a product overflowed.
    pub fn of(&self, number: i64) -> i64 {
        // an id beyond what was made is no id of the vocabulary
        self.0.get(number.rem_euclid(i64::from(TABLE_SIZE)) as usize).map_or(0, |entry| i64::from(*entry)) + 1
    }

    /// The hash of an id.
    pub fn of_id(&self, id: TokenId) -> i64 {
        self.of(i64::from(id))
    }
}

#[cfg(test)]
mod tests;
