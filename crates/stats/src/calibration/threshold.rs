//! What a threshold of the score does to unmarked texts.

use serde::{Deserialize, Serialize};

use super::levels::{LEVEL, Level, Rate};
use crate::needed::trials_to_bound;
use crate::tail::ln_binomial_sf;

/// A threshold of the score, which calls a text marked that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The threshold.
    pub threshold: f64,
    /// Its false-positive rate on the unmarked texts.
    pub false_positives: Rate,
    /// What the rate that is claimed for it comes to; `None` where none is claimed.
    pub claim: Option<Level>,
    /// Share of marked texts that reach it; `None` without any.
    pub true_positives: Option<Rate>,
}

impl Threshold {
    /// Of `threshold`, for which the false-positive rate `nominal` is claimed; refuted from p `error` on. `None` without unmarked texts.
    ///
    /// # Panics
    /// When `nominal` or `error` is outside (0, 1).
    pub fn of(threshold: f64, nominal: Option<f64>, unmarked: &[f64], marked: &[f64], error: f64) -> Option<Threshold> {
        let reach = |scores: &[f64]| scores.iter().filter(|score| **score >= threshold).count() as u64;
        let (hits, texts) = (reach(unmarked), unmarked.len() as u64);
        Some(Threshold {
            threshold,
            false_positives: Rate::of(hits, texts)?,
            claim: nominal.and_then(|nominal| Level::of(nominal, hits, texts, error)),
            true_positives: Rate::of(reach(marked), marked.len() as u64),
        })
    }
}

/// A threshold that keeps a false-positive rate, with what it lets through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SafeThreshold {
    /// The false-positive rate that it keeps, at 95 %.
    pub rate: f64,
    /// Scores beyond it are called marked; `None` where there are too few texts for any.
    pub beyond: Option<f64>,
    /// Fewest unmarked texts from which there is one.
    pub texts_needed: u64,
    /// Share of marked texts beyond it; `None` without any or without a threshold.
    pub true_positives: Option<Rate>,
}

/// The lowest of the unmarked scores above which, with confidence 95 %, at most a share `rate` of all unmarked texts lies, whatever the
/// law of the scores: with `k` scores above it, P\[Bin(n, rate) <= k\] is at most 5 % (Wilks 1941).
///
/// # Panics
/// When a score is NaN or `rate` is outside (0, 1).
pub fn safe_threshold(rate: f64, unmarked: &[f64], marked: &[f64]) -> SafeThreshold {
    assert!(unmarked.iter().all(|score| !score.is_nan()), "a score is NaN");
    let texts = unmarked.len() as u64;
    let ln_missed = libm::log(1.0 - LEVEL);
    // at most k of all are at least n - k others
    let allowed = |above: u64| ln_binomial_sf(texts - above, texts, 1.0 - rate) <= ln_missed;
    let mut sorted = unmarked.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let beyond = (texts > 0 && allowed(0)).then(|| {
        let (mut fits, mut many) = (0, texts);
        while many - fits > 1 {
            let middle = fits + (many - fits) / 2;
            if allowed(middle) { fits = middle } else { many = middle }
        }
        sorted[fits as usize]
    });
    let passed = beyond.map(|beyond| marked.iter().filter(|score| **score > beyond).count() as u64);
    let true_positives = passed.and_then(|passed| Rate::of(passed, marked.len() as u64));
    SafeThreshold { rate, beyond, texts_needed: trials_to_bound(rate, LEVEL), true_positives }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_threshold_is_reached_by_what_equals_it() {
        let unmarked: Vec<f64> = (0..100).map(f64::from).collect();
        let found = Threshold::of(95.0, Some(0.01), &unmarked, &[94.0, 95.0, 200.0], 0.01).unwrap();
        assert_eq!((found.false_positives.hits, found.true_positives.unwrap().hits), (5, 2));
        // P[Bin(100, .01) >= 5] = .00343
        assert!(found.claim.unwrap().refuted && (found.claim.unwrap().log10_p_too_many + 2.464_6).abs() < 1e-3, "{found:?}");
        let unclaimed = Threshold::of(95.0, None, &unmarked, &[], 0.01).unwrap();
        assert_eq!((unclaimed.claim, unclaimed.true_positives), (None, None));
        assert_eq!(Threshold::of(1.0, None, &[], &[1.0], 0.01), None);
    }

    #[test]
    fn a_threshold_needs_enough_texts() {
        let scores = |n: u32| (0..n).map(f64::from).collect::<Vec<f64>>();
        assert_eq!(safe_threshold(0.01, &scores(298), &[]).beyond, None);
        assert_eq!(safe_threshold(0.01, &scores(299), &[1e9, 3.0]).beyond, Some(298.0));
        assert_eq!(safe_threshold(0.01, &scores(299), &[1e9, 3.0]).true_positives.unwrap().hits, 1);
        assert_eq!(safe_threshold(0.01, &[], &[]).beyond, None);
        assert_eq!(safe_threshold(0.1, &[2.0; 400], &[2.0]).true_positives.unwrap().hits, 0, "ties are not above");
    }

    /// 2,000 samples of 300 uniform scores: the true rate above the threshold exceeds 5 % in at most 5 % of them. Binomial(2000, .05):
    /// four standard deviations above 100 are 139.
    #[test]
    fn it_keeps_its_rate_in_nineteen_of_twenty_samples() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let broken = (0..2_000).filter(|_| {
            let scores: Vec<f64> = (0..300).map(|_| rng.random()).collect();
            1.0 - safe_threshold(0.05, &scores, &[]).beyond.unwrap() > 0.05
        });
        let broken = broken.count();
        assert!((40..139).contains(&broken), "{broken}");
    }
}
