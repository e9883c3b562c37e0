//! The keyed race of Gumbel noise (served watermarks, section 2).

use super::prf::uniform;

/// -ln(1 - u) of a word: the score of a unit.
pub(crate) fn score(word: u32) -> f64 {
    -libm::log(1.0 - f64::from(uniform(word)))
}

/// The place of the largest logit - ln(-ln u); the first among equals, none where every logit is -inf or NaN.
pub(crate) fn winner(logits: &[f32], words: &[u32]) -> Option<usize> {
    let (mut winner, mut best) = (None, f64::NEG_INFINITY);
    for (place, (&logit, &word)) in logits.iter().zip(words).enumerate() {
        if logit == f32::NEG_INFINITY {
            continue;
        }
        let (behind, u) = (best - f64::from(logit), f64::from(uniform(word)));
        // -ln u >= 1 - u and e^-d <= 1 / (1 + d + d^2 / 2): these cannot win, and need no logarithm
        if behind > 0.0 && (1.0 - u) * (1.0 + behind + 0.5 * behind * behind) >= 1.0 {
            continue;
        }
        let raced = f64::from(logit) - libm::log(-libm::log(u));
        if raced > best {
            (winner, best) = (Some(place), raced);
        }
    }
    winner
}

/// Leaves the one at `winner` in `logits`.
pub(crate) fn leave(logits: &mut [f32], winner: usize) {
    let logit = logits[winner];
    logits.fill(f32::NEG_INFINITY);
    logits[winner] = logit;
}
