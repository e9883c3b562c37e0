//! From scored units to evidence, the same for every scheme.

use rayon::prelude::*;
use stats::{Evidence, EvidenceError};

use super::scheme::Scheme;
use super::walk::Units;
use crate::case::exchanges;
use crate::{ALPHA, Case, Finding, Key, Mark, MarkError, Planting, Question};

/// A keyed scheme as a mark: planted as a law, asked by the audit, judged by the total score beside decoy keys.
pub struct Keyed<S> {
    scheme: S,
    key: Key,
}

impl<S: Scheme> Keyed<S> {
    /// `scheme` under `key`.
    pub fn new(scheme: S, key: &Key) -> Self {
        Self { scheme, key: key.clone() }
    }
}

impl<S: Scheme> Mark for Keyed<S> {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.scheme.processor())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    /// The statistic is the total score, the effect the mean score above the null's, per unit.
    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let scheme = &self.scheme;
        let refused = |error: EvidenceError| MarkError::unmeasurable(scheme.kind(), error.to_string());
        let answers = exchanges(scheme.kind(), case.suspect, 0)?;
        let units = Units::walk(answers, scheme.rules());
        let null = scheme.null();
        let n = units.len() as u64;

        let mut scores = vec![0.0; units.len()];
        scheme.scorer(&self.key)(units.flat(), &mut scores);
        let (effect, interval) = null.effect(&scores);
        let statistic = null.statistic(&scores);
        let mut evidence = Evidence::new(statistic, effect, interval, n, null.law(n), null.log10_p(&scores)).map_err(refused)?;

        // a decoy's statistic and log10 p, on scores that each thread writes again
        let decoys: Vec<(f64, f64)> = (0..case.chance.decoys as u64)
            .into_par_iter()
            .map_init(
                || vec![0.0; units.len()],
                |scores, index| {
                    scheme.scorer(&Key::decoy(case.chance.decoy_seed, index))(units.flat(), scores);
                    (null.statistic(scores), null.log10_p(scores))
                },
            )
            .collect();
        let (decoy_statistics, decoy_log10_p): (Vec<f64>, Vec<f64>) = decoys.into_iter().unzip();
        evidence = evidence.with_decoys(&decoy_statistics).map_err(refused)?;

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
            evidence = evidence.with_e_value(bet.log10_e(), bet.first_crossing(ALPHA)).map_err(refused)?;
        }
        let detail = scheme.words(&evidence, &units.skipped);
        Ok(vec![Finding {
            decoy_log10_p,
            decoy_statistics,
            max_log10_e_by_query,
            ..Finding::new(evidence, scheme.effect_unit(), detail)
        }])
    }
}
