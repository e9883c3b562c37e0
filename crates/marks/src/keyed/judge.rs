//! From answers to evidence, the same for every scheme.

use std::sync::Arc;

use oracle::Exchange;
use rayon::prelude::*;
use stats::{Evidence, EvidenceError, Interval, NullKind, NullLaw, Saddlepoint};

use super::count::Count;
use super::scheme::{KeyedValues, Scheme};
use super::score::{Candidates, Tally, WeightedSum};
use super::test_choice::KeyedTest;
use crate::case::exchanges;
use crate::{AnyKey, Case, Finding, FollowUp, Key, Mark, MarkError, Metric, Planting, Question, Seen, Whom};

/// A keyed scheme as a mark: planted as a law and asked by the audit.
///
/// One that has a value for every (context, candidate) is judged by the keyed score test (methods m): all tokens count, centred on the
/// raw teacher's laws along the suspect's own answers, which a second round asks for. The count of distinct units stands beside it.
/// Any other is judged by the count.
pub struct Keyed<S> {
    scheme: S,
    key: Key,
    test: KeyedTest,
}

/// Half the width of a 95 % interval, standard deviations.
const HALF_WIDTH: f64 = 1.959_964;

impl<S: Scheme> Keyed<S> {
    /// `scheme` under `key`.
    pub fn new(scheme: S, key: &Key) -> Self {
        Self { scheme, key: key.clone(), test: KeyedTest::default() }
    }

    /// The same, judged by `test`.
    #[must_use]
    pub fn judged_by(self, test: KeyedTest) -> Self {
        Self { test, ..self }
    }

    /// The values that the score test needs, where that decides.
    fn scores(&self) -> Option<&dyn KeyedValues> {
        self.scheme.keyed().filter(|_| self.test == KeyedTest::Score)
    }

    fn refused(&self, error: EvidenceError) -> MarkError {
        MarkError::unmeasurable(self.scheme.kind(), error.to_string())
    }

    /// The count of distinct units, beside decoy keys.
    fn counted(&self, case: &Case<'_>, answers: &[Exchange], keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let count = Count::of(&self.scheme, answers);
        let decoys = count.decoys(case.chance);
        let found = keys.par_iter().map(|key| count.finding(key)).collect::<Result<Vec<_>, _>>();
        self.beside(found.map_err(|error| self.refused(error))?, decoys, Evidence::with_decoys)
    }

    /// The weighted sum over all tokens, beside decoy keys and the count of distinct units.
    ///
    /// Statistic: S in standard deviations above its mean under a random key. Effect: how far the keyed value of the suspect's choices
    /// is above what the reference would have chosen, per token that was expected; its 95 % interval is what keys alone move it by, by
    /// the normal approximation. p: Chernoff's bound, exact by construction, so that decoys are a self-test. The e-process is that of the
    /// count.
    fn scored(
        &self,
        keyed: &dyn KeyedValues,
        case: &Case<'_>,
        answers: &[Exchange],
        keys: &[Key],
    ) -> Result<Vec<Finding>, MarkError> {
        let scheme = &self.scheme;
        let laws = case.second.first().and_then(Seen::laws).filter(|laws| laws.len() == answers.len());
        let missing = || MarkError::unmeasurable(scheme.kind(), "laws of the reference along the answers are missing");
        let tally = Tally::of(answers, laws.ok_or_else(missing)?, scheme.rules(), keyed);
        let sum = WeightedSum::of(&tally, answers, scheme.rules(), keyed, None);
        let (law, count) = (sum.law(keyed), Count::of(scheme, answers));
        let tried = |values: &mut Vec<f64>, index| {
            let s = sum.under(&scheme.scorer(&Key::decoy(case.chance.decoy_seed, index)), values);
            (law.z(s), sum.log10_bound(&law, s))
        };
        let decoys = (0..case.chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect();
        let one = |values: &mut Vec<f64>, key: &Key| {
            let s = sum.under(&scheme.scorer(key), values);
            finding(&sum, &law, s, keyed, count.finding(key)?)
        };
        let found = keys.par_iter().map_init(Vec::new, one).collect::<Result<Vec<_>, _>>();
        self.beside(found.map_err(|error| self.refused(error))?, decoys, Evidence::with_self_test)
    }

    /// `found` beside (statistic, log10 p) of decoy keys, which the first finding lists; `put` says what they are for.
    fn beside(
        &self,
        found: Vec<Finding>,
        decoys: Vec<(f64, f64)>,
        put: fn(Evidence, &[f64]) -> Result<Evidence, EvidenceError>,
    ) -> Result<Vec<Finding>, MarkError> {
        let (statistics, log10_p): (Vec<f64>, Vec<f64>) = decoys.into_iter().unzip();
        let with = |finding: Finding| {
            let evidence = put(finding.evidence, &statistics).map_err(|error| self.refused(error))?;
            Ok(Finding { evidence, ..finding })
        };
        let mut found = found.into_iter().map(with).collect::<Result<Vec<_>, MarkError>>()?;
        if let Some(first) = found.first_mut() {
            (first.decoy_statistics, first.decoy_log10_p) = (statistics, log10_p);
        }
        Ok(found)
    }
}

/// What one key with the sum `s` finds; `counted` is what it finds among distinct units.
fn finding<K: Fn(f64) -> [f64; 3]>(
    sum: &WeightedSum,
    law: &Saddlepoint<K>,
    s: f64,
    keyed: &dyn KeyedValues,
    counted: Finding,
) -> Result<Finding, EvidenceError> {
    let (z, distinct) = (law.z(s), &counted.evidence);
    let (effect, interval) = if sum.mass > 0.0 {
        let (effect, half) = ((s - law.mean()) / sum.mass, HALF_WIDTH * law.sd() / sum.mass);
        (effect, Interval { low: effect - half, high: effect + half })
    } else {
        (0.0, distinct.interval)
    };
    let words = format!("Chernoff's bound of a sum of {} weighted keyed values", sum.len());
    let null = NullLaw::new(NullKind::Chernoff, words);
    let mut evidence = Evidence::new(z, effect, interval, sum.tokens, null, sum.log10_bound(law, s))?;
    if let Some(log10_e) = distinct.log10_e {
        evidence = evidence.with_e_value(log10_e, distinct.units_to_detect)?;
    }
    let detail = format!("z {z:.1} over {} tokens; counted: {}", sum.tokens, counted.detail);
    let metrics = vec![
        Metric::new("score_z", z, "1"),
        Metric::new("score_log10_p", law.log10_p(s), "log10 p"),
        Metric::new("score_shrinkage", sum.shrinkage, "1"),
        Metric::new("count_units", distinct.n as f64, "units"),
        Metric::new("count_effect", distinct.effect, "1"),
        Metric::new("count_log10_p", distinct.log10_p, "log10 p"),
    ];
    Ok(Finding {
        metrics,
        max_log10_e_by_query: counted.max_log10_e_by_query,
        ..Finding::new(evidence, keyed.effect_unit(), detail)
    })
}

impl<S: Scheme> Mark for Keyed<S> {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.scheme.processor())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    /// The raw teacher's laws along the suspect's answers, for schemes that have a value for every (context, candidate).
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let (Some(Seen::Exchanges(answers)), Some(_)) = (first.first(), self.scores()) else { return Vec::new() };
        let question = Question::Laws { given: answers.clone(), reduce: Arc::new(Candidates::new(self.scheme.rules())) };
        vec![FollowUp { whom: Whom::Teacher, question }]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }
}

impl<S: Scheme> AnyKey for Keyed<S> {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(self.scheme.kind(), case.suspect, 0)?;
        match self.scores() {
            Some(keyed) => self.scored(keyed, case, answers, keys),
            None => self.counted(case, answers, keys),
        }
    }
}
