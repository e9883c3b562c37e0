//! All that texts say of a detector's claims, with one verdict.

use serde::{Deserialize, Serialize};

use super::kolmogorov::Distance;
use super::levels::{Level, Rate};
use super::separation::Separation;
use super::threshold::{SafeThreshold, Threshold, safe_threshold};

/// Levels at which p-values are held against their own claim.
pub const CHECKED_LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

/// What a detector said of some texts: a score each, larger where it sees more of a mark, and where it gives them, p-values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// A score for each text, no NaN.
    pub scores: Vec<f64>,
    /// A p-value for each text, or for none.
    pub p: Vec<f64>,
}

/// What is to be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Claimed {
    /// A threshold in use.
    pub threshold: Option<f64>,
    /// The false-positive rate that is claimed for it.
    pub nominal: Option<f64>,
}

/// What p-values say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PValues {
    /// At 0.1, 0.01 and 0.001.
    pub levels: Vec<Level>,
    /// Over their whole range.
    pub distance: Distance,
    /// Whether the distance refutes that they are never too small.
    pub refuted: bool,
    /// Whether they are shown to be larger than uniform ones somewhere: safe, and power is lost.
    pub conservative: bool,
    /// Share of marked texts with a p at or below each level; empty without marked texts.
    pub found: Vec<Rate>,
    /// Unmarked texts whose p is 0, which no p-value can be.
    pub zeros: u64,
}

/// What was found out about a detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Unmarked texts.
    pub unmarked: u64,
    /// Marked texts.
    pub marked: u64,
    /// Chance of refuting anything where all claims are true, at most.
    pub error: f64,
    /// Checks that share it.
    pub checks: u64,
    /// What the p-values say; `None` where the detector gives none.
    pub p_values: Option<PValues>,
    /// What the threshold does; `None` where none is named.
    pub threshold: Option<Threshold>,
    /// Thresholds that keep 0.1, 0.01 and 0.001.
    pub safe: Vec<SafeThreshold>,
    /// How marked texts are told from unmarked ones; `None` without any.
    pub separation: Option<Separation>,
    /// Whether a claim is refuted.
    pub refuted: bool,
}

impl Calibration {
    /// Judges the claims at a chance of `error` of refuting true ones, shared evenly by all checks (Bonferroni). `None` without unmarked
    /// texts.
    ///
    /// # Panics
    /// When a score is NaN, there are p-values for some texts only or outside \[0, 1\], or `error` or the nominal rate is outside (0, 1).
    pub fn of(unmarked: &Scored, marked: &Scored, claimed: Claimed, error: f64) -> Option<Calibration> {
        for scored in [unmarked, marked] {
            assert!(scored.p.is_empty() || scored.p.len() == scored.scores.len(), "p-values for some texts only");
            assert!(scored.scores.iter().all(|score| !score.is_nan()), "a score is NaN");
        }
        let of_p = if unmarked.p.is_empty() { 0 } else { CHECKED_LEVELS.len() as u64 + 1 };
        let checks = of_p + u64::from(claimed.threshold.and(claimed.nominal).is_some());
        let each = error / checks.max(1) as f64;
        let p_values = p_values(unmarked, marked, each);
        let threshold = match claimed.threshold {
            Some(at) => Some(Threshold::of(at, claimed.nominal, &unmarked.scores, &marked.scores, each)?),
            None => None,
        };
        let refuted = p_values.as_ref().is_some_and(|p| p.refuted || p.levels.iter().any(|level| level.refuted))
            || threshold.as_ref().and_then(|threshold| threshold.claim).is_some_and(|claim| claim.refuted);
        (!unmarked.scores.is_empty()).then(|| Calibration {
            unmarked: unmarked.scores.len() as u64,
            marked: marked.scores.len() as u64,
            error,
            checks,
            p_values,
            threshold,
            safe: CHECKED_LEVELS.iter().map(|&rate| safe_threshold(rate, &unmarked.scores, &marked.scores)).collect(),
            separation: Separation::of(&marked.scores, &unmarked.scores),
            refuted,
        })
    }
}

/// Of the p-values, each check refuting from p `error` on.
fn p_values(unmarked: &Scored, marked: &Scored, error: f64) -> Option<PValues> {
    let below = |p: &[f64], level: f64| p.iter().filter(|p| **p <= level).count() as u64;
    let distance = Distance::of(&unmarked.p)?;
    let texts = unmarked.p.len() as u64;
    let level = |&level: &f64| Level::of(level, below(&unmarked.p, level), texts, error);
    let levels = CHECKED_LEVELS.iter().map(level).collect::<Option<Vec<_>>>()?;
    let log10_error = libm::log10(error);
    let few = levels.iter().any(|level| level.log10_p_too_few <= log10_error);
    let found = |&level: &f64| Rate::of(below(&marked.p, level), marked.p.len() as u64);
    Some(PValues {
        refuted: distance.log10_p_too_small <= log10_error,
        conservative: few || distance.log10_p_too_large <= log10_error,
        found: CHECKED_LEVELS.iter().filter_map(found).collect(),
        zeros: unmarked.p.iter().filter(|p| **p == 0.0).count() as u64,
        levels,
        distance,
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn scored(seed: u64, texts: usize, p_of: impl Fn(f64) -> f64) -> Scored {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let p: Vec<f64> = (0..texts).map(|_| p_of(rng.random())).collect();
        Scored { scores: p.iter().map(|p| -p).collect(), p }
    }

    fn judged(p_of: impl Fn(f64) -> f64) -> Calibration {
        Calibration::of(&scored(1, 3_000, p_of), &Scored::default(), Claimed::default(), 0.01).unwrap()
    }

    #[test]
    fn uniform_p_values_stand_small_ones_fall_and_large_ones_are_wasteful() {
        let found = judged(|p| p);
        let p = found.p_values.as_ref().unwrap();
        assert!(!found.refuted && !p.conservative && found.checks == 4, "{found:?}");
        let found = judged(|p| 0.5 * p);
        assert!(found.refuted && found.p_values.as_ref().unwrap().refuted, "{found:?}");
        assert!(found.p_values.unwrap().levels[0].refuted);
        let found = judged(f64::sqrt);
        assert!(!found.refuted && found.p_values.unwrap().conservative);
    }

    /// A detector that is right but for its far tail: only the level there shows it.
    #[test]
    fn a_wrong_tail_is_seen_where_the_middle_is_right() {
        let found = judged(|p| if p < 0.02 { 1e-4 } else { p });
        let p = found.p_values.unwrap();
        assert!(found.refuted && !p.refuted && !p.levels[0].refuted && p.levels[2].refuted, "{p:?}");
    }

    /// 400 detectors with valid p-values, some discrete: at most 1 % are refuted. Binomial(400, .01): more than 12 have probability 1e-4.
    #[test]
    fn true_claims_are_refuted_as_seldom_as_said() {
        let coarse = |p: f64| (20.0 * p).ceil() / 20.0;
        for p_of in [&(|p| p) as &dyn Fn(f64) -> f64, &coarse] {
            let refuted = (0..400).filter(|seed| {
                let unmarked = scored(1_000 + seed, 150, p_of);
                Calibration::of(&unmarked, &Scored::default(), Claimed::default(), 0.01).unwrap().refuted
            });
            let refuted = refuted.count();
            assert!(refuted <= 12, "{refuted}");
        }
    }

    #[test]
    fn a_threshold_is_judged_with_and_without_p_values() {
        let unmarked = Scored { scores: (0..1_000).map(f64::from).collect(), p: Vec::new() };
        let marked = Scored { scores: vec![990.0, 999.5], p: Vec::new() };
        let of = |nominal| {
            let claimed = Claimed { threshold: Some(950.0), nominal };
            Calibration::of(&unmarked, &marked, claimed, 0.01).unwrap()
        };
        assert!(of(Some(0.01)).refuted && !of(Some(0.05)).refuted && !of(None).refuted);
        assert_eq!((of(None).checks, of(Some(0.05)).checks), (0, 1));
        assert!(of(None).p_values.is_none() && of(None).separation.unwrap().found[0].true_positives.hits == 2);
        assert_eq!(Calibration::of(&Scored::default(), &marked, Claimed::default(), 0.01), None);
    }
}
