//! One root seed, split by purpose.

use sha2::{Digest, Sha256};

/// The seed of one purpose within the repetition `seed`: the first eight bytes of
/// SHA-256(version || len(purpose) || purpose || seed), little-endian. Distinct purposes give unrelated streams, and a
/// new purpose changes no other.
pub fn seed_for(seed: u64, purpose: &str) -> u64 {
    let mut digest = Sha256::new();
    digest.update(b"birthmark seed 1");
    digest.update((purpose.len() as u64).to_le_bytes());
    digest.update(purpose.as_bytes());
    digest.update(seed.to_le_bytes());
    let hash = digest.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

/// A number that looks random for every (seed, index): SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
/// Generators*, OOPSLA 2014).
pub fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_purpose_and_root_and_stay_as_they_are() {
        assert_ne!(seed_for(1, "prompts"), seed_for(1, "audit"));
        assert_ne!(seed_for(1, "prompts"), seed_for(2, "prompts"));
        // hashlib.sha256(b"birthmark seed 1" + (7).to_bytes(8, "little") + b"prompts" + (1).to_bytes(8, "little")).digest()[:8]
        assert_eq!(seed_for(1, "prompts"), SEED_OF_PROMPTS);
    }

    #[test]
    fn mixed_numbers_are_those_of_splitmix() {
        // the first outputs of the reference implementation seeded with 1234567
        assert_eq!([0, 1, 2].map(|i| mixed(1_234_567, i)), [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    const SEED_OF_PROMPTS: u64 = 2168727932993969643;
}
