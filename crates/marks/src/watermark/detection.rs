//! From scored units to evidence, the same for every scheme.

use oracle::{Exchange, TokenId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stats::Evidence;

use super::null::Null;
use super::walk::{Rules, Skipped, Units};
use crate::key::Key;
use crate::mark::{ALPHA, MarkError};

/// Fills in the scores of units (units, width), each its context and then its token, under one key.
pub(crate) type Scorer = Box<dyn Fn(&[TokenId], &mut [f64])>;

/// Units whose scores under a decoy key are held at once.
const BLOCK: usize = 1024;

/// What a scheme has to say to be detected.
pub(crate) trait Scheme: Sync {
    /// Name, for errors.
    fn name(&self) -> &'static str;
    /// Which units are scored.
    fn rules(&self) -> &Rules;
    /// Law of one score when the text owes nothing to the key.
    fn null(&self) -> Null;
    /// How a key scores units.
    fn scorer(&self, key: &Key) -> Scorer;
}

/// What a suspect's answers show of a watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The test: the statistic is the total score, the effect the mean score above the null's, per unit.
    pub evidence: Evidence,
    /// log10 p of every decoy key on the same units.
    pub decoy_log10_p: Vec<f64>,
    /// For every answer, in order: the largest log10 e-value up to and including it.
    pub max_log10_e_by_query: Vec<f64>,
    /// Candidate units that were not scored.
    pub skipped: Skipped,
}

impl Detection {
    /// How many audit queries had to be asked of this suspect until the e-process reached 1 / `alpha`: valid although
    /// one stops at the first crossing (methods 0.5).
    pub fn audit_queries_to_detect(&self, alpha: f64) -> Option<u64> {
        let threshold = -alpha.log10();
        self.max_log10_e_by_query.iter().position(|&log10_e| log10_e >= threshold).map(|query| query as u64 + 1)
    }
}

/// Walks over `answers` and tests the total score under `key`, beside `decoys` decoy keys.
pub(crate) fn detect(
    scheme: &dyn Scheme,
    key: &Key,
    answers: &[Exchange],
    decoys: usize,
    decoy_seed: u64,
    pool: &rayon::ThreadPool,
) -> Result<Detection, MarkError> {
    let refused = |error: stats::EvidenceError| MarkError::Unmeasurable { mark: scheme.name(), reason: error.to_string() };
    let units = Units::walk(answers, scheme.rules());
    let null = scheme.null();
    let n = units.len() as u64;

    let mut scores = vec![0.0; units.len()];
    scheme.scorer(key)(units.flat(), &mut scores);
    let total: f64 = scores.iter().sum();
    let (effect, interval) = null.effect(total, n);
    let mut evidence = Evidence::new(total, effect, interval, n, null.describe(n), null.log10_p(total, n)).map_err(refused)?;

    let decoy_totals: Vec<f64> = pool.install(|| {
        (0..decoys as u64)
            .into_par_iter()
            .map(|index| {
                let score = scheme.scorer(&Key::decoy(decoy_seed, index));
                let mut scores = [0.0; BLOCK];
                let mut total = 0.0;
                for windows in units.flat().chunks(BLOCK * units.width()) {
                    let scores = &mut scores[..windows.len() / units.width()];
                    score(windows, scores);
                    total += scores.iter().sum::<f64>();
                }
                total
            })
            .collect()
    });
    if decoys > 0 {
        evidence = evidence.with_decoys(&decoy_totals).map_err(refused)?;
    }

    let mut bet = null.bet();
    let mut done = 0;
    let mut max_log10_e_by_query = Vec::with_capacity(answers.len());
    for &end in units.ends() {
        for &score in &scores[done..end] {
            bet.push(score);
        }
        done = end;
        max_log10_e_by_query.push(bet.max_log10_e());
    }
    evidence = evidence.with_e_value(bet.log10_e(), bet.first_crossing(ALPHA)).map_err(refused)?;

    let decoy_log10_p = decoy_totals.iter().map(|&total| null.log10_p(total, n)).collect();
    Ok(Detection { evidence, decoy_log10_p, max_log10_e_by_query, skipped: units.skipped })
}
