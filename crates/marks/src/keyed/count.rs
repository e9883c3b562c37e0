//! The count of distinct units: each unit is scored once, and p is the tail of the total (methods 0.1 to 0.6).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use oracle::Exchange;
use rayon::prelude::*;
use stats::null::Null;
use stats::{Evidence, EvidenceError};

use super::scheme::Scheme;
use super::walk::Units;
use crate::{ALPHA, Chance, Finding, Key, Reduced};

/// What `scores` say against `null`, and the largest log10 e-value up to each of `ends`, the number of scores in the answers so far; none
/// without an e-process.
pub(crate) fn in_order(null: &dyn Null, scores: &[f64], ends: &[usize]) -> Result<(Evidence, Vec<f64>), EvidenceError> {
    let (effect, interval) = null.effect(scores);
    let (statistic, n) = (null.statistic(scores), scores.len() as u64);
    let evidence = Evidence::new(statistic, effect, interval, n, null.law(n), null.log10_p(scores))?;
    let Some(mut bet) = null.bet() else { return Ok((evidence, Vec::new())) };
    let (mut done, mut largest) = (0, Vec::with_capacity(ends.len()));
    for &end in ends {
        scores[done..end].iter().for_each(|&score| bet.push(score));
        done = end;
        largest.push(bet.max_log10_e());
    }
    Ok((evidence.with_e_value(bet.log10_e(), bet.first_crossing(ALPHA))?, largest))
}

/// The distinct units of some answers, ready to be scored under any key.
pub(crate) struct Count<'a, S: ?Sized> {
    scheme: &'a S,
    null: Arc<dyn Null>,
    /// What is scored.
    pub units: Units,
}

impl<'a, S: Scheme + ?Sized> Count<'a, S> {
    /// Of `answers` whose places count by `weights`, where there are such.
    pub fn of(scheme: &'a S, answers: &[Exchange], weights: Option<&[Reduced]>) -> Self {
        let units = Units::walk_weighed(answers, scheme.rules(), weights);
        let null = if weights.is_some() { scheme.null_of(units.weights()) } else { scheme.null() };
        Self { scheme, null: null.into(), units }
    }

    /// Of `units` that all count alike.
    pub fn of_units(scheme: &'a S, units: Units) -> Self {
        Self { scheme, null: scheme.null().into(), units }
    }

    /// Scores of `units` under `key`, written to `scores`.
    fn score(&self, key: &Key, units: &Units, scores: &mut Vec<f64>) {
        scores.resize(units.len(), 0.0);
        self.scheme.scorer(key)(units.flat(), scores);
        for (score, weight) in scores.iter_mut().zip(units.weights()) {
            *score *= weight;
        }
    }

    /// What `key` finds, without decoys. The statistic is the total score, the effect the mean score above the null's, per unit.
    pub fn finding(&self, key: &Key) -> Result<Finding, EvidenceError> {
        let scheme = self.scheme;
        let (units, null) = self.under(key);
        let mut scores = Vec::new();
        self.score(key, &units, &mut scores);
        let (evidence, max_log10_e_by_query) = in_order(&*null, &scores, units.ends())?;
        let (detail, metrics) = (scheme.words(&evidence, &units.skipped), scheme.of_counted(key, units.flat()));
        Ok(Finding { max_log10_e_by_query, metrics, ..Finding::new(evidence, scheme.effect_unit(), detail) })
    }

    /// The units that have a draw of their own under `key`, and the law of their scores.
    pub fn under(&self, key: &Key) -> (Cow<'_, Units>, Arc<dyn Null>) {
        let Some(draws) = self.scheme.draws(key) else { return (Cow::Borrowed(&self.units), self.null.clone()) };
        let mut names = vec![0; self.units.len()];
        draws(self.units.flat(), &mut names);
        let mut seen = HashSet::with_capacity(names.len());
        let kept: Vec<bool> = names.into_iter().map(|name| seen.insert(name)).collect();
        let units = self.units.only(&kept);
        let weighed = !units.weights().is_empty();
        let null = if weighed { self.scheme.null_of(units.weights()).into() } else { self.null.clone() };
        (Cow::Owned(units), null)
    }

    /// Statistic and log10 p under every decoy key.
    pub fn decoys(&self, chance: Chance) -> Vec<(f64, f64)> {
        // scores that each thread writes again
        let tried = |scores: &mut Vec<f64>, index| {
            let key = Key::decoy(chance.decoy_seed, index);
            let (units, null) = self.under(&key);
            self.score(&key, &units, scores);
            (null.statistic(scores), null.log10_p(scores))
        };
        (0..chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect()
    }
}
