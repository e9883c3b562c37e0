//! The keyed race of Gumbel noise as vLLM runs it (served watermarks, section 2).

use super::prf::uniform;
use crate::keyed::race::{self, Uniform};

/// Numbers of 24 bits.
struct Mantissa;

impl Uniform for Mantissa {
    #[inline(always)]
    fn uniform(word: u32) -> f64 {
        f64::from(uniform(word))
    }

    #[inline(always)]
    fn above(word: u32) -> f64 {
        1.0 - f64::from(uniform(word))
    }
}

/// -ln(1 - u) of each word: the scores of units.
pub(crate) fn scores(words: &[u32], scores: &mut [f64]) {
    race::scores::<Mantissa>(words, scores);
}

/// The same of one word.
#[cfg(test)]
pub(crate) fn score(word: u32) -> f64 {
    let mut one = [0.0];
    scores(&[word], &mut one);
    one[0]
}

/// The place of the largest logit - ln(-ln u); the first among equals, none where every logit is -inf or NaN.
pub(crate) fn winner(logits: &[f32], words: &[u32]) -> Option<usize> {
    race::winner::<Mantissa>(logits, words)
}
