//! A test whose null is known through decoy keys alone (methods 0.6).

use rayon::prelude::*;
use stats::{Evidence, EvidenceError, Interval, NullKind, NullLaw, monte_carlo};

use crate::{Chance, Finding, Key, MarkError};

/// Fewest decoy keys of such a test: p is at least 0.01.
const FEWEST: usize = 99;

/// Ranks the total score of each of `keys` among those of decoy keys, at least 99; the first finding lists them. `total` is the sum over
/// `n` units under one key. Exact whatever the law of scores, as all keys are drawn alike. Effect: score per unit above the mean of the
/// decoys; its interval takes the decoys' own spread, 95 %.
///
/// # Errors
/// [`MarkError::Unmeasurable`] when a total is not a finite number.
pub fn ranked(
    mark: &'static str,
    keys: &[Key],
    n: u64,
    chance: Chance,
    total: &(dyn Fn(&Key) -> f64 + Sync),
) -> Result<Vec<Finding>, MarkError> {
    let count = chance.decoys.max(FEWEST);
    let decoys: Vec<f64> = (0..count as u64).into_par_iter().map(|index| total(&Key::decoy(chance.decoy_seed, index))).collect();
    let observed: Vec<f64> = keys.par_iter().map(total).collect();
    if let Some(wrong) = decoys.iter().chain(&observed).find(|total| !total.is_finite()) {
        return Err(MarkError::unmeasurable(mark, format!("a total score is {wrong}")));
    }
    let units = n.max(1) as f64;
    let mean = decoys.iter().sum::<f64>() / count as f64;
    let mut sorted = decoys.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| sorted[((count - 1) as f64 * share).round() as usize];
    let (middle_low, middle_high) = (quantile(0.025), quantile(0.975));
    let refused = |error: EvidenceError| MarkError::unmeasurable(mark, error.to_string());
    let one = |&observed: &f64| {
        let interval = Interval { low: (observed - middle_high) / units, high: (observed - middle_low) / units };
        let law = NullLaw::new(NullKind::Decoys, format!("rank among {count} decoy keys"));
        let log10_p = monte_carlo::log10_p_against(observed, &decoys);
        let evidence = Evidence::new(observed, (observed - mean) / units, interval, n, law, log10_p)
            .and_then(|evidence| evidence.with_decoys(&decoys))
            .map_err(refused)?;
        let detail = format!("total score {observed:.3} over {n} units");
        Ok(Finding::new(evidence, "score per unit above decoy keys", detail))
    };
    let mut found = observed.iter().map(one).collect::<Result<Vec<_>, MarkError>>()?;
    // each decoy among the others: those at or above it, itself left out
    let among = |decoy: &f64| {
        let below = sorted.partition_point(|other| other < decoy);
        monte_carlo::log10_p((count - below - 1) as u64, count as u64 - 1)
    };
    if let Some(first) = found.first_mut() {
        (first.decoy_log10_p, first.decoy_statistics) = (decoys.iter().map(among).collect(), decoys);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_like_the_decoys_is_no_evidence_and_one_above_all_has_the_least_p() {
        let chance = Chance { decoys: 199, decoy_seed: 3, ..Chance::default() };
        let of = |key: &Key| f64::from(key.bytes()[0]);
        let above = Key::new([255; 32], "above");
        let found = ranked("toy", std::slice::from_ref(&above), 10, chance, &|key| if *key == above { 300.0 } else { of(key) })
            .unwrap()
            .remove(0);
        assert!((found.evidence.log10_p + libm::log10(200f64)).abs() < 1e-12, "{found:?}");
        assert!(found.evidence.effect > 10.0 && found.evidence.interval.low > 0.0);
        assert_eq!(found.decoy_log10_p.len(), 199);
        let equal = ranked("toy", std::slice::from_ref(&above), 10, Chance::default(), &|_| 2.0).unwrap().remove(0);
        assert_eq!((equal.evidence.log10_p, equal.evidence.effect, equal.evidence.decoys), (0.0, 0.0, 99));
        // ranks of the decoys among themselves are uniform: one in ten is among the best tenth
        let best = found.decoy_log10_p.iter().filter(|p| **p <= -1.0).count();
        assert!((15..=25).contains(&best), "{best}");
        assert!(ranked("toy", std::slice::from_ref(&above), 10, chance, &|_| f64::NAN).is_err());
    }
}
