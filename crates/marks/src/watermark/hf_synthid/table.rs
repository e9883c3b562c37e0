//! Bits of n-grams: a linear hash mod 2^64, and a table of random bits (served-watermarks 8).

use std::sync::Arc;

use oracle::TokenId;

use crate::keyed::torch::TorchRng;

/// One more number in a hash.
#[inline]
pub(super) fn fold(hash: u64, number: u64) -> u64 {
    hash.wrapping_add(number).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)
}

/// The hash of a context.
pub(super) fn context(ids: &[TokenId]) -> u64 {
    ids.iter().fold(1, |hash, id| fold(hash, u64::from(*id)))
}

/// The hash of an n-gram: a context and a token.
pub(super) fn ngram(ids: &[TokenId]) -> u64 {
    context(ids)
}

/// The table that bits are looked up in.
pub(super) struct Table {
    words: Box<[u64]>,
    size: u32,
    ones: u64,
}

impl Table {
    /// `randint(0, 2, (size,))` of PyTorch's CPU generator.
    pub fn new(seed: u64, size: u32) -> Self {
        let mut words = vec![0; (size as usize).div_ceil(64)];
        for (at, bit) in TorchRng::new(seed as u32).bits(size as usize).into_iter().enumerate() {
            words[at / 64] |= u64::from(bit) << (at % 64);
        }
        let ones = words.iter().map(|word: &u64| u64::from(word.count_ones())).sum();
        Self { words: words.into(), size, ones }
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many bits are 1.
    pub fn ones(&self) -> u64 {
        self.ones
    }

    /// The share of ones.
    pub fn rate(&self) -> f64 {
        self.ones as f64 / f64::from(self.size)
    }

    /// All that bits see of the hash of an n-gram: the rest of a power of two, of a hash that is linear in everything; else the hash.
    pub fn input(&self, hash: u64) -> u64 {
        if self.size.is_power_of_two() { hash % u64::from(self.size) } else { hash }
    }

    /// The bit of a hash, which counts as a number with a sign.
    #[inline]
    fn at(&self, hash: u64) -> u64 {
        let place = if self.size.is_power_of_two() {
            hash as usize & (self.size as usize - 1)
        } else {
            (hash as i64).rem_euclid(i64::from(self.size)) as usize
        };
        self.words[place / 64] >> (place % 64) & 1
    }
}

/// Bits under the keys of all layers.
pub(super) struct Bits {
    table: Arc<Table>,
    keys: Vec<u64>,
}

impl Bits {
    /// One layer for each of `keys`, at most 64.
    pub fn new(table: Arc<Table>, keys: Vec<u64>) -> Self {
        Self { table, keys }
    }

    pub fn layers(&self) -> usize {
        self.keys.len()
    }

    /// The bits of the n-gram behind `hash`, the first layer's the lowest.
    #[inline]
    pub fn of(&self, hash: u64) -> u64 {
        self.keys.iter().rev().fold(0, |bits, key| bits << 1 | self.table.at(fold(hash, *key)))
    }
}
