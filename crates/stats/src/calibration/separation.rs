//! How well a score tells marked texts from unmarked ones.

use serde::{Deserialize, Serialize};

use super::levels::Rate;
use crate::roc;

/// False-positive rates at which detection is reported.
const RATES: [f64; 2] = [0.01, 0.001];

/// Marked texts that are found where a share of unmarked texts may be called marked too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Share of unmarked texts that may lie above the threshold.
    pub false_positive_rate: f64,
    /// How many of the unmarked texts that is; with 0 a marked text must exceed them all.
    pub allowed: u64,
    /// Marked texts above the threshold, which stands among the unmarked scores as they are: the interval is that of the marked texts alone.
    pub true_positives: Rate,
}

/// What a score does with marked texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// Marked texts.
    pub marked: u64,
    /// Probability that a marked text scores above an unmarked one, ties counting half.
    pub auroc: f64,
    /// At false-positive rates of 1 % and 0.1 %.
    pub found: Vec<Found>,
}

impl Separation {
    /// Larger scores are more marked; `None` without marked or without unmarked texts.
    ///
    /// # Panics
    /// When a score is NaN.
    pub fn of(marked: &[f64], unmarked: &[f64]) -> Option<Separation> {
        let auroc = roc::auroc(marked, unmarked)?;
        let at = |rate: f64| {
            let share = roc::tpr_at_fpr(marked, unmarked, rate)?;
            let texts = marked.len() as u64;
            let allowed = (rate * unmarked.len() as f64 * (1.0 + 1e-12)) as u64;
            let true_positives = Rate::of((share * texts as f64).round() as u64, texts)?;
            Some(Found { false_positive_rate: rate, allowed, true_positives })
        };
        let found = RATES.into_iter().map(at).collect::<Option<Vec<_>>>()?;
        Some(Separation { marked: marked.len() as u64, auroc, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_is_counted_at_both_rates() {
        let unmarked: Vec<f64> = (0..1_000).map(f64::from).collect();
        let found = Separation::of(&[500.0, 995.0, 998.5, 2_000.0], &unmarked).unwrap();
        let at: Vec<_> = found.found.iter().map(|found| (found.allowed, found.true_positives.hits)).collect();
        assert_eq!(at, [(10, 3), (1, 2)]);
        assert!((found.auroc - (500.5 + 995.5 + 999.0 + 1_000.0) / 4_000.0).abs() < 1e-12, "{}", found.auroc);
        assert_eq!(Separation::of(&[], &unmarked), None);
        assert_eq!(Separation::of(&[1.0], &[0.0; 50]).unwrap().found[0].allowed, 0);
    }
}
