use std::collections::BTreeMap;

use oracle::{Exchange, TokenId};

use super::groups::{Group, Groups};
use crate::Reduced;
use crate::keyed::{Candidates, Rules};

/// What one answer says of tokens, ready for any split: no key enters.
pub(super) struct Said {
    /// Tokens with the sums over places of the suspect's and the raw teacher's probabilities, of text and of what is shown of it.
    tokens: Vec<(TokenId, [f64; 2])>,
    /// Number of places, above 0.
    places: f64,
}

impl Said {
    /// Of `answer`, along which the raw teacher has the laws `teacher`, and the suspect `own`; without these its tokens stand for them.
    /// None where no place shows both.
    pub(super) fn of(answer: &Exchange, rules: &Rules, teacher: &Reduced, own: Option<&Reduced>) -> Option<Self> {
        let (mut sums, mut places): (BTreeMap<TokenId, [f64; 2]>, f64) = (BTreeMap::new(), 0.0);
        for (at, &token) in answer.answer.iter().enumerate() {
            let expected = law(teacher.at(at));
            let suspect = match own {
                Some(own) => law(own.at(at)),
                None if rules.place(answer, at).is_some_and(|place| place.said().is_some()) => vec![(token, 1.0)],
                None => Vec::new(),
            };
            if expected.is_empty() || suspect.is_empty() {
                continue;
            }
            places += 1.0;
            for (side, law) in [suspect, expected].into_iter().enumerate() {
                law.into_iter().for_each(|(token, p)| sums.entry(token).or_default()[side] += p);
            }
        }
        (places > 0.0).then(|| Self { tokens: sums.into_iter().collect(), places })
    }

    /// Number of places.
    pub(super) fn places(&self) -> f64 {
        self.places
    }

    /// Mean probability of the first group, the suspect's and the raw teacher's.
    pub(super) fn shares(&self, groups: &Groups) -> [f64; 2] {
        let first = self.tokens.iter().filter(|(token, _)| groups.group(*token) == Some(Group::First));
        first.fold([0.0; 2], |[a, b], (_, [own, expected])| [a + own / self.places, b + expected / self.places])
    }
}

/// Tokens of one kept law with their probabilities among these.
fn law(kept: &[f64]) -> Vec<(TokenId, f64)> {
    let mut law: Vec<(TokenId, f64)> = kept.iter().map(|kept| Candidates::unpacked(*kept)).collect();
    let all: f64 = law.iter().map(|(_, p)| p).sum();
    if all.is_nan() || all <= 0.0 {
        return Vec::new();
    }
    law.iter_mut().for_each(|(_, p)| *p /= all);
    law
}
