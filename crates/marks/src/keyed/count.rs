//! The count of distinct units: each unit is scored once, and p is the tail of the total (methods 0.1 to 0.6).

use std::borrow::Cow;
use std::collections::HashSet;

use oracle::Exchange;
use rayon::prelude::*;
use stats::null::Null;
use stats::{Evidence, EvidenceError};

use super::scheme::Scheme;
use super::walk::Units;
use crate::{ALPHA, Chance, Finding, Key};

/// The distinct units of some answers, ready to be scored under any key.
pub(super) struct Count<'a, S> {
    scheme: &'a S,
    null: Box<dyn Null>,
    /// What is scored.
    pub units: Units,
}

impl<'a, S: Scheme> Count<'a, S> {
    pub fn of(scheme: &'a S, answers: &[Exchange]) -> Self {
        Self { scheme, null: scheme.null(), units: Units::walk(answers, scheme.rules()) }
    }

    /// What `key` finds, without decoys. The statistic is the total score, the effect the mean score above the null's, per unit.
    pub fn finding(&self, key: &Key) -> Result<Finding, EvidenceError> {
        let Self { scheme, null, .. } = self;
        let units = &*self.under(key);
        let mut scores = vec![0.0; units.len()];
        scheme.scorer(key)(units.flat(), &mut scores);
        let (effect, interval) = null.effect(&scores);
        let (statistic, n) = (null.statistic(&scores), units.len() as u64);
        let mut evidence = Evidence::new(statistic, effect, interval, n, null.law(n), null.log10_p(&scores))?;
        let mut max_log10_e_by_query = Vec::new();
        if let Some(mut bet) = null.bet() {
            let mut done = 0;
            for &end in units.ends() {
                for &score in &scores[done..end] {
                    bet.push(score);
                }
                done = end;
                max_log10_e_by_query.push(bet.max_log10_e());
            }
            evidence = evidence.with_e_value(bet.log10_e(), bet.first_crossing(ALPHA))?;
        }
        let detail = scheme.words(&evidence, &units.skipped);
        Ok(Finding { max_log10_e_by_query, ..Finding::new(evidence, scheme.effect_unit(), detail) })
    }

    /// The units that have a draw of their own under `key`.
    fn under(&self, key: &Key) -> Cow<'_, Units> {
        let Some(draws) = self.scheme.draws(key) else { return Cow::Borrowed(&self.units) };
        let mut names = vec![0; self.units.len()];
        draws(self.units.flat(), &mut names);
        let mut seen = HashSet::with_capacity(names.len());
        let kept: Vec<bool> = names.into_iter().map(|name| seen.insert(name)).collect();
        Cow::Owned(self.units.only(&kept))
    }

    /// Statistic and log10 p under every decoy key.
    pub fn decoys(&self, chance: Chance) -> Vec<(f64, f64)> {
        let Self { scheme, null, .. } = self;
        // scores that each thread writes again
        let tried = |scores: &mut Vec<f64>, index| {
            let key = Key::decoy(chance.decoy_seed, index);
            let units = self.under(&key);
            scores.resize(units.len(), 0.0);
            scheme.scorer(&key)(units.flat(), scores);
            (null.statistic(scores), null.log10_p(scores))
        };
        (0..chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect()
    }
}
