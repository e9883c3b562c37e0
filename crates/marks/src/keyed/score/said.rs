//! What a suspect said, walked once for all keys.

use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use oracle::{Exchange, TokenId};

use super::candidates::Candidates;
use super::names::{ByCandidate, Numbers};
use crate::keyed::rules::{NO_TOKEN, Rules};
use crate::keyed::scheme::{Draws, KeyedValues, pair_input};
use crate::keyed::walk::weight_of;
use crate::{ContextCounts, Reduced};

/// Answers, and what they are judged by.
#[derive(Clone, Copy)]
pub(in crate::keyed) struct Said<'a> {
    /// The suspect's answers.
    pub answers: &'a [Exchange],
    /// Laws along each of them, by reference.
    pub references: &'a [&'a [Reduced]],
    /// The suspect's own laws along them, where they stand for its choices.
    pub suspect: Option<&'a [Reduced]>,
    /// What each place of each answer counts, where not all count alike.
    pub places: Option<&'a [Reduced]>,
    /// Which places are scored.
    pub rules: &'a Rules,
    /// Which values there are.
    pub keyed: &'a dyn KeyedValues,
    /// Whether a key drew the tokens: what choices scatter about an unmarked model's is then the mark, for the greater part.
    pub drawn: bool,
    /// How often contexts occur where no key was, and the number of times that weighs half.
    pub contexts: Option<(&'a ContextCounts, f64)>,
}

impl<'a> Said<'a> {
    /// Context of the place `at`, a scored one, of answer number `item`.
    pub fn context(&self, item: u32, at: u32) -> Cow<'a, [TokenId]> {
        self.rules.context(&self.answers[item as usize].answer, at as usize).unwrap_or_default()
    }

    /// The weight of a context: n / (n + kappa), 1 where nothing is known of contexts.
    pub fn weight_of(&self, context: &[TokenId]) -> f64 {
        let Some((counts, kappa)) = self.contexts else { return 1.0 };
        let met = counts.met(context) as f64;
        if met > 0.0 { met / (met + kappa) } else { 0.0 }
    }
}

/// Where a pair was met first: answer, place in it, and candidate.
pub(super) type Met = (u32, u32, TokenId);

/// A pair of context and candidate that was chosen, or would have been.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// Number of the pair.
    pub pair: u32,
    /// The reference that would have chosen it; `None` where the suspect did.
    pub reference: Option<u16>,
    /// How often, on average.
    pub times: f64,
}

/// What one answer holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer {
    /// Where its events end.
    pub end: usize,
    /// Scored tokens.
    pub tokens: u64,
    /// Those of them whose context has a weight.
    pub weighed: u64,
    /// Whether no answer before it is the same, to the same prompt.
    pub first: bool,
}

/// All pairs that answers hold, in the order of their first places. No key enters.
pub(in crate::keyed) struct Walked<'a> {
    pub(super) said: Said<'a>,
    /// Pairs end to end: context, then candidate.
    windows: Vec<TokenId>,
    pub(super) met: Vec<Met>,
    /// Where a key decides what the PRF cannot tell apart: among pairs of one candidate only.
    by_candidate: Option<ByCandidate>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

impl<'a> Walked<'a> {
    /// Of all that was `said`. A place is scored where the context lies in the answer and holds no special token; candidates that
    /// stand after the same context in the item's own prompt are left out there, of what was chosen and of what was expected.
    pub fn of(said: Said<'a>) -> Self {
        // a pair is the number of its context, and a candidate: half as long as its name, in a table of millions
        let (mut contexts, mut pairs) = (Numbers::default(), Numbers::<u64>::default());
        let (mut distinct, mut answers) = (HashSet::new(), Vec::with_capacity(said.answers.len()));
        let (mut windows, mut met, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let rules = said.rules;
        for (item, exchange) in said.answers.iter().enumerate() {
            let prompt = &exchange.query.prompt;
            let mut hasher = DefaultHasher::new();
            (prompt, &exchange.answer).hash(&mut hasher);
            let mut answer = Answer { first: distinct.insert(hasher.finish()), ..Answer::default() };
            let laws: Vec<&Reduced> = said.references.iter().map(|laws| &laws[item]).collect();
            let own = said.suspect.map(|laws| &laws[item]);
            // a law may be missing where the answer is longer than the reference's context
            let known = laws.iter().copied().chain(own).map(Reduced::len).fold(exchange.answer.len(), usize::min);
            for place in (0..known).filter_map(|at| rules.place(exchange, at)) {
                let at = place.at();
                let counts = said.places.map_or(1.0, |weights| weight_of(weights, item, at));
                if counts == 0.0 {
                    continue;
                }
                let context = &*place.context();
                let of_context = u64::from(contexts.of(pair_input(context, 0))) << 32;
                // of a padded context what is there of it
                let there = &context[context.iter().take_while(|token| **token == NO_TOKEN).count()..];
                let width = there.len();
                let after = prompt.windows(width + 1).filter(|window| window[..width] == *there).map(|window| window[width]);
                let mut copied: Vec<TokenId> = after.collect();
                copied.sort_unstable();
                let fresh = |candidate: TokenId| copied.binary_search(&candidate).is_err();
                let mut add = |candidate: TokenId, reference: Option<u16>, times: f64| {
                    let pair = pairs.of(of_context | u64::from(candidate));
                    if pair as usize == met.len() {
                        met.push((item as u32, at as u32, candidate));
                        windows.extend_from_slice(context);
                        windows.push(candidate);
                    }
                    events.push(Event { pair, reference, times });
                };
                for (reference, laws) in laws.iter().enumerate() {
                    for (candidate, p) in laws.at(at).iter().map(|kept| Candidates::unpacked(*kept)) {
                        if fresh(candidate) {
                            add(candidate, Some(reference as u16), counts * p);
                        }
                    }
                }
                for (candidate, p) in own.into_iter().flat_map(|own| own.at(at)).map(|kept| Candidates::unpacked(*kept)) {
                    if fresh(candidate) {
                        add(candidate, None, counts * p);
                    }
                }
                let token = place.token();
                if rules.is_text(token) && fresh(token) {
                    if own.is_none() {
                        add(token, None, counts);
                    }
                    answer.tokens += 1;
                    answer.weighed += u64::from(said.weight_of(context) > 0.0);
                }
            }
            answer.end = events.len();
            answers.push(answer);
        }
        let by_candidate = said.keyed.inputs_by_key().then(|| {
            let candidates: Vec<TokenId> = met.iter().map(|(.., candidate)| *candidate).collect();
            ByCandidate::of(&candidates)
        });
        Self { said, windows, met, by_candidate, events, answers }
    }

    /// Number of answers.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Answer number `item`, and its events.
    pub(super) fn answer(&self, item: usize) -> (Answer, &[Event]) {
        let begin = item.checked_sub(1).map_or(0, |before| self.answers[before].end);
        (self.answers[item], &self.events[begin..self.answers[item].end])
    }

    /// Which pairs the PRF cannot tell apart: by `draws` under the key at hand, where the key decides it.
    pub fn inputs(&self, draws: Option<&Draws>) -> Inputs {
        let width = self.windows.len() / self.met.len().max(1);
        let mut names = vec![0; self.met.len()];
        match draws {
            Some(draws) => draws(&self.windows, &mut names),
            None => {
                for (name, window) in names.iter_mut().zip(self.windows.chunks(width.max(1))) {
                    let (candidate, context) = window.split_last().unwrap_or((&0, &[]));
                    *name = self.said.keyed.input(context, *candidate);
                }
            }
        }
        // where the PRF tells all pairs apart they are numbered already, and a table of millions of names is most of the work
        let mut pairs = names.iter().zip(self.windows.chunks(width.max(1)));
        let is_pair = |(name, window): (&u128, &[TokenId])| {
            window.split_last().is_some_and(|(candidate, context)| *name == pair_input(context, *candidate))
        };
        if draws.is_none() && pairs.all(is_pair) {
            return Inputs { of_pair: (0..self.met.len() as u32).collect(), met: self.met.clone(), names };
        }
        let of_pair: Vec<u32> = match &self.by_candidate {
            Some(pairs) if draws.is_some() => pairs.numbered(&names),
            _ => {
                let mut numbers = Numbers::<u128>::default();
                names.iter().map(|name| numbers.of(*name)).collect()
            }
        };
        let (mut met, mut by_number) = (Vec::new(), Vec::new());
        for ((number, name), place) in of_pair.iter().zip(names).zip(&self.met) {
            if *number as usize == met.len() {
                met.push(*place);
                by_number.push(name);
            }
        }
        Inputs { of_pair, met, names: by_number }
    }
}

/// Inputs of the PRF, in the order of their first places.
pub(in crate::keyed) struct Inputs {
    /// The input of each pair, by its number.
    pub(super) of_pair: Vec<u32>,
    /// Where each was met first.
    pub(super) met: Vec<Met>,
    /// What each is called.
    pub(super) names: Vec<u128>,
}
