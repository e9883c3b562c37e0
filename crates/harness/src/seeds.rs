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

    const SEED_OF_PROMPTS: u64 = 2168727932993969643;
}
