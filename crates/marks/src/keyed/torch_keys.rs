//! Keys of lists that PyTorch draws, and what of a list no key decides.

use oracle::{Codec, ConfigError};
use rand::Rng;

use super::rules::Rules;
use super::torch_lists::ListSize;
use crate::key::Purpose;
use crate::{Key, ServedKey};

/// The integer that a server has, or else one that derives from the key for this `kind` of mark: odd, so that no two ids have one
/// product with it, and below 2^63, which a tensor holds.
pub(crate) fn of(key: &Key, kind: &'static str) -> u64 {
    match key.served() {
        Some(&[served, ..]) => served,
        _ => key.rng(Purpose::Kind(kind), 0).next_u64() >> 1 | 1,
    }
}

/// Refuses a served key under which all lists are one; `name` is where it was configured.
///
/// # Errors
/// A [`ConfigError`] that says so.
pub(crate) fn check(name: &str, key: ServedKey) -> Result<(), ConfigError> {
    if key.number().trailing_zeros() >= 32 {
        let instead = "use a key that is no multiple of 4294967296: the generator looks at the low 32 bits of a seed, and every list would \
                       be the same";
        return Err(ConfigError::new(name, "a multiple of 2^32", instead));
    }
    Ok(())
}

/// The lists' size: of `vocab` tokens, or else all of the codec's; `share` is the name of the green share and what it is.
///
/// # Errors
/// A [`ConfigError`] where a list would hold no token, or all.
pub(crate) fn size(vocab: Option<u32>, codec: &dyn Codec, share: (&str, f64)) -> Result<ListSize, ConfigError> {
    let size = ListSize::new(vocab.map_or(codec.vocab_size(), |vocab| vocab as usize), share.1);
    if !size.splits() {
        let what = format!("{}, which is {} of {} tokens", share.1, size.green, size.vocab);
        return Err(ConfigError::new(share.0, what, "use a share that leaves tokens on both sides, for example 0.25"));
    }
    Ok(size)
}

/// Leaves id 0 out of what is scored: its product with every key is 0, so that the list that it chooses says nothing of the key.
pub(crate) fn leave_out_zero(rules: &mut Rules) {
    if let Err(place) = rules.special.binary_search(&0) {
        rules.special.insert(place, 0);
    }
}
