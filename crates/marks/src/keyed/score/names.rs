//! Numbers for names, in the order in which they come.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Gives each name a number: 0, 1, 2, ...
#[derive(Default)]
pub(super) struct Numbers<N = u128>(HashMap<N, u32, BuildHasherDefault<Folded>>);

impl<N: Eq + Hash> Numbers<N> {
    /// The number of a name.
    pub fn of(&mut self, name: N) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name).or_insert(next)
    }
}

/// A multiplication by an odd constant, folded: most of the work is looking up, and names that collide cost time only.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let product = u128::from(self.0 ^ u64::from_le_bytes(word)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (product >> 64) as u64 ^ product as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Pairs by candidate, for names that are equal only where the candidates are.
#[derive(Debug, Default)]
pub(super) struct ByCandidate {
    /// Pairs of one candidate after those of another, those of one in the order of their numbers.
    pairs: Vec<u32>,
    /// Where each candidate's end.
    ends: Vec<usize>,
}

impl ByCandidate {
    /// Of the candidates of pairs 0, 1, 2, ...
    pub fn of(candidates: &[u32]) -> Self {
        let mut pairs: Vec<u32> = (0..candidates.len() as u32).collect();
        pairs.sort_by_key(|&pair| candidates[pair as usize]);
        let candidate = |pair: u32| candidates[pair as usize];
        let ends =
            (1..=pairs.len()).filter(|&at| at == pairs.len() || candidate(pairs[at]) != candidate(pairs[at - 1])).collect();
        Self { pairs, ends }
    }

    /// The number of each pair's name, as [`Numbers`] gives them. Each candidate's names are looked up in a table of their own, which the
    /// processor's cache holds, where one of all names would not fit.
    pub fn numbered(&self, names: &[u128]) -> Vec<u32> {
        // first the pair that had the name first, then the number of that pair
        let mut numbers = vec![NONE; names.len()];
        let (mut slots, mut begin): (Vec<u32>, usize) = (Vec::new(), 0);
        for &end in &self.ends {
            let bits = (2 * (end - begin)).next_power_of_two().ilog2();
            slots.clear();
            slots.resize(1 << bits, NONE);
            for &pair in &self.pairs[begin..end] {
                let name = names[pair as usize];
                let mut slot = slot_of(name, bits);
                numbers[pair as usize] = loop {
                    match slots[slot] {
                        NONE => {
                            slots[slot] = pair;
                            break pair;
                        }
                        first if names[first as usize] == name => break first,
                        _ => slot = (slot + 1) & (slots.len() - 1),
                    }
                };
            }
            begin = end;
        }
        let mut next = 0;
        for pair in 0..numbers.len() {
            let first = numbers[pair] as usize;
            if first == pair {
                numbers[pair] = next;
                next += 1;
            } else {
                numbers[pair] = numbers[first];
            }
        }
        numbers
    }
}

/// No pair.
const NONE: u32 = u32::MAX;

/// Where to look first for a name among 2^`bits` slots, at least two.
fn slot_of(name: u128, bits: u32) -> usize {
    let folded = (name as u64 ^ (name >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> (u64::BITS - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_by_candidate_as_they_are_all_together() {
        let mut word = 1_u64;
        let mut below = |n: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 33) % n
        };
        for pairs in [0, 1, 2, 50, 3_000] {
            let candidates: Vec<u32> = (0..pairs).map(|_| below(40) as u32).collect();
            // few seeds, some of them alike in their low or high half
            let seed = |n: u64| u128::from(n % 9) << 96 | u128::from(n / 9) << 32;
            let names: Vec<u128> = candidates.iter().map(|candidate| seed(below(80)) | u128::from(*candidate)).collect();
            let mut numbers = Numbers::<u128>::default();
            let expected: Vec<u32> = names.iter().map(|name| numbers.of(*name)).collect();
            assert_eq!(ByCandidate::of(&candidates).numbered(&names), expected, "{pairs} pairs");
        }
    }

    #[test]
    fn names_are_numbered_as_they_come() {
        let mut numbers = Numbers::<u128>::default();
        assert_eq!([7, u128::MAX, 7, 0, u128::MAX].map(|name| numbers.of(name)), [0, 1, 0, 2, 1]);
    }
}
