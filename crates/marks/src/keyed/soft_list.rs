//! What schemes have in common whose mark raises the logits of a keyed list of tokens: a unit is green or not, and green ones are counted.

use std::sync::Arc;

use oracle::{LogitsProcessor, TokenId};
use stats::Evidence;
use stats::null::{Bernoulli, ListHits, Null};

use super::authors::Authors;
use super::cumulant;
use super::rules::Rules;
use super::scheme::{Draws, FixedLists, KeyedValues, Scheme, Scorer, pair_input, units_of};
use super::walk::Skipped;
use crate::Key;

/// Green lists under one key.
pub(crate) trait Lists: Send + Sync {
    /// 1 for each of `windows` (`scores.len()`, `width`) whose last token is green after those before it, else 0.
    fn score(&self, windows: &[TokenId], width: usize, scores: &mut [f64]);

    /// The PRF input of the last token of `window` after those before it, under this key.
    fn input(&self, window: &[TokenId]) -> u128;
}

/// Which pairs the PRF cannot tell apart.
#[derive(Clone, Copy)]
pub(crate) enum Alike {
    /// It tells all apart.
    None,
    /// Those with equal inputs, whatever the key.
    Always(fn(&[TokenId], TokenId) -> u128),
    /// Those with equal [`Lists::input`].
    UnderKey,
}

/// The lists of a key.
pub(crate) type ListsOf = Arc<dyn Fn(&Key) -> Arc<dyn Lists> + Send + Sync>;

/// The input of a window.
type InputOf = Box<dyn Fn(&[TokenId]) -> u128 + Send + Sync>;

/// A scheme of soft green lists.
pub(crate) struct SoftList {
    /// Kind of the mark, for errors.
    pub kind: &'static str,
    /// Which units are scored.
    pub rules: Rules,
    /// The share of tokens that is green.
    pub rate: f64,
    /// How large lists are, where they are of fixed size. The lowest 32 bits of inputs are then the token.
    pub fixed: Option<FixedLists>,
    /// Which pairs have one input.
    pub alike: Alike,
    /// The lists of a key.
    pub lists: ListsOf,
    /// What raises green tokens.
    pub processor: Arc<dyn LogitsProcessor>,
    /// The published detector, where there is one.
    pub authors: Option<Box<dyn Authors>>,
}

impl Scheme for SoftList {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        match self.fixed {
            Some(_) => Box::new(ListHits { rate: self.rate }),
            None => Box::new(Bernoulli { rate: self.rate }),
        }
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (lists, width) = ((self.lists)(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| lists.score(windows, width, scores))
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.processor.clone()
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} scored units hit", evidence.statistic, evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }

    fn draws(&self, key: &Key) -> Option<Draws> {
        let width = self.rules.context_width + 1;
        let input: InputOf = match self.alike {
            Alike::None => return None,
            Alike::Always(input) => Box::new(move |window| input(&window[..width - 1], window[width - 1])),
            Alike::UnderKey => {
                let lists = (self.lists)(key);
                Box::new(move |window| lists.input(window))
            }
        };
        Some(Box::new(move |windows, names| {
            for (name, window) in names.iter_mut().zip(windows.chunks_exact(width)) {
                *name = input(window);
            }
        }))
    }

    fn authors(&self) -> Option<&dyn Authors> {
        self.authors.as_deref()
    }
}

/// 1 for a green candidate, else 0.
impl KeyedValues for SoftList {
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        match self.alike {
            Alike::Always(input) => input(context, candidate),
            Alike::None | Alike::UnderKey => pair_input(context, candidate),
        }
    }

    fn inputs_by_key(&self) -> bool {
        matches!(self.alike, Alike::UnderKey)
    }

    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(self.rate, lambda, weight)
    }

    fn lists(&self) -> Option<FixedLists> {
        self.fixed
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}
