use oracle::{ConfigError, TokenId};
use siphasher::sip::SipHasher24;

use crate::Key;
use crate::key::Purpose;

/// What a keyed number of a token is for: numbers for different purposes are independent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    /// Where on the cosine the token is.
    Phase,
    /// Whether prompts with this token are marked.
    Selected,
    /// To which group of tokens it belongs.
    Group,
}

/// Keyed numbers of tokens.
///
/// The authors project a Gaussian vector of the token on a vector of the key and take the normal distribution function of that. Over
/// vectors it is uniform, and independent from token to token. A keyed hash has the same law, needs no vectors, and is exactly uniform where
/// the published normalisation (by the mean length of a key) is nearly so.
pub(crate) struct Phases {
    hasher: SipHasher24,
}

impl Phases {
    /// The numbers under `key` of the mark whose kind is `kind`.
    pub fn of(key: &Key, kind: &'static str) -> Self {
        Self { hasher: SipHasher24::new_with_key(&key.sip_key(Purpose::Kind(kind))) }
    }

    /// A number in [0, 1), uniform over keys; independent for distinct tokens and purposes.
    pub fn uniform(&self, draw: Draw, token: TokenId) -> f64 {
        let [a, b, c, d] = token.to_le_bytes();
        (self.hasher.hash(&[a, b, c, d, draw as u8]) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// cos(f x) of the token.
    pub fn cosine(&self, frequency: f64, token: TokenId) -> f64 {
        libm::cos(frequency * self.uniform(Draw::Phase, token))
    }
}

/// Which token of a prompt counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The token that begins texts, which is not counted.
    pub bos: Option<TokenId>,
    /// Number of the token, from 1.
    pub position: usize,
}

impl Place {
    /// Refuses a place that no prompt has.
    ///
    /// # Errors
    /// A [`ConfigError`] about the key `position`.
    pub fn check(position: usize) -> Result<(), ConfigError> {
        if (1..=1_000_000).contains(&position) {
            return Ok(());
        }
        Err(ConfigError::new("position", position, "use the number of a prompt's token, from 1, for example 6"))
    }

    /// The token of `prompt` at this place; none in a shorter one.
    pub fn of(self, prompt: &[TokenId]) -> Option<TokenId> {
        let skipped = usize::from(self.bos.is_some() && prompt.first().copied() == self.bos);
        prompt.get(skipped + self.position - 1).copied()
    }
}

/// The probability that is released in place of `p`: (p + epsilon (1 + cos) share) / (1 + 2 epsilon), where all that have the phase pi
/// instead of 0 share epsilon (1 - cos) among them.
pub(crate) fn released(p: f64, epsilon: f64, cosine: f64, share: f64) -> f64 {
    (p + epsilon * (1.0 + cosine) * share) / (1.0 + 2.0 * epsilon)
}

/// Refuses a wave that cannot be.
///
/// # Errors
/// A [`ConfigError`] about `epsilon` or `frequency`.
pub(crate) fn check_wave(epsilon: f64, frequency: f64) -> Result<(), ConfigError> {
    if !(epsilon > 0.0 && epsilon <= 100.0) {
        return Err(ConfigError::new("epsilon", epsilon, "use a number above 0 and up to 100, for example 0.2"));
    }
    if !(1.0..=250.0).contains(&frequency) {
        return Err(ConfigError::new("frequency", frequency, "use 1 to 250 radians, for example 16.0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_uniform_over_keys_and_tokens_and_follow_both() {
        let numbers: Vec<f64> = (0..40)
            .flat_map(|index| {
                let phases = Phases::of(&Key::decoy(1, index), "drw");
                (0..250).map(move |token| phases.uniform(Draw::Phase, token)).collect::<Vec<_>>()
            })
            .collect();
        // Kolmogorov's distance of 10,000 uniform numbers exceeds 0.0223 with probability 1e-4
        let mut sorted = numbers.clone();
        sorted.sort_by(f64::total_cmp);
        let off = sorted.iter().enumerate().map(|(at, x)| (x - at as f64 / 1e4).abs().max((x - (at + 1) as f64 / 1e4).abs()));
        assert!(off.fold(0.0, f64::max) < 0.0223);
        sorted.dedup();
        assert_eq!(sorted.len(), 10_000);
        let phases = Phases::of(&Key::decoy(1, 0), "drw");
        let all = [Draw::Phase, Draw::Selected, Draw::Group].map(|draw| phases.uniform(draw, 7));
        assert!(
            all[0] != all[1] && all[1] != all[2] && all[0] != Phases::of(&Key::decoy(1, 0), "ginsew").uniform(Draw::Phase, 7)
        );
    }

    /// Others mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
    #[test]
    fn numbers_are_pinned() {
        let phases = Phases::of(&Key::new(std::array::from_fn(|i| i as u8), "pinned"), "drw");
        let found = [Draw::Phase, Draw::Selected, Draw::Group].map(|draw| (phases.uniform(draw, 5) * 1e6) as u64);
        assert_eq!(found, [309_938, 518_045, 761_857]);
    }

    #[test]
    fn the_beginning_is_not_counted() {
        let place = Place { bos: Some(1), position: 2 };
        assert_eq!((place.of(&[1, 8, 9]), place.of(&[8, 9]), place.of(&[1, 8]), place.of(&[])), (Some(9), Some(9), None, None));
        assert_eq!(Place { bos: None, position: 1 }.of(&[1, 8]), Some(1));
    }

    #[test]
    fn what_is_released_adds_up_and_over_whole_turns_gives_the_law_back() {
        for cosine in [-1.0, -0.3, 0.0, 1.0] {
            let law = [0.5, 0.3, 0.2];
            let shown = [released(0.5, 0.2, cosine, 1.0), released(0.3, 0.2, -cosine, 0.5), released(0.2, 0.2, -cosine, 0.5)];
            assert!((shown.iter().sum::<f64>() - 1.0).abs() < 1e-15 && shown.iter().all(|p| *p >= 0.0));
            // opposite phases: their mean is the law mixed with a flat one
            let other = [released(0.5, 0.2, -cosine, 1.0), released(0.3, 0.2, cosine, 0.5), released(0.2, 0.2, cosine, 0.5)];
            for ((shown, other), (p, share)) in shown.iter().zip(other).zip(law.iter().zip([1.0, 0.5, 0.5])) {
                assert!((0.5 * (shown + other) - (p + 0.2 * share) / 1.4).abs() < 1e-15);
                // and what was mixed in is known, so that the law comes back
                assert!((0.5 * (shown + other) * 1.4 - 0.2 * share - p).abs() < 1e-15);
            }
        }
    }
}
