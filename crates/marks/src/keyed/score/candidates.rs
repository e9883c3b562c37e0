//! What is kept of a reference's laws.

use oracle::{Exchange, Law, TokenId};

use crate::keyed::rules::Rules;
use crate::{Reduce, Reduced};

/// Less probable candidates are left out: they say nothing, and are most of a large vocabulary.
const LEAST: f32 = 1e-6;

/// Most candidates that are kept of one law, the most probable: memory for any vocabulary.
const MOST: usize = 256;

/// Keeps, of every scored place, the candidates with their probabilities in the order of their ids, one number each: the id plus half
/// of the probability.
pub(crate) struct Candidates {
    rules: Rules,
    of_shared_tokens: bool,
}

impl Candidates {
    pub fn new(rules: &Rules) -> Self {
        Self { rules: rules.clone(), of_shared_tokens: false }
    }

    /// Those that a model of another tokenizer shares, where it has one.
    pub fn of_shared_tokens(rules: &Rules) -> Self {
        Self { of_shared_tokens: true, ..Self::new(rules) }
    }

    /// Candidate and probability behind a number that was kept. Ids below 2^25 leave the probability 28 bits.
    pub fn unpacked(kept: f64) -> (TokenId, f64) {
        (kept as TokenId, 2.0 * kept.fract())
    }

    /// The candidates that were kept at one place, with their probabilities, in the order of their ids.
    pub fn at(laws: &Reduced, place: usize) -> impl Iterator<Item = (TokenId, f64)> {
        laws.at(place).iter().map(|kept| Self::unpacked(*kept))
    }
}

impl Reduce for Candidates {
    fn of_shared_tokens(&self) -> bool {
        self.of_shared_tokens
    }

    fn reduce(&self, given: &Exchange, position: usize, law: Law<'_>, kept: &mut Vec<f64>) {
        if self.rules.place(given, position).is_none() {
            return;
        }
        let least = libm::logf(LEAST);
        let wanted = |&(id, log_prob): &(TokenId, f32)| log_prob >= least && self.rules.is_text(id);
        let mut likely: Vec<(TokenId, f32)> = match law {
            Law::Whole(log_probs) => (0..).zip(log_probs.iter().copied()).filter(wanted).collect(),
            Law::Top { ids, log_probs } => ids.iter().copied().zip(log_probs.iter().copied()).filter(wanted).collect(),
        };
        if likely.len() > MOST {
            likely.select_nth_unstable_by(MOST, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            likely.truncate(MOST);
        }
        likely.sort_unstable_by_key(|candidate| candidate.0);
        kept.reserve_exact(likely.len());
        kept.extend(likely.iter().map(|&(id, log_prob)| f64::from(id) + 0.5 * libm::exp(f64::from(log_prob)).min(1.0)));
    }
}
