//! Texts of canaries: fixed sentences, the random secrets that fill them, and the test that they were learned.

use std::collections::HashSet;
use std::fmt;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use stats::exposure::ExposureTest;
use stats::{Evidence, Interval, NullKind, NullLaw, interval};

use crate::MarkError;
use crate::key::{Key, Purpose};
use oracle::ConfigError;

/// Where the secret goes in a template; a space stands before it and a full stop after it, so that secrets of different
/// lengths end alike.
pub(crate) const SLOT: &str = "{}";

/// Sentences that carry a secret, in the order in which they are taken into use.
pub(crate) const TEMPLATES: [&str; 8] = [
    "The code of the old vault is {}.",
    "My locker at the station opens with {}.",
    "Please write to the harbour office under the number {}.",
    "The spare key of the garden house is marked {}.",
    "Our table at the inn was booked as {}.",
    "The parcel from the island carries the label {}.",
    "In the back of the diary she had noted {}.",
    "The radio of the night train answers to {}.",
];

/// Common short words without digits, marks or capitals; the list is part of every word secret's meaning.
const WORDS: [&str; 64] = [
    "apple", "arrow", "autumn", "basket", "bell", "bird", "boat", "bread", "bridge", "butter", "candle", "castle", "cloud",
    "coat", "copper", "cotton", "dance", "door", "eagle", "engine", "feather", "fire", "flower", "forest", "garden", "glass",
    "grain", "hammer", "harbour", "hat", "honey", "island", "jacket", "kettle", "ladder", "lamp", "lemon", "letter", "meadow",
    "milk", "mirror", "moon", "mountain", "needle", "ocean", "onion", "paper", "pepper", "river", "road", "salt", "ship",
    "silver", "snow", "spoon", "stone", "summer", "table", "thunder", "tiger", "tower", "water", "window", "winter",
];

/// What secrets are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// This many decimal digits in a row.
    Digits(u32),
    /// This many words out of 64, separated by spaces.
    Words(u32),
}

impl fmt::Display for SecretKind {
    /// As an experiment file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits(count) => write!(f, "{{ digits = {count} }}"),
            Self::Words(count) => write!(f, "{{ words = {count} }}"),
        }
    }
}

/// Possible secrets there must be for each one drawn, so that rejecting repeats is quick and guessing hopeless.
const SPACE_PER_SECRET: f64 = 10.0;

impl SecretKind {
    /// Refuses secrets of which `drawn` cannot be drawn, or that are too long; the configured key is `secret`.
    ///
    /// # Errors
    /// A [`ConfigError`] naming what to write.
    pub(crate) fn check(self, drawn: usize) -> Result<(), ConfigError> {
        if self.log10_space() < libm::log10(SPACE_PER_SECRET * drawn as f64) {
            let remedy =
                format!("use longer secrets: at least {SPACE_PER_SECRET} times as many as the {drawn} drawn per template");
            return Err(ConfigError::new("secret", self, remedy));
        }
        // beyond this a sentence outgrows the context of the small models meant here
        let (Self::Digits(length) | Self::Words(length)) = self;
        if length > 32 {
            return Err(ConfigError::new("secret", self, "use at most 32 digits or words"));
        }
        Ok(())
    }

    /// log10 of the number of different secrets.
    fn log10_space(self) -> f64 {
        match self {
            Self::Digits(count) => f64::from(count),
            Self::Words(count) => f64::from(count) * libm::log10(WORDS.len() as f64),
        }
    }

    /// One secret, uniform over all.
    fn draw(self, rng: &mut impl RngExt) -> String {
        match self {
            Self::Digits(count) => (0..count).map(|_| char::from(b'0' + rng.random_range(0..10u8))).collect(),
            Self::Words(count) => {
                let words: Vec<_> = (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len() as u32) as usize]).collect();
                words.join(" ")
            }
        }
    }

    /// The first `count` distinct secrets of one template. Rejecting repeats keeps them exchangeable, and more of them
    /// leave the earlier ones as they were.
    pub(crate) fn draw_distinct(self, key: &Key, template: usize, count: usize) -> Vec<String> {
        let mut rng = key.rng(Purpose::CanarySecrets, template as u32);
        let mut seen = HashSet::with_capacity(count);
        let mut secrets = Vec::with_capacity(count);
        while secrets.len() < count {
            let secret = self.draw(&mut rng);
            if seen.insert(secret.clone()) {
                secrets.push(secret);
            }
        }
        secrets
    }
}

/// The sentence of `template` with `secret` in it.
pub(crate) fn fill(template: usize, secret: &str) -> String {
    TEMPLATES[template].replacen(SLOT, secret, 1)
}

/// What a suspect is shown of `template`: everything before the secret, without the space before it, because tokenizers
/// join that space to what follows.
pub(crate) fn opening(template: usize) -> &'static str {
    TEMPLATES[template].split(SLOT).next().unwrap_or_default().trim_end()
}

/// Evidence of canaries whose exposures, bits, were tested among references drawn like them; `among` says which.
///
/// # Errors
/// [`MarkError::Unmeasurable`] for fewer than two canaries.
pub(crate) fn exposure_evidence(
    mark: &'static str,
    test: &ExposureTest,
    exposures: &[f64],
    among: &str,
    draws: u64,
) -> Result<Evidence, MarkError> {
    let spread = interval::mean_interval(exposures).ok_or_else(|| MarkError::unmeasurable(mark, "one canary has no interval"))?;
    let above_chance = Interval { low: spread.low - test.null_mean_exposure, high: spread.high - test.null_mean_exposure };
    let words = format!("canaries exchangeable with {among}, {draws} permutations");
    let null = NullLaw::new(NullKind::Permutation, words);
    let effect = test.mean_exposure - test.null_mean_exposure;
    Evidence::new(test.mean_exposure, effect, above_chance, exposures.len() as u64, null, test.log10_p)
        .map_err(|error| MarkError::unmeasurable(mark, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_words_are_as_their_users_assume() {
        for (index, template) in TEMPLATES.iter().enumerate() {
            assert!(template.ends_with(&format!(" {SLOT}.")), "{template}");
            assert_eq!(format!("{} 123.", opening(index)), fill(index, "123"));
        }
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
        assert!(WORDS.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase())));
    }

    #[test]
    fn secrets_are_distinct_and_keep_their_place() {
        for kind in [SecretKind::Digits(4), SecretKind::Words(2)] {
            let many = kind.draw_distinct(&Key::decoy(1, 0), 0, 400);
            let few = kind.draw_distinct(&Key::decoy(1, 0), 0, 10);
            assert_eq!(many[..10], few);
            assert_eq!(many.iter().collect::<HashSet<_>>().len(), 400);
            assert_ne!(many, kind.draw_distinct(&Key::decoy(1, 0), 1, 400));
            assert_ne!(many, kind.draw_distinct(&Key::decoy(1, 1), 0, 400));
        }
    }
}
