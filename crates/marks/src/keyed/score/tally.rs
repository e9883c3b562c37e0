//! How often each PRF input was chosen, and how often an unmarked reference would have chosen it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use oracle::{Exchange, TokenId};

use super::candidates::Candidates;
use crate::Reduced;
use crate::keyed::scheme::KeyedValues;
use crate::keyed::walk::Rules;

/// N and E of every input that was chosen or expected, in the order of their first places.
#[derive(Debug, Default)]
pub(in crate::keyed) struct Tally {
    /// Times that each was chosen.
    pub chosen: Vec<u32>,
    /// Times that the reference would have chosen it, on average.
    pub expected: Vec<f64>,
    /// Where each was met first: answer, place in it, and candidate.
    pub met: Vec<(u32, u32, TokenId)>,
    /// Scored tokens: the sum of `chosen`.
    pub tokens: u64,
}

/// Numbers of inputs.
type Known = HashMap<u128, usize, BuildHasherDefault<Folded>>;

/// A multiplication by an odd constant, folded: most of the work is looking up, and inputs that collide cost time only.
#[derive(Default)]
struct Folded(u64);

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
    /// Of `answers`, along which the reference's laws are `laws`. A place is scored where the context lies in the answer and holds no
    /// special token; candidates that stand after the same context in the item's own prompt are left out there, in both sums.
    pub fn of(answers: &[Exchange], laws: &[Reduced], rules: &Rules, keyed: &dyn KeyedValues) -> Self {
        let mut tally = Self::default();
        let mut known = Known::default();
        let width = rules.context_width;
        for (item, (exchange, laws)) in (0..).zip(answers.iter().zip(laws)) {
            let (prompt, answer) = (&exchange.query.prompt, &exchange.answer);
            // a law may be missing where the answer is longer than the reference's context
            let places = (0..answer.len().min(laws.len())).filter(|at| rules.scores_place(answer, *at));
            for at in places {
                let context = &answer[at - width..at];
                let after = prompt.windows(width + 1).filter(|window| window[..width] == *context).map(|window| window[width]);
                let mut copied: Vec<TokenId> = after.collect();
                copied.sort_unstable();
                let fresh = |candidate: TokenId| copied.binary_search(&candidate).is_err();
                for (candidate, p) in laws.at(at).iter().map(|kept| Candidates::unpacked(*kept)) {
                    if fresh(candidate) {
                        let input = tally.input(&mut known, keyed.input(context, candidate), (item, at as u32, candidate));
                        tally.expected[input] += p;
                    }
                }
                let token = answer[at];
                if rules.is_text(token) && fresh(token) {
                    let input = tally.input(&mut known, keyed.input(context, token), (item, at as u32, token));
                    tally.chosen[input] += 1;
                    tally.tokens += 1;
                }
            }
        }
        tally
    }

    /// The number of an input, which is met at `place`.
    fn input(&mut self, known: &mut Known, input: u128, place: (u32, u32, TokenId)) -> usize {
        let next = self.met.len();
        let number = *known.entry(input).or_insert(next);
        if number == next {
            self.met.push(place);
            self.chosen.push(0);
            self.expected.push(0.0);
        }
        number
    }
}
