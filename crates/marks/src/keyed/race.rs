//! The keyed race of Gumbel noise: among all tokens at once the largest logit - ln(-ln u), and what the chosen one scores.

use pulp::{Arch, Simd, WithSimd};

use super::elementary;

/// How a draw gives a number in (0, 1).
pub(crate) trait Uniform {
    /// The number.
    fn uniform(draw: u32) -> f64;

    /// 1 less the number, without rounding.
    fn above(draw: u32) -> f64;
}

/// Tokens that are looked at together.
const BLOCK: usize = 16;

/// The place of the largest logit - ln(-ln u); the first among equals, none where every logit is -inf or NaN.
pub(crate) fn winner<U: Uniform>(logits: &[f32], draws: &[u32]) -> Option<usize> {
    Arch::new().dispatch(Race { logits, draws, number: std::marker::PhantomData::<U> })
}

/// -ln(1 - u) of each draw, what a unit scores.
pub(crate) fn scores<U: Uniform>(draws: &[u32], scores: &mut [f64]) {
    scores.iter_mut().zip(draws).for_each(|(score, draw)| *score = U::above(*draw));
    elementary::log(scores);
    scores.iter_mut().for_each(|score| *score = -*score);
}

/// Leaves the one at `winner` in `logits`.
pub(crate) fn leave(logits: &mut [f32], winner: usize) {
    let logit = logits[winner];
    logits.fill(f32::NEG_INFINITY);
    logits[winner] = logit;
}

struct Race<'a, U> {
    logits: &'a [f32],
    draws: &'a [u32],
    number: std::marker::PhantomData<U>,
}

/// Whether a token whose logit is `behind` what the best has raced cannot win: -ln u >= 1 - u, and e^-d <= 1 / (1 + d + d^2 / 2 + ...).
#[inline(always)]
fn lost(behind: f64, above: f64) -> bool {
    let series = 1.0 / 24.0 + behind * (1.0 / 120.0 + behind * (1.0 / 720.0));
    let series = 1.0 + behind * (1.0 + behind * (0.5 + behind * (1.0 / 6.0 + behind * series)));
    (behind > 0.0) & (above * series >= 1.0)
}

impl<U: Uniform> WithSimd for Race<'_, U> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<usize> {
        let Self { logits, draws, .. } = self;
        let raced = |place: usize| f64::from(logits[place]) - libm::log(-libm::log(U::uniform(draws[place])));
        // the most probable token is far ahead of most
        let largest = elementary::largest(logits);
        let mut winner = logits.iter().position(|logit| *logit == largest && largest > f32::NEG_INFINITY)?;
        let mut best = raced(winner);
        for (at, (logits, draws)) in logits.chunks(BLOCK).zip(draws.chunks(BLOCK)).enumerate() {
            let is_lost = |logit: f32, draw: u32| lost(best - f64::from(logit), U::above(draw));
            if logits.iter().zip(draws).fold(true, |all, (&logit, &draw)| all & is_lost(logit, draw)) {
                continue;
            }
            for (place, (&logit, &draw)) in (at * BLOCK..).zip(logits.iter().zip(draws)) {
                // by what is the best by now
                if lost(best - f64::from(logit), U::above(draw)) {
                    continue;
                }
                let raced = raced(place);
                if raced > best || (raced == best && place < winner) {
                    (winner, best) = (place, raced);
                }
            }
        }
        Some(winner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number in the middle of its step.
    struct Middle;

    impl Uniform for Middle {
        fn uniform(draw: u32) -> f64 {
            (f64::from(draw) + 0.5) / 2f64.powi(32)
        }

        fn above(draw: u32) -> f64 {
            Self::uniform(!draw)
        }
    }

    /// The race that skips logarithms has the winner of the one that takes them all, whatever the law, the first of equals.
    #[test]
    fn the_winner_is_the_largest_of_all() {
        let mut word = 1_u64;
        let mut next = || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 32) as u32
        };
        for round in 0..2_000 {
            let width = [0.0, 0.1, 3.0, 12.0, 60.0][round % 5];
            let tokens = 1 + next() as usize % 130;
            let mut logits: Vec<f32> = (0..tokens).map(|_| width * (next() as f32 / 2f32.powi(32))).collect();
            // few draws, so that some race alike
            let draws: Vec<u32> = (0..tokens).map(|_| next() >> [0, 29][round / 5 % 2] << [0, 29][round / 5 % 2]).collect();
            if round % 3 == 0 {
                logits.iter_mut().step_by(3).for_each(|logit| *logit = f32::NEG_INFINITY);
            }
            if round % 7 == 0 {
                logits[tokens / 2] = f32::NAN;
            }
            let raced = |place: usize| f64::from(logits[place]) - libm::log(-libm::log(Middle::uniform(draws[place])));
            let (mut slow, mut best) = (None, f64::NEG_INFINITY);
            for place in 0..tokens {
                if raced(place) > best {
                    (slow, best) = (Some(place), raced(place));
                }
            }
            assert_eq!(winner::<Middle>(&logits, &draws), slow, "round {round}");
        }
        assert_eq!(winner::<Middle>(&[f32::NEG_INFINITY; 3], &[1, 2, 3]), None);
        assert_eq!(winner::<Middle>(&[], &[]), None);
        let mut logits = [1.0, 2.0, f32::NEG_INFINITY];
        leave(&mut logits, 0);
        assert_eq!(logits, [1.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    }
}
