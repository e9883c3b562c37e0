use super::law::NullLaw;
use crate::{Interval, evalue::EProcess};

/// Level of the intervals of effects.
pub(super) const LEVEL: f64 = 0.95;

/// The law of scores when the mark is absent.
pub trait Null: Send + Sync {
    /// The law of `n` units.
    fn law(&self, n: u64) -> NullLaw;

    /// The test statistic; larger is more evidence.
    fn statistic(&self, scores: &[f64]) -> f64 {
        // not `sum`, which gives no scores the total -0
        scores.iter().fold(0.0, |total, score| total + score)
    }

    /// log10 of the probability of a statistic at least as large: finite, at most 0; 0 for no units.
    fn log10_p(&self, scores: &[f64]) -> f64;

    /// Effect per unit with its 95 % interval. No units have effect 0, and an interval of all that is possible.
    fn effect(&self, scores: &[f64]) -> (f64, Interval);

    /// A bet against this law that may be looked at after every unit (methods 0.5); None where there is none.
    fn bet(&self) -> Option<Box<dyn EProcess>> {
        None
    }
}

/// Sum of scores that are whole numbers.
///
/// # Panics
/// When the sum is no whole number of hits.
pub(super) fn hits(scores: &[f64]) -> u64 {
    let total: f64 = scores.iter().sum();
    assert!(total >= 0.0 && total.fract() == 0.0, "scores add to {total}, which is no number of hits");
    total as u64
}
