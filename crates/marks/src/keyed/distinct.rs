//! Which stretches of tokens were met before: an exact set that keeps no copies.

use oracle::TokenId;

/// Open addressing with linear probing over the places of names that the caller keeps. A slot is 0, or the name's 32-bit hash
/// above its place + 1; equal hashes are settled by the names themselves.
#[derive(Debug, Clone)]
pub(crate) struct Distinct {
    slots: Vec<u64>,
    len: usize,
}

/// Slots beyond this many are made only when they are needed: far fewer names than candidates may be distinct.
const FIRST_SLOTS: usize = 1 << 20;

impl Distinct {
    /// An empty set that will meet up to about `names` names.
    pub fn with_room_for(names: usize) -> Self {
        Self { slots: vec![0; slots_for(names).min(FIRST_SLOTS)], len: 0 }
    }

    /// Empties the set, which will meet up to about `names` names.
    pub fn clear(&mut self, names: usize) {
        self.slots.clear();
        self.slots.resize(slots_for(names).min(FIRST_SLOTS), 0);
        self.len = 0;
    }

    /// Whether `name`, whose hash is given, is in the set; `name_at` gives the names inserted so far by their places.
    pub fn contains<'a>(&self, name: &[TokenId], hash: u32, name_at: impl Fn(usize) -> &'a [TokenId]) -> bool {
        self.find(name, hash, name_at).is_err()
    }

    /// Puts in `name`, whose hash is given, and which the caller keeps at `place`; false if it was there. `name_at` as for `contains`.
    ///
    /// # Panics
    /// If the place does not fit 32 bits.
    pub fn insert<'a>(&mut self, name: &[TokenId], hash: u32, place: usize, name_at: impl Fn(usize) -> &'a [TokenId]) -> bool {
        let Ok(slot) = self.find(name, hash, name_at) else { return false };
        let place = u32::try_from(place + 1).expect("fewer than 2^32 names: they fill 16 GiB");
        self.slots[slot] = u64::from(hash) << 32 | u64::from(place);
        self.len += 1;
        if 3 * self.len > 2 * self.slots.len() {
            self.grow();
        }
        true
    }

    /// The free slot for `name`, or `Err` when it is in the set.
    #[inline]
    fn find<'a>(&self, name: &[TokenId], hash: u32, name_at: impl Fn(usize) -> &'a [TokenId]) -> Result<usize, ()> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            if (self.slots[at] >> 32) as u32 == hash && name_at(self.slots[at] as u32 as usize - 1) == name {
                return Err(());
            }
            at = (at + 1) & mask;
        }
        Ok(at)
    }

    fn grow(&mut self) {
        let mut slots = vec![0; 2 * self.slots.len()];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|slot| **slot != 0) {
            let mut at = (slot >> 32) as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }
}

fn slots_for(names: usize) -> usize {
    (names + names / 2 + 2).next_power_of_two()
}

/// Multiplications by odd constants (the golden ratio's, and one of the MurmurHash3 finaliser), folded: names that collide
/// cost time only.
#[inline]
pub(crate) fn hash(name: &[TokenId]) -> u32 {
    let mix = |sum: u64, id: &TokenId| (sum.rotate_left(23) ^ u64::from(*id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let sum = name.iter().fold(0, mix);
    ((sum ^ sum >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_holds_what_a_hash_set_holds() {
        for width in [0, 1, 2, 5] {
            for spread in [3, 40, 100_000] {
                let mut reference = HashSet::new();
                let mut set = Distinct::with_room_for(4);
                let mut names: Vec<TokenId> = Vec::new();
                for i in 0..3_000_u32 {
                    let name: Vec<TokenId> = (0..width).map(|k| i.wrapping_mul(2_654_435_761 + 2 * k) % spread).collect();
                    let name_at = |at: usize| &names[at * width as usize..][..width as usize];
                    assert_eq!(set.contains(&name, hash(&name), name_at), reference.contains(&name));
                    let fresh = set.insert(&name, hash(&name), reference.len(), name_at);
                    assert_eq!(fresh, reference.insert(name.clone()));
                    if fresh {
                        names.extend(name);
                    }
                }
                set.clear(2);
                let first = &names[..width as usize];
                assert!(!set.contains(first, hash(first), |_| panic!("the set is empty")));
            }
        }
    }
}
