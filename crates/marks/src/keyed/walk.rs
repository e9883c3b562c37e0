//! From answers to scored units: the part of detection that no key enters.

use std::borrow::Cow;

use oracle::{Codec, Exchange, TokenId};
use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use crate::Reduced;

/// Longest context, in tokens, that a scheme may be keyed by: the longest of those that are published (skipgram). Methods f7: from about
/// four tokens on, contexts recur so seldom in a transfer set that students hardly learn their lists.
pub const MAX_CONTEXT: usize = 5;

/// Longest context of a scheme that pads contexts: servers let it be set, and warn above this.
pub const MAX_PADDED_CONTEXT: usize = 16;

/// Stands in a padded context for a token before the beginning of the answer; no vocabulary has it. Servers write -1.
pub const NO_TOKEN: TokenId = TokenId::MAX;

/// Which units count as one observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dedup {
    /// One unit per distinct context ("v1").
    Contexts,
    /// One unit per distinct pair of context and token ("v2"): keeps more, and is exact for a scheme whose draws are
    /// independent per pair.
    #[default]
    Pairs,
}

impl Dedup {
    /// What counts once for marks whose servers' own detectors count contexts.
    pub(crate) fn contexts() -> Self {
        Self::Contexts
    }

    /// Whether a file need not say it, where that is so.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_contexts(&self) -> bool {
        *self == Self::Contexts
    }
}

/// What a scheme says about its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Number of tokens before the scored one that seed its draw, at most [`MAX_CONTEXT`], or [`MAX_PADDED_CONTEXT`] where contexts are
    /// padded.
    pub context_width: usize,
    /// Whether contexts are of the answer only, filled up with [`NO_TOKEN`] before its beginning, so that its first tokens are scored
    /// too. Else a context may stand in the prompt, and the first tokens of an answer are not scored.
    pub padded: bool,
    /// Ids never scored and never part of a scored context, sorted.
    pub special: Vec<TokenId>,
    /// An answer is over at the first of these, whatever follows.
    pub end: Option<TokenId>,
    /// Which units count once.
    pub dedup: Dedup,
}

impl Rules {
    /// Rules for contexts of `context_width` tokens in the vocabulary of `codec`.
    pub fn new(context_width: usize, dedup: Dedup, codec: &dyn Codec) -> Self {
        assert!(context_width <= MAX_CONTEXT, "context_width {context_width} was validated to be at most {MAX_CONTEXT}");
        let mut special = codec.special_ids().to_vec();
        special.sort_unstable();
        special.dedup();
        Self { context_width, padded: false, special, end: codec.eos(), dedup }
    }

    /// Rules for contexts of `context_width` tokens of the answer only, padded before its beginning.
    pub fn padded(context_width: usize, dedup: Dedup, codec: &dyn Codec) -> Self {
        assert!(
            context_width <= MAX_PADDED_CONTEXT,
            "context_width {context_width} was validated to be at most {MAX_PADDED_CONTEXT}"
        );
        Self { context_width, padded: true, ..Self::new(0, dedup, codec) }
    }

    /// `answer` with what its contexts are filled up with before it, and the place of its first token there.
    pub fn laid_out<'a>(&self, answer: &'a [TokenId]) -> (Cow<'a, [TokenId]>, usize) {
        if self.padded && self.context_width > 0 {
            (Cow::Owned([&vec![NO_TOKEN; self.context_width], answer].concat()), self.context_width)
        } else {
            (Cow::Borrowed(answer), 0)
        }
    }

    /// The context of the token at place `at` of `answer`; none where it begins before an answer that is not padded.
    pub fn context<'a>(&self, answer: &'a [TokenId], at: usize) -> Option<Cow<'a, [TokenId]>> {
        match at.checked_sub(self.context_width) {
            Some(start) => answer.get(start..at).map(Cow::Borrowed),
            None if self.padded => Some(Cow::Owned([&vec![NO_TOKEN; self.context_width - at], answer.get(..at)?].concat())),
            None => None,
        }
    }

    /// Whether `token` is never text.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.special.binary_search(&token).is_ok()
    }

    /// Whether `token` may be scored: it is text and ends no answer.
    pub fn is_text(&self, token: TokenId) -> bool {
        !self.is_special(token) && Some(token) != self.end
    }

    /// Whether the token at place `at` of `answer` has a scored context: wholly inside the answer, without special tokens, before its
    /// end.
    pub fn scores_place(&self, answer: &[TokenId], at: usize) -> bool {
        let start = if self.padded { Some(at.saturating_sub(self.context_width)) } else { at.checked_sub(self.context_width) };
        let context = start.and_then(|start| answer.get(start..at));
        context.is_some_and(|context| !context.iter().any(|token| self.is_special(*token)))
            && self.end.is_none_or(|end| !answer[..at].contains(&end))
    }
}

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
        let width = rules.context_width + 1;
        let mut units = Self { width, windows: Vec::new(), ends: Vec::new(), weights: Vec::new(), skipped: Skipped::default() };
        let candidates = answers.iter().map(|item| item.answer.len()).sum();
        let mut seen = Distinct::with_room_for(candidates);
        let mut copied = Distinct::with_room_for(0);
        let identity = match rules.dedup {
            Dedup::Contexts => rules.context_width,
            Dedup::Pairs => width,
        };
        for (number, item) in answers.iter().enumerate() {
            let prompt = &item.query.prompt;
            copied.clear(prompt.len());
            for (at, window) in prompt.windows(width).enumerate() {
                copied.insert(window, at, |at| &prompt[at..at + width]);
            }
            let (laid_out, first) = rules.laid_out(&item.answer);
            // Tokens up to the one at hand since the last special one.
            let mut plain = first;
            for (at, &token) in laid_out.iter().enumerate().skip(first).take_while(|(_, token)| Some(**token) != rules.end) {
                plain = if rules.is_special(token) { 0 } else { plain + 1 };
                if at + 1 < width {
                    continue;
                }
                let window = &laid_out[at + 1 - width..=at];
                let weight = weights.map_or(1.0, |weights| weight_of(weights, number, at - first));
                if weight == 0.0 {
                    continue;
                }
                if plain < width {
                    units.skipped.special += 1;
                } else if copied.contains(window, |at| &prompt[at..at + width]) || begins_in(prompt, window) {
                    units.skipped.in_prompt += 1;
                } else if seen.insert(&window[..identity], units.len(), |unit| &units.windows[unit * width..][..identity]) {
                    units.windows.extend_from_slice(window);
                    units.weights.extend(weights.map(|_| weight));
                } else {
                    units.skipped.repeated += 1;
                }
            }
            units.ends.push(units.len());
        }
        units
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

/// Whether `window` is padded, and what is there of it stands in `prompt`.
fn begins_in(prompt: &[TokenId], window: &[TokenId]) -> bool {
    let there = &window[window.iter().take_while(|token| **token == NO_TOKEN).count()..];
    there.len() < window.len() && prompt.windows(there.len().max(1)).any(|stretch| stretch == there)
}

/// The weight of place `at` of answer number `number`; 0 where none is known.
pub(super) fn weight_of(weights: &[Reduced], number: usize, at: usize) -> f64 {
    weights.get(number).and_then(|places| places.at(at).first()).copied().unwrap_or(0.0)
}
