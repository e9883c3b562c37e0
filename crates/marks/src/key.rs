use std::fmt;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The secret behind one mark: 32 bytes, derived by the caller from the owner's secret.
///
/// Everything keyed in this crate is a pure function of a key. Nothing prints it: the debug form is redacted, and it
/// has no serialised form, so that no record or error can carry it by accident.
///
/// A key has a public name beside its bytes, by which artifacts and processors are named: which commitment, which label, which
/// repetition it was derived from. Keys of equal names are equal.
///
/// A server may have keys of its own already, integers that its operator chose. [`Key::serving`] holds them beside the bytes: a scheme
/// in a server's form takes them where they are, and derives its own where they are not, as for decoys.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    name: String,
    served: Option<Arc<[u64]>>,
}

impl Key {
    /// A key from its bytes, under a public name.
    pub fn new(bytes: [u8; 32], name: impl Into<String>) -> Self {
        Self { bytes, name: name.into(), served: None }
    }

    /// Its public name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of one account, derived from this one's own random stream.
    pub fn of_account(&self, account: u32) -> Self {
        let mut bytes = [0; 32];
        self.rng(Purpose::Account, account).fill_bytes(&mut bytes);
        Self::new(bytes, format!("{}, account {account}", self.name))
    }

    /// The same key where a server already has `keys` of its own. The public name commits to them by a hash that this key's bytes enter,
    /// so that nobody without these can try out short ones.
    #[must_use]
    pub fn serving(&self, keys: &[u64]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"served keys");
        hasher.update(self.bytes);
        keys.iter().for_each(|key| hasher.update(key.to_be_bytes()));
        let commitment: String = hasher.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { bytes: self.bytes, name: format!("{}, served keys {commitment}", self.name), served: Some(keys.into()) }
    }

    /// The keys that a server has, where they are given.
    pub fn served(&self) -> Option<&[u64]> {
        self.served.as_deref()
    }

    /// The one key that a server has, or else one that derives from the bytes, uniform over 64 bits.
    pub(crate) fn served_or_derived(&self, purpose: Purpose) -> u64 {
        match self.served() {
            Some(&[key, ..]) => key,
            _ => self.rng(purpose, 0).next_u64(),
        }
    }

    /// A SipHash key for one purpose.
    pub(crate) fn sip_key(&self, purpose: Purpose) -> [u8; 16] {
        let mut sip_key = [0; 16];
        self.rng(purpose, 0).fill_bytes(&mut sip_key);
        sip_key
    }

    /// The bytes, for whoever derives further keys or a commitment from them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Decoy key number `index` of the family named by `seed` (methods 0.6): uniform like a real key, and independent of
    /// every real key, because it depends on `seed` and `index` only.
    pub fn decoy(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self::new(bytes, format!("decoy {index} of {seed}"))
    }

    /// The random stream of this key for one purpose and one index; distinct (purpose, index) pairs are independent.
    pub(crate) fn rng(&self, purpose: Purpose, index: u32) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.bytes);
        rng.set_stream((u64::from(purpose.number()) << 32) | u64::from(index));
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
    GreenList,
    /// Secrets of one canary template or rare prompt (index: which of them).
    CanarySecrets,
    /// Random prompts of implanted keys and served canaries.
    ProbePrompts,
    /// The candidate answers of implanted keys.
    ProbeAnswerSet,
    /// The answers of implanted keys.
    ProbeAnswers,
    /// The key of one account (index: the account).
    Account,
    /// The one keyed function of a kind of mark, by the kind's name: a new mark needs no number of its own here.
    Kind(&'static str),
}

impl Purpose {
    const fn number(self) -> u32 {
        match self {
            Self::GreenList => 1,
            Self::CanarySecrets => 2,
            Self::ProbePrompts => 3,
            Self::ProbeAnswerSet => 4,
            Self::ProbeAnswers => 5,
            Self::Account => 6,
            Self::Kind(name) => {
                // FNV-1a, and the top bit that no number above has
                let (bytes, mut hash, mut at) = (name.as_bytes(), 0x811c_9dc5_u32, 0);
                while at < bytes.len() {
                    hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
                    at += 1;
                }
                hash | 1 << 31
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_form_tells_nothing() {
        let key = Key::new([0xab; 32], "x");
        assert_eq!(format!("{key:?}"), "Key(redacted)");
    }

    #[test]
    fn a_served_key_is_taken_as_it_is_and_does_not_show() {
        let key = Key::new([7; 32], "owner");
        let served = key.serving(&[12_345]);
        assert_eq!((served.served(), key.served()), (Some(&[12_345][..]), None));
        assert_eq!(served.served_or_derived(Purpose::Kind("x")), 12_345);
        assert_eq!(key.served_or_derived(Purpose::Kind("x")), key.rng(Purpose::Kind("x"), 0).next_u64());
        // the name tells served keys apart, and needs the owner's bytes
        assert_ne!(served.name(), key.serving(&[12_346]).name());
        assert_ne!(served.name(), Key::new([8; 32], "owner").serving(&[12_345]).name());
        assert!(!served.name().contains("12345") && !format!("{served:?}").contains("12345"));
        // what derives from it is the owner's own
        assert_eq!(served.of_account(3).served(), None);
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
            first(Purpose::Account, 0),
        ];
        drawn.push(first(crate::mark_rate::MARKED, 0));
        drawn.extend(crate::MarkEntry::KINDS.iter().map(|kind| first(Purpose::Kind(kind), 0)));
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 8 + crate::MarkEntry::KINDS.len());
    }
}
