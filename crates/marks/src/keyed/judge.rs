//! From answers to evidence, the same for every scheme.

use std::sync::Arc;

use oracle::{Exchange, TokenId};
use rayon::prelude::*;
use stats::{Evidence, EvidenceError, Interval, NullKind, NullLaw, Saddlepoint};

use super::authors::AuthorsScore;
use super::count::Count;
use super::rules::NO_TOKEN;
use super::scheme::{KeyedValues, Scheme, Scorer};
use super::score::{Candidates, Choices, Effect, Inputs, Prefixes, Process, Said, ScoreTest, Tally, Walked, WeightedSum};
use super::test_choice::KeyedTest;
use super::texts::detection;
use crate::case::exchanges;
use crate::{
    ALPHA, AnyKey, Case, Chance, ContextCounts, Detection, Detector, Finding, FollowUp, Key, Mark, MarkError, Metric, Planting,
    Question, Readable, Reduced, Seen, Whom,
};

/// A keyed scheme as a mark: planted as a law and asked by the audit.
///
/// One that has a value for every (context, candidate) is judged by the keyed score test (methods m): all tokens count, centred on the
/// raw teacher's laws along the suspect's own answers, or other models' too, which a second round asks for. The count of distinct units stands beside it.
/// Any other is judged by the count.
pub struct Keyed<S> {
    scheme: Arc<S>,
    key: Key,
    test: KeyedTest,
}

/// The number of a finding that is its effect again, with the interval that answers alone move it by.
const OVER_ANSWERS: &str = "effect_over_answers";

/// Half the width of a 95 % interval, standard deviations.
const HALF_WIDTH: f64 = 1.959_964;

impl<S: Scheme> Keyed<S> {
    /// `scheme` under `key`.
    pub fn new(scheme: S, key: &Key) -> Self {
        Self { scheme: Arc::new(scheme), key: key.clone(), test: KeyedTest::default() }
    }

    /// The same, judged by `test`.
    #[must_use]
    pub fn judged_by(self, test: &KeyedTest) -> Self {
        Self { test: test.clone(), ..self }
    }

    /// The values that the score test needs, and how it is made, where that decides.
    fn scores(&self) -> Option<(&dyn KeyedValues, &ScoreTest)> {
        match &self.test {
            KeyedTest::Score(test) => Some((self.scheme.keyed()?, test)),
            KeyedTest::Count => None,
        }
    }

    fn refused(&self, error: EvidenceError) -> MarkError {
        MarkError::unmeasurable(self.scheme.kind(), error.to_string())
    }

    /// Laws along `answers` that came back for question number `at` of the second round, reduced.
    fn laws<'a>(&self, case: &Case<'a>, answers: &[Exchange], at: usize) -> Result<&'a [Reduced], MarkError> {
        let laws = case.second.get(at).and_then(Seen::laws).filter(|laws| laws.len() == answers.len());
        laws.ok_or_else(|| MarkError::unmeasurable(self.scheme.kind(), "laws along the answers are missing"))
    }

    /// What places count, where not all count alike: the answer to question number `at` of the second round, its last.
    fn places<'a>(&self, case: &Case<'a>, answers: &[Exchange], at: usize) -> Result<Option<&'a [Reduced]>, MarkError> {
        self.scheme.place_weights().map(|_| self.laws(case, answers, at)).transpose()
    }

    /// The count of distinct units, beside decoy keys.
    fn counted(&self, case: &Case<'_>, answers: &[Exchange], keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let count = Count::of(&*self.scheme, answers, self.places(case, answers, 0)?);
        let decoys = count.decoys(case.chance);
        let one = |key: &Key| {
            let mut found = count.finding(key)?;
            let units = count.under(key).0;
            found.metrics.extend(self.scheme.further(key, units.flat(), units.weights()));
            Ok(found)
        };
        let found = keys.par_iter().map(one).collect::<Result<Vec<_>, _>>();
        self.beside(found.map_err(|error| self.refused(error))?, decoys, Evidence::with_decoys)
    }

    /// The weighted sum over all tokens, beside decoy keys and the count of distinct units.
    ///
    /// Statistic: S in standard deviations above its mean under a random key. Effect: how far the keyed value of the suspect's choices
    /// is above what the reference would have chosen, per token that was expected, all tokens and contexts alike ([`Effect`]); its 95 %
    /// interval is what keys alone move it by, by the normal approximation; of one key there is a second one, what answers alone move it by. p: Chernoff's bound, exact by construction, so that decoys are a self-test. The e-process is that of
    /// [`Prefixes`].
    fn scored(
        &self,
        (keyed, test): (&dyn KeyedValues, &ScoreTest),
        case: &Case<'_>,
        answers: &[Exchange],
        keys: &[Key],
    ) -> Result<Vec<Finding>, MarkError> {
        let (scheme, rules) = (&*self.scheme, self.scheme.rules());
        let laws = |at: usize| self.laws(case, answers, at);
        let references = (0..test.references.len()).map(laws).collect::<Result<Vec<_>, _>>()?;
        let suspect = if test.suspect == Choices::Laws { Some(laws(references.len())?) } else { None };
        let places = self.places(case, answers, references.len() + usize::from(suspect.is_some()))?;
        let contexts =
            case.contexts.filter(|_| test.kappa() > 0.0 && rules.context_width > 0).map(|counts| (counts, test.kappa()));
        let said = Said { answers, references: &references, suspect, places, rules, keyed, drawn: test.drawn, contexts };
        let count = Count::of(scheme, answers, places);
        if keyed.inputs_by_key() {
            return self.scored_apart(said, test, case, keys, &count);
        }
        let walked = Walked::of(said);
        let (inputs, alone) = (walked.inputs(None), keys.len() == 1);
        let prefixes = Prefixes::of(&walked, &inputs);
        let sum = prefixes.whole();
        let law = sum.law(keyed);
        let tried = |values: &mut Vec<f64>, index| {
            let s = sum.under(&scheme.scorer(&Key::decoy(case.chance.decoy_seed, index)), values);
            (law.z(s), sum.log10_bound(&law, s))
        };
        let decoys = (0..case.chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect();
        let one = |values: &mut Vec<f64>, key: &Key| {
            let scorer = scheme.scorer(key);
            let s = sum.under(&scorer, values);
            let effect = Moved::of(prefixes.effect(), (&scorer, keyed), alone.then_some((&walked, &inputs)), values);
            let process = prefixes.process(&scorer, s, ALPHA, values);
            let mut found = finding((sum, contexts.is_some(), test), &law, (s, effect), keyed, (process, count.finding(key)?))?;
            let (windows, weights) = sum.inputs();
            found.metrics.extend(scheme.further(key, windows, weights));
            Ok(found)
        };
        let found = keys.par_iter().map_init(Vec::new, one).collect::<Result<Vec<_>, _>>();
        self.beside(found.map_err(|error| self.refused(error))?, decoys, Evidence::with_self_test)
    }

    /// The same where each key has inputs of its own: all is summed under each, so that memory is for one key in each thread. Given its
    /// inputs, the values of a random key are independent, and so its p is exact as before.
    fn scored_apart(
        &self,
        said: Said<'_>,
        test: &ScoreTest,
        case: &Case<'_>,
        keys: &[Key],
        count: &Count<'_, S>,
    ) -> Result<Vec<Finding>, MarkError> {
        let (scheme, keyed, alone) = (&*self.scheme, said.keyed, keys.len() == 1);
        let walked = Walked::of(said);
        let tried = |values: &mut Vec<f64>, index| {
            let key = Key::decoy(case.chance.decoy_seed, index);
            let tally = Tally::of(&walked, &walked.inputs(scheme.draws(&key).as_ref()));
            let sum = WeightedSum::of(&tally, &said, None);
            let (law, s) = (sum.law(keyed), sum.under(&scheme.scorer(&key), values));
            (law.z(s), sum.log10_bound(&law, s))
        };
        let decoys = (0..case.chance.decoys as u64).into_par_iter().map_init(Vec::new, tried).collect();
        let one = |values: &mut Vec<f64>, key: &Key| {
            let (inputs, scorer) = (walked.inputs(scheme.draws(key).as_ref()), scheme.scorer(key));
            let prefixes = Prefixes::of(&walked, &inputs);
            let sum = prefixes.whole();
            let (law, s) = (sum.law(keyed), sum.under(&scorer, values));
            let effect = Moved::of(prefixes.effect(), (&scorer, keyed), alone.then_some((&walked, &inputs)), values);
            let process = prefixes.process(&scorer, s, ALPHA, values);
            let weighed = said.contexts.is_some();
            let mut found = finding((sum, weighed, test), &law, (s, effect), keyed, (process, count.finding(key)?))?;
            let (windows, weights) = sum.inputs();
            found.metrics.extend(scheme.further(key, windows, weights));
            Ok(found)
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

/// An effect under one key, with what moves it.
struct Moved {
    effect: f64,
    /// What keys alone move it by.
    interval: Interval,
    /// What answers alone move it by, where that was asked for.
    over_answers: Option<Interval>,
}

impl Moved {
    /// `None` where nothing was expected. What was walked is given where the interval over answers is wanted.
    fn of(
        effect: &Effect,
        (scorer, keyed): (&Scorer, &dyn KeyedValues),
        walked: Option<(&Walked<'_>, &Inputs)>,
        values: &mut Vec<f64>,
    ) -> Option<Self> {
        let (found, sd) = effect.under(scorer, keyed, values)?;
        let interval = Interval { low: found - HALF_WIDTH * sd, high: found + HALF_WIDTH * sd };
        Some(Self {
            effect: found,
            interval,
            over_answers: walked.and_then(|(walked, inputs)| effect.over_answers(walked, inputs, values)),
        })
    }
}

/// What one key with the sum `s`, and an effect, finds; `weighed` says whether contexts have weights, `test` how the sum was made, `counted` is what it finds among distinct units.
fn finding<K: Fn(f64) -> [f64; 3]>(
    (sum, weighed, test): (&WeightedSum, bool, &ScoreTest),
    law: &Saddlepoint<K>,
    (s, moved): (f64, Option<Moved>),
    keyed: &dyn KeyedValues,
    (process, counted): (Process, Finding),
) -> Result<Finding, EvidenceError> {
    let (z, distinct) = (law.z(s), &counted.evidence);
    let (effect, interval) = moved.as_ref().map_or((0.0, distinct.interval), |moved| (moved.effect, moved.interval));
    let words = format!("Chernoff's bound of a sum of {} weighted keyed values", sum.len());
    let null = NullLaw::new(NullKind::Chernoff, words);
    let log10_e = process.log10_e.last().copied().unwrap_or(0.0);
    let evidence = Evidence::new(z, effect, interval, sum.tokens, null, sum.log10_bound(law, s))?
        .with_e_value(log10_e, process.tokens_to_detect)?;
    let detail = format!("z {z:.1} over {} tokens; counted: {}", sum.tokens, counted.detail);
    let mut metrics = vec![
        Metric::new("score_z", z, "1"),
        Metric::new("score_log10_p", law.log10_p(s), "log10 p"),
        Metric::new("score_shrinkage", sum.shrinkage, "1"),
        Metric::new("count_units", distinct.n as f64, "units"),
        Metric::new("count_effect", distinct.effect, "1"),
        Metric::new("count_log10_p", distinct.log10_p, "log10 p"),
    ];
    if let Some(over_answers) = moved.and_then(|moved| moved.over_answers) {
        metrics.push(Metric::new(OVER_ANSWERS, effect, "1").within(over_answers));
    }
    metrics.extend(counted.metrics);
    if weighed && sum.tokens > 0 {
        metrics.push(Metric::new("score_contexts_met", sum.weighed as f64 / sum.tokens as f64, "1"));
    }
    if let [_, _, ..] = &test.references[..] {
        let named = test.references.iter().zip(&sum.shares);
        metrics.extend(named.map(|(name, share)| Metric::new(format!("score_share_{name}"), *share, "1")));
    }
    Ok(Finding { metrics, max_log10_e_by_query: process.log10_e, ..Finding::new(evidence, keyed.effect_unit(), detail) })
}

impl<S: Scheme + 'static> Mark for Keyed<S> {
    fn planting(&self) -> Vec<Planting> {
        vec![Planting::Law(self.scheme.processor())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    /// The references' laws along the suspect's answers, for schemes that have a value for every (context, candidate), and the
    /// suspect's own where they stand for its choices; last, what places count, where not all count alike.
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let Some(Seen::Exchanges(answers)) = first.first() else { return Vec::new() };
        let places = self.scheme.place_weights().map(|weights| weights.question(answers));
        let Some((_, test)) = self.scores() else { return places.into_iter().collect() };
        let question = Question::Laws { given: answers.clone(), reduce: Arc::new(Candidates::new(self.scheme.rules())) };
        let own = (test.suspect == Choices::Laws).then_some(Whom::Suspect);
        test.asked().chain(own).map(|whom| FollowUp { whom, question: question.clone() }).chain(places).collect()
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        let (Some(Seen::Exchanges(answers)), Some((_, test))) = (first.first(), self.scores()) else { return None };
        let rules = self.scheme.rules();
        let wanted = test.kappa() > 0.0 && rules.context_width > 0;
        let padding = rules.padded.then_some(NO_TOKEN);
        wanted.then(|| ContextCounts::filled_up(answers, rules.context_width, padding, rules.end))
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn authors(&self, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        self.scheme.authors().map_or(Ok(Vec::new()), |authors| authors.judge(&self.key, texts))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }

    fn readable(&self) -> Option<Readable> {
        Some(Readable { scheme: self.scheme.clone(), key: self.key.clone() })
    }

    /// None where places count by the laws that a model has there: texts alone do not say these.
    fn detector(&self) -> Option<&dyn Detector> {
        self.scheme.place_weights().is_none().then_some(self)
    }
}

/// By the count of distinct units, whatever test the file names: no model is there to be asked.
impl<S: Scheme + 'static> Detector for Keyed<S> {
    fn detect(&self, texts: &[Exchange], chance: Chance) -> Result<Vec<Detection>, MarkError> {
        let found = detection(&*self.scheme, &self.key, texts, chance);
        Ok(vec![found.map_err(|error| self.refused(error))?])
    }
}

impl<S: Scheme + 'static> AnyKey for Keyed<S> {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(self.scheme.kind(), case.suspect, 0)?;
        match self.scores() {
            Some(scores) => self.scored(scores, case, answers, keys),
            None => self.counted(case, answers, keys),
        }
    }
}
