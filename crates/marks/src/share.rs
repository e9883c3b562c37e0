//! A keyed share of all questions.

use oracle::TokenId;
use siphasher::sip::SipHasher24;

use crate::Key;
use crate::key::Purpose;

/// A share of all questions, chosen by a key: a question belongs to it or not by its account and its whole prompt, and by nothing else.
///
/// Not by its place in the stream, so that an account which asks again is treated as before: whoever asks twice learns nothing by
/// comparing. Not by the prompt alone, so that no prompt stays outside for everybody.
pub(crate) struct KeyedShare {
    hasher: SipHasher24,
    share: f64,
}

impl KeyedShare {
    /// The share of `key` for `purpose`, from 0 to 1.
    pub fn new(key: &Key, purpose: Purpose, share: f64) -> Self {
        Self { hasher: SipHasher24::new_with_key(&key.sip_key(purpose)), share }
    }

    /// Whether the question of `account` with this prompt (token ids) belongs to it.
    pub fn holds(&self, account: u32, prompt: &[TokenId]) -> bool {
        self.share >= 1.0 || uniform(&self.hasher, &[], account, prompt) < self.share
    }
}

/// A number from 0 to below 1 by SipHash-2-4 of `words`, then `account`, then `prompt`, all little-endian.
pub(crate) fn uniform(hasher: &SipHasher24, words: &[u64], account: u32, prompt: &[TokenId]) -> f64 {
    let mut bytes = Vec::with_capacity(8 * words.len() + 4 + 4 * prompt.len());
    words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    bytes.extend(account.to_le_bytes());
    prompt.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
    (hasher.hash(&bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_that_large_and_fixed_by_key_account_and_prompt() {
        let prompts: Vec<Vec<TokenId>> = (0..4_000).map(|i| vec![1, i % 63, i / 63]).collect();
        let held = |key: &Key, share: f64, account: u32| -> Vec<bool> {
            let share = KeyedShare::new(key, Purpose::Kind("a share"), share);
            prompts.iter().map(|prompt| share.holds(account, prompt)).collect()
        };
        let count = |held: &[bool]| held.iter().filter(|held| **held).count() as f64;
        for share in [0.0, 0.05, 0.2, 0.9, 1.0] {
            let one = held(&Key::decoy(1, 1), share, 0);
            // five standard errors
            let most = 5.0 * (4_000.0 * share * (1.0 - share)).sqrt();
            assert!((count(&one) - 4_000.0 * share).abs() <= most, "{share}: {}", count(&one));
            assert_eq!(one, held(&Key::decoy(1, 1), share, 0));
        }
        // another account or key chooses independently: half of a half agree
        let one = held(&Key::decoy(1, 1), 0.5, 0);
        for other in [held(&Key::decoy(1, 1), 0.5, 1), held(&Key::decoy(1, 2), 0.5, 0)] {
            let both = one.iter().zip(&other).filter(|(a, b)| **a && **b).count() as f64;
            assert!((both - 1_000.0).abs() < 5.0 * 750_f64.sqrt(), "{both}");
        }
        // more of the same key holds what less of it does
        let (less, more) = (held(&Key::decoy(2, 0), 0.2, 0), held(&Key::decoy(2, 0), 0.4, 0));
        assert!(less.iter().zip(&more).all(|(less, more)| *more || !*less));
    }
}
