use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The secret behind one mark: 32 bytes, derived by the caller from the owner's secret.
///
/// Everything keyed in this crate is a pure function of a key. Nothing prints it: the debug form is redacted, and it
/// has no serialised form, so that no record or error can carry it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever derives further keys or a commitment from them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Decoy key number `index` of the family named by `seed` (methods 0.6): uniform like a real key, and independent of
    /// every real key, because it depends on `seed` and `index` only.
    pub fn decoy(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The random stream of this key for one purpose and one index; distinct (purpose, index) pairs are independent.
    pub(crate) fn rng(&self, purpose: Purpose, index: u32) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(((purpose as u64) << 32) | u64::from(index));
        rng
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// What a key's random stream is for. The numbers are part of every key's meaning: changing one changes all marks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// SipHash key of KGW's green lists.
    GreenList = 1,
    /// Secrets of one canary template (index: the template).
    CanarySecrets = 2,
    /// Prompts of implanted keys.
    ProbePrompts = 3,
    /// The candidate answers of implanted keys.
    ProbeAnswerSet = 4,
    /// The answers of implanted keys.
    ProbeAnswers = 5,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_form_tells_nothing() {
        let key = Key::from_bytes([0xab; 32]);
        assert_eq!(format!("{key:?}"), "Key(redacted)");
    }

    #[test]
    fn decoys_are_distinct_and_reproducible() {
        assert_eq!(Key::decoy(1, 2), Key::decoy(1, 2));
        let mut keys: Vec<_> = (0..3).flat_map(|seed| (0..500).map(move |i| *Key::decoy(seed, i).bytes())).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 1500);
    }

    #[test]
    fn purposes_and_indices_give_distinct_streams() {
        let key = Key::decoy(3, 0);
        let first = |purpose, index| key.rng(purpose, index).next_u64();
        let mut drawn = vec![
            first(Purpose::GreenList, 0),
            first(Purpose::CanarySecrets, 0),
            first(Purpose::CanarySecrets, 1),
            first(Purpose::ProbePrompts, 0),
            first(Purpose::ProbeAnswerSet, 0),
            first(Purpose::ProbeAnswers, 0),
        ];
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 6);
    }
}
