//! How many audit queries the score would have needed: a test of every beginning of the audit, paid for beforehand.

use super::effect::Effect;
use super::said::{Inputs, Said, Walked};
use super::tally::Tally;
use super::weighted::WeightedSum;
use crate::keyed::scheme::Scorer;

/// z that bets are made for, each with half of what is left of the stake; the rest is kept. The first is what three decimals of
/// evidence need.
const WANTED: [f64; 5] = [4.0, 8.0, 16.0, 32.0, 64.0];

/// Beginnings of an audit, of 1, 2, 3, 4, 5, 6, 8, 10, ... answers, each a quarter more than the last, and the whole; each a score test of
/// its own.
///
/// A beginning's e-value is e(j) = sum over g of a(g) exp(lambda(g) S(j) - K(j)(lambda(g))), with shares a(g) stated beforehand and
/// lambda(g) = z(g) / sd(S(j)), halved while the mean of exp(lambda S) is infinite, none of which a key enters; what is kept of the stake
/// is a share with lambda 0. Its mean under a random key is at most 1 whatever the answers repeat. How many
/// beginnings there are, J, follows from the size of the audit. After q answers the process stands at the sum of e(j) / J over the
/// beginnings that lie within them. It never falls, and at its highest it is the mean of all e(j), whose mean is at most 1: it reaches
/// 1 / alpha with probability at most alpha (Markov), although beginnings have answers and inputs in common. So one may stop at the first
/// crossing. It needs no martingale, which reweighing what was seen before would break.
#[derive(Debug)]
pub(in crate::keyed) struct Prefixes {
    /// All but the whole.
    rungs: Vec<Rung>,
    whole: Rung,
    effect: Effect,
}

/// What the process says under one key.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::keyed) struct Process {
    /// log10 of its value after each answer.
    pub log10_e: Vec<f64>,
    /// Scored tokens in the answers up to its first crossing of 1 / alpha.
    pub tokens_to_detect: Option<u64>,
}

#[derive(Debug)]
struct Rung {
    answers: usize,
    sum: WeightedSum,
    /// (lambda, ln share - K(lambda)).
    bets: Vec<(f64, f64)>,
}

impl Prefixes {
    /// Of all that was walked.
    pub fn of(walked: &Walked<'_>, inputs: &Inputs) -> Self {
        let said = &walked.said;
        let mut tally = Tally::default();
        let mut rung = |answers: usize, from: &mut usize| {
            (*from..answers).for_each(|item| tally.add(walked, inputs, item));
            *from = answers;
            let sum = WeightedSum::of(&tally, said, None);
            let bets = bets(&sum, said);
            Rung { answers, sum, bets }
        };
        let (whole, mut from) = (walked.answers(), 0);
        let rungs = ladder(whole).into_iter().map(|answers| rung(answers, &mut from)).collect();
        let whole = rung(whole, &mut from);
        Self { rungs, whole, effect: Effect::of(&tally, said) }
    }

    /// The effect over the whole audit.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// The sum over the whole audit.
    pub fn whole(&self) -> &WeightedSum {
        &self.whole.sum
    }

    /// What the key behind `scorer` shows, S of the whole audit being `whole`; `values` is written again.
    pub fn process(&self, scorer: &Scorer, whole: f64, alpha: f64, values: &mut Vec<f64>) -> Process {
        let ln_beginnings = libm::log(self.rungs.len() as f64 + 1.0);
        let mut process = Process { log10_e: Vec::with_capacity(self.whole.answers), tokens_to_detect: None };
        let mut ln_e = f64::NEG_INFINITY;
        for rung in self.rungs.iter().chain([&self.whole]) {
            // nothing is known before the first beginning, which is one answer
            process.log10_e.resize((rung.answers).saturating_sub(1), ln_e / std::f64::consts::LN_10);
            let s = if rung.answers == self.whole.answers { whole } else { rung.sum.under(scorer, values) };
            ln_e = ln_add(ln_e, rung.ln_e(s) - ln_beginnings);
            if ln_e >= -libm::log(alpha) && process.tokens_to_detect.is_none() {
                process.tokens_to_detect = Some(rung.sum.tokens);
            }
            process.log10_e.resize(rung.answers, ln_e / std::f64::consts::LN_10);
        }
        process
    }
}

impl Rung {
    /// ln of the e-value of S = `s`; 0 where nothing varies.
    fn ln_e(&self, s: f64) -> f64 {
        if self.bets.is_empty() {
            return 0.0;
        }
        self.bets.iter().fold(f64::NEG_INFINITY, |sum, (lambda, ln_stake)| ln_add(sum, lambda * s + ln_stake))
    }
}

fn bets(sum: &WeightedSum, said: &Said<'_>) -> Vec<(f64, f64)> {
    let sd = sum.law(said.keyed).sd();
    if sd <= 0.0 {
        return Vec::new();
    }
    let (mut bets, mut left) = (Vec::new(), 1.0_f64);
    for z in WANTED {
        left *= 0.5;
        let mut bet = (z / sd, sum.ln_moment(said.keyed, z / sd));
        while bet.1 == f64::INFINITY {
            bet = (0.5 * bet.0, sum.ln_moment(said.keyed, 0.5 * bet.0));
        }
        bets.push((bet.0, libm::log(left) - bet.1));
    }
    bets.push((0.0, libm::log(left)));
    bets
}

/// Beginnings of an audit of `answers`, the whole left out.
fn ladder(answers: usize) -> Vec<usize> {
    std::iter::successors(Some(1), |&n| Some((n + 1).max(n * 5 / 4))).take_while(|&n| n < answers).collect()
}

/// ln(e^a + e^b).
fn ln_add(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large.is_finite() { large + libm::log1p(libm::exp(small - large)) } else { large }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_grow_by_a_quarter() {
        assert_eq!(ladder(20), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18]);
        assert_eq!((ladder(0), ladder(1), ladder(2)), (vec![], vec![], vec![1]));
        // of a longer audit they are the same, and more
        assert_eq!(ladder(400)[..12], ladder(20)[..]);
        assert!(ladder(100_000).len() < 60);
    }

    #[test]
    fn logs_are_added_without_overflow() {
        assert!((ln_add(libm::log(2f64), libm::log(3f64)) - libm::log(5f64)).abs() < 1e-15);
        assert_eq!(ln_add(f64::NEG_INFINITY, 1.0), 1.0);
        assert_eq!(ln_add(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(ln_add(-1e6, 1e6), 1e6);
    }
}
