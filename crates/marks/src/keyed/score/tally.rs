//! How often each PRF input was chosen, and how often an unmarked reference would have chosen it.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use oracle::{Exchange, TokenId};

use super::candidates::Candidates;
use crate::keyed::rules::{MAX_PADDED_CONTEXT, NO_TOKEN, Rules};
use crate::keyed::scheme::{Draws, KeyedValues};
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
    /// Their inputs under the key at hand, where the key decides which these are.
    pub draws: Option<&'a Draws>,
    /// Whether a key drew the tokens: what choices scatter about an unmarked model's is then the mark, for the greater part.
    pub drawn: bool,
    /// How often contexts occur where no key was, and the number of times that weighs half.
    pub contexts: Option<(&'a ContextCounts, f64)>,
}

impl<'a> Said<'a> {
    /// The PRF input of a pair.
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        let Some(draws) = self.draws else { return self.keyed.input(context, candidate) };
        let (mut window, mut name) = ([0; MAX_PADDED_CONTEXT + 1], [0]);
        window[..context.len()].copy_from_slice(context);
        window[context.len()] = candidate;
        draws(&window[..=context.len()], &mut name);
        name[0]
    }

    /// Visits what answer number `item` holds, in the order of its places. A place is scored where the context lies in the answer and holds no
    /// special token; candidates that stand after the same context in the item's own prompt are left out there, of what was chosen and of
    /// what was expected.
    pub(super) fn walk(&self, item: usize, mut visit: impl FnMut(Met)) {
        let rules = self.rules;
        let exchange = &self.answers[item];
        let prompt = &exchange.query.prompt;
        let laws: Vec<&Reduced> = self.references.iter().map(|laws| &laws[item]).collect();
        let (own, item) = (self.suspect.map(|laws| &laws[item]), item as u32);
        // a law may be missing where the answer is longer than the reference's context
        let known = laws.iter().copied().chain(own).map(Reduced::len).fold(exchange.answer.len(), usize::min);
        for place in (0..known).filter_map(|at| rules.place(exchange, at)) {
            let at = place.at();
            let counts = self.places.map_or(1.0, |weights| weight_of(weights, item as usize, at));
            if counts == 0.0 {
                continue;
            }
            let context = &*place.context();
            // of a padded context what is there of it
            let there = &context[context.iter().take_while(|token| **token == NO_TOKEN).count()..];
            let width = there.len();
            let after = prompt.windows(width + 1).filter(|window| window[..width] == *there).map(|window| window[width]);
            let mut copied: Vec<TokenId> = after.collect();
            copied.sort_unstable();
            let fresh = |candidate: TokenId| copied.binary_search(&candidate).is_err();
            for (reference, laws) in laws.iter().enumerate() {
                for (candidate, p) in laws.at(at).iter().map(|kept| Candidates::unpacked(*kept)) {
                    if fresh(candidate) {
                        let (input, place) = (self.input(context, candidate), (item, at as u32, candidate));
                        visit(Met::Expected { reference, place, input, times: counts * p });
                    }
                }
            }
            for (candidate, p) in own.into_iter().flat_map(|own| own.at(at)).map(|kept| Candidates::unpacked(*kept)) {
                if fresh(candidate) {
                    let (input, place) = (self.input(context, candidate), (item, at as u32, candidate));
                    visit(Met::Chosen { place, input, times: counts * p });
                }
            }
            let token = place.token();
            if rules.is_text(token) && fresh(token) {
                if own.is_none() {
                    let (input, place) = (self.input(context, token), (item, at as u32, token));
                    visit(Met::Chosen { place, input, times: counts });
                }
                visit(Met::Token { weighed: self.weight_of(context) > 0.0 });
            }
        }
    }

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

/// What an answer holds. A `place` is answer, place in it, and candidate.
pub(super) enum Met {
    /// A reference would have chosen an input there so many times, on average.
    Expected { reference: usize, place: (u32, u32, TokenId), input: u128, times: f64 },
    /// The suspect chose it, or would have so many times on average.
    Chosen { place: (u32, u32, TokenId), input: u128, times: f64 },
    /// A token is scored, whose context has a weight or none.
    Token { weighed: bool },
}

/// N and E of every input that was chosen or expected, in the order of their first places.
#[derive(Debug, Default)]
pub(in crate::keyed) struct Tally {
    /// Times that each was chosen, or would have been on average.
    pub chosen: Vec<f64>,
    /// Times that a reference would have chosen it, on average, by reference.
    pub expected: Vec<Vec<f64>>,
    /// Where each was met first: answer, place in it, and candidate.
    pub met: Vec<(u32, u32, TokenId)>,
    /// Scored tokens.
    pub tokens: u64,
    /// Those of them whose context has a weight.
    pub weighed: u64,
    /// Answers, and hashes of the distinct ones, each with its prompt.
    pub(super) answers: u64,
    pub(super) distinct: HashSet<u64>,
    pub(super) known: Known,
}

/// Numbers of inputs.
pub(super) type Known = HashMap<u128, usize, BuildHasherDefault<Folded>>;

/// A multiplication by an odd constant, folded: most of the work is looking up, and inputs that collide cost time only.
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let product = u128::from(self.0 ^ u64::from_le_bytes(word)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (product >> 64) as u64 ^ product as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Tally {
    /// Of all answers.
    pub fn of(said: &Said<'_>) -> Self {
        let mut tally = Self::default();
        (0..said.answers.len()).for_each(|item| tally.add(said, item));
        tally
    }

    /// Adds answer number `item`.
    pub fn add(&mut self, said: &Said<'_>, item: usize) {
        let exchange = &said.answers[item];
        let mut hasher = DefaultHasher::new();
        (&exchange.query.prompt, &exchange.answer).hash(&mut hasher);
        self.distinct.insert(hasher.finish());
        self.answers += 1;
        self.expected.resize_with(said.references.len(), || vec![0.0; self.met.len()]);
        said.walk(item, |met| match met {
            Met::Expected { reference, place, input, times } => {
                let input = self.number(input, place);
                self.expected[reference][input] += times;
            }
            Met::Chosen { place, input, times } => {
                let input = self.number(input, place);
                self.chosen[input] += times;
            }
            Met::Token { weighed } => {
                self.tokens += 1;
                self.weighed += u64::from(weighed);
            }
        });
    }

    /// How often the same was answered to the same prompt, on average: copies are no further draws.
    pub fn copies(&self) -> f64 {
        self.answers.max(1) as f64 / self.distinct.len().max(1) as f64
    }

    /// Inputs and their numbers, in no order.
    pub fn inputs(&self) -> impl Iterator<Item = (u128, usize)> {
        self.known.iter().map(|(input, number)| (*input, *number))
    }

    /// The number of an input, which is met at `place`.
    fn number(&mut self, input: u128, place: (u32, u32, TokenId)) -> usize {
        let next = self.met.len();
        let number = *self.known.entry(input).or_insert(next);
        if number == next {
            self.met.push(place);
            self.chosen.push(0.0);
            self.expected.iter_mut().for_each(|expected| expected.push(0.0));
        }
        number
    }
}
