//! Green mass: the share of a student's probability that is on green tokens, once for each context (methods f5).

use std::collections::HashSet;

use oracle::{Exchange, TokenId};
use rayon::prelude::*;
use stats::null::{Bounded, Null};
use stats::{EvidenceError, tail};

use crate::keyed::count::in_order;
use crate::keyed::{Candidates, Rules};
use crate::{Chance, Finding, Key, Metric, Reduced, Scheme};

/// A student's laws after distinct contexts, ready to be weighed under any key.
pub(super) struct Masses {
    /// Every candidate after every context as a unit, end to end (units, context width + 1).
    windows: Vec<TokenId>,
    /// Its probability among the candidates that were kept.
    shares: Vec<f64>,
    /// Number of units after each context and those before it.
    contexts: Vec<usize>,
    /// Number of contexts in each text and those before it.
    ends: Vec<usize>,
    /// Contexts before the filter.
    met: usize,
}

impl Masses {
    /// Of `laws` along `texts`, at the first place of each context that `knows` keeps, where that is the first in its own input too. The
    /// law there is among the candidates that are text: their probabilities are made to add up to 1, so that their mean mass is
    /// the rate of green tokens whatever was left out.
    pub fn of(rules: &Rules, texts: &[Exchange], laws: &[Reduced], knows: &dyn Fn(&[TokenId]) -> bool) -> Self {
        let mut this = Self { windows: Vec::new(), shares: Vec::new(), contexts: Vec::new(), ends: Vec::new(), met: 0 };
        let mut seen: HashSet<Vec<TokenId>> = HashSet::new();
        for (text, laws) in texts.iter().zip(laws) {
            for place in rules.fresh_places(text) {
                let units = Candidates::at(laws, place.at()).filter_map(|(id, p)| Some((place.predicted(id)?, p)));
                let (units, shares): (Vec<_>, Vec<f64>) = units.unzip();
                let total: f64 = shares.iter().sum();
                let context = place.context();
                if total <= 0.0 || !seen.insert(context.to_vec()) {
                    continue;
                }
                this.met += 1;
                if knows(&context) {
                    this.windows.extend(units.iter().flat_map(|unit| unit.window()));
                    this.shares.extend(shares.iter().map(|share| share / total));
                    this.contexts.push(this.shares.len());
                }
            }
            this.ends.push(this.contexts.len());
        }
        this
    }

    /// The share of contexts that the filter kept.
    pub fn kept(&self) -> f64 {
        self.contexts.len() as f64 / self.met.max(1) as f64
    }

    /// Green mass after every context under `key`; `scores` is written again.
    fn under(&self, scheme: &dyn Scheme, key: &Key, scores: &mut Vec<f64>) -> Vec<f64> {
        scores.resize(self.shares.len(), 0.0);
        scheme.scorer(key)(&self.windows, scores);
        let mut from = 0;
        let mass = |&end: &usize| {
            let after = from..end;
            from = end;
            let mass: f64 = after.map(|unit| self.shares[unit] * scores[unit]).sum();
            // shares add up to 1 but for rounding
            mass.clamp(0.0, 1.0)
        };
        self.contexts.iter().map(mass).collect()
    }

    /// What `key` finds: the total mass, its mean above the rate of green tokens, and the p of bets on it. Hoeffding's p stands beside it.
    pub fn finding(&self, scheme: &dyn Scheme, key: &Key) -> Result<Finding, EvidenceError> {
        let null = null(scheme);
        let masses = self.under(scheme, key, &mut Vec::new());
        let (evidence, max_log10_e_by_query) = in_order(&null, &masses, &self.ends)?;
        let mean = (null.mean + evidence.effect).clamp(0.0, 1.0);
        let detail = format!("mean green mass {mean:.4} after {} contexts", evidence.n);
        let hoeffding = tail::log10_hoeffding(evidence.n, mean, null.mean);
        let metrics = vec![Metric::new("hoeffding_log10_p", hoeffding, "log10 p")];
        let found = Finding::new(evidence, "green mass per context above chance", detail);
        Ok(Finding { metrics, max_log10_e_by_query, ..found })
    }

    /// Statistic and log10 p under every decoy key.
    pub fn decoys(&self, scheme: &dyn Scheme, chance: Chance) -> Vec<(f64, f64)> {
        let null = null(scheme);
        let tried = |scores: &mut Vec<f64>, index| {
            let masses = self.under(scheme, &Key::decoy(chance.decoy_seed, index), scores);
            (null.statistic(&masses), null.log10_p(&masses))
        };
        (0..chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect()
    }
}

/// Mass of the mean that hits have.
fn null(scheme: &dyn Scheme) -> Bounded {
    // a mark without a rate was refused when this one was built
    Bounded { mean: scheme.null().law(1).mean.unwrap_or(0.5) }
}
