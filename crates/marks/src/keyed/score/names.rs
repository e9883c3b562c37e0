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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_as_they_come() {
        let mut numbers = Numbers::<u128>::default();
        assert_eq!([7, u128::MAX, 7, 0, u128::MAX].map(|name| numbers.of(name)), [0, 1, 0, 2, 1]);
    }
}
