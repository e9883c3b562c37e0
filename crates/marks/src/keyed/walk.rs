//! From answers to scored units: the part of detection that no key enters.

use oracle::{Exchange, TokenId};
use serde::{Deserialize, Serialize};

use super::distinct::{self, Distinct};
use super::place::{Place, Unit};
use super::rules::{Dedup, NO_TOKEN, Rules};
use crate::Reduced;

/// How many candidate units were not scored, by the first reason that applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// A special token was scored or is in the context.
    pub special: u64,
    /// Context and token are in the item's own prompt, so they may be copied (methods 0.2b).
    pub in_prompt: u64,
    /// Seen before in this corpus (methods 0.1).
    pub repeated: u64,
}

/// The scored units of a corpus, in the order of its answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    width: usize,
    /// (units, width): context, then scored token.
    windows: Vec<TokenId>,
    /// Number of units in the answers up to and including each item.
    ends: Vec<usize>,
    /// What each counts; empty where all count alike.
    weights: Vec<f64>,
    /// What was left out.
    pub skipped: Skipped,
}

impl Units {
    /// Walks over `answers`: a unit lies wholly inside one answer (its context never touches the prompt, methods 0.2a),
    /// holds no special token, is nowhere in its own prompt, and occurs once in the whole corpus. Of a padded unit the tokens that are
    /// there must be nowhere in the prompt.
    pub fn walk(answers: &[Exchange], rules: &Rules) -> Self {
        Self::walk_weighed(answers, rules, None)
    }

    /// The same where places count by `weights`, one number for each place of each answer: a place of weight 0 is passed over, and a unit
    /// has the weight of its first other place.
    pub fn walk_weighed(answers: &[Exchange], rules: &Rules, weights: Option<&[Reduced]>) -> Self {
        let mut units = Gathered::new(rules, answers);
        let mut copied = Distinct::with_room_for(0);
        let width = rules.context_width + 1;
        for (number, item) in answers.iter().enumerate() {
            let prompt = &item.query.prompt;
            copied.clear(prompt.len());
            for (at, window) in prompt.windows(width).enumerate() {
                copied.insert(window, distinct::hash(window), at, |at| &prompt[at..at + width]);
            }
            for place in rules.places(item) {
                let weight = weights.map(|weights| weight_of(weights, number, place.at()));
                if weight == Some(0.0) {
                    continue;
                }
                let Some(unit) = place.said() else {
                    units.units.skipped.special += 1;
                    continue;
                };
                let window = unit.window();
                let hash = distinct::hash(window);
                if copied.contains(window, hash, |at| &prompt[at..at + width]) || begins_in(prompt, window) {
                    units.units.skipped.in_prompt += 1;
                } else {
                    units.take(&unit, hash, weight);
                }
            }
            units.end_of_answer();
        }
        units.units
    }

    /// The units that a model predicts along `given` texts, which may be marked with the very key that is tested (methods f1): what
    /// `predicted` says after a context takes the place of what the text says. Where the context came earlier in the same input a model
    /// may copy what the mark chose there, so the place is passed over; any other context has a list of its own that nothing of the input
    /// before it depends on, and a prediction that knows no key hits it at the null's rate.
    pub(crate) fn predicted(given: &[Exchange], rules: &Rules, predicted: impl Fn(usize, &Place<'_>) -> Option<TokenId>) -> Self {
        let mut units = Gathered::new(rules, given);
        for (number, item) in given.iter().enumerate() {
            for place in rules.fresh_places(item) {
                match predicted(number, &place).and_then(|token| place.predicted(token)) {
                    Some(unit) => units.take(&unit, distinct::hash(unit.window()), None),
                    None => units.units.skipped.special += 1,
                }
            }
            units.end_of_answer();
        }
        units.units
    }

    /// The units whose context `knows`; the others count as nothing that was skipped.
    pub(crate) fn with_context(&self, knows: impl Fn(&[TokenId]) -> bool) -> Self {
        let kept: Vec<bool> = self.windows().map(|window| knows(&window[..self.width - 1])).collect();
        Self { skipped: self.skipped, ..self.only(&kept) }
    }

    /// These units as far as `kept` says, one for each.
    pub(super) fn only(&self, kept: &[bool]) -> Self {
        let none = Self { width: self.width, windows: Vec::new(), ends: Vec::new(), weights: Vec::new(), skipped: self.skipped };
        let (mut units, mut done) = (none, 0);
        for &end in &self.ends {
            for (unit, &is_kept) in (done..end).zip(&kept[done..end]) {
                if is_kept {
                    units.windows.extend_from_slice(&self.windows[unit * self.width..][..self.width]);
                    units.weights.extend(self.weights.get(unit));
                } else {
                    units.skipped.repeated += 1;
                }
            }
            done = end;
            units.ends.push(units.len());
        }
        units
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        self.windows.len() / self.width
    }

    /// Whether nothing is to be scored.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Tokens of a unit: the context and the scored one.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What each unit counts; empty where all count alike.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// All units end to end (units, width).
    pub fn flat(&self) -> &[TokenId] {
        &self.windows
    }

    /// Every unit: its context, then its scored token.
    pub fn windows(&self) -> impl Iterator<Item = &[TokenId]> {
        self.windows.chunks_exact(self.width)
    }

    /// Number of units in the first `i + 1` answers, for every answer `i`.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }
}

/// Units that have room from the beginning.
const FIRST_UNITS: usize = 1 << 20;

/// Units under way.
struct Gathered {
    units: Units,
    seen: Distinct,
    /// Tokens of a unit that tell it from others.
    identity: usize,
}

impl Gathered {
    /// None yet, of `answers`.
    fn new(rules: &Rules, answers: &[Exchange]) -> Self {
        let width = rules.context_width + 1;
        let candidates: usize = answers.iter().map(|item| item.answer.len()).sum();
        let windows = Vec::with_capacity(candidates.min(FIRST_UNITS) * width);
        let units = Units { width, windows, ends: Vec::new(), weights: Vec::new(), skipped: Skipped::default() };
        let identity = match rules.dedup {
            Dedup::Contexts => rules.context_width,
            Dedup::Pairs => width,
        };
        Self { units, seen: Distinct::with_room_for(candidates), identity }
    }

    /// Takes `unit`, whose hash is given, unless it was met before. Nothing else puts tokens among those that are scored.
    fn take(&mut self, unit: &Unit<'_>, hash: u32, weight: Option<f64>) {
        let (units, identity, window) = (&mut self.units, self.identity, unit.window());
        let (width, name) = (units.width, &window[..identity]);
        let hash = if identity == width { hash } else { distinct::hash(name) };
        if self.seen.insert(name, hash, units.len(), |unit| &units.windows[unit * width..][..identity]) {
            units.windows.extend_from_slice(window);
            units.weights.extend(weight);
        } else {
            units.skipped.repeated += 1;
        }
    }

    fn end_of_answer(&mut self) {
        self.units.ends.push(self.units.len());
    }
}

/// Whether `window` is padded, and what is there of it stands in `prompt`.
fn begins_in(prompt: &[TokenId], window: &[TokenId]) -> bool {
    let there = &window[window.iter().take_while(|token| **token == NO_TOKEN).count()..];
    there.len() < window.len() && prompt.windows(there.len().max(1)).any(|stretch| stretch == there)
}

/// The weight of place `at` of answer number `number`; 0 where none is known.
pub(super) fn weight_of(weights: &[Reduced], number: usize, at: usize) -> f64 {
    weights.get(number).and_then(|places| places.at(at).first()).copied().unwrap_or(0.0)
}
