//! Keyed values that count which steps a pair's draw has reached.

use oracle::TokenId;
use stats::null::{Bernoulli, Finite, Null};

use super::scheme::{KeyedValues, Scorer, units_of};
use super::siphash::{self, SipState};
use crate::Key;
use crate::key::Purpose;

/// The number of steps at or below the draw of a pair of context and token, where the draw is a keyed uniform number.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    purpose: Purpose,
    /// Least draw that reaches each, ascending.
    steps: Vec<u32>,
    law: Finite,
}

impl Steps {
    /// Steps at these shares of all draws, ascending and strictly between 0 and 1; `purpose` names the draws.
    pub fn new(purpose: Purpose, shares: &[f64]) -> Self {
        let steps: Vec<u32> = shares.iter().map(|share| (share * 2f64.powi(32)).ceil() as u32).collect();
        let ends = steps.iter().map(|step| f64::from(*step)).chain([2f64.powi(32)]);
        let mut start = 0.0;
        let mut law = Vec::new();
        for (value, end) in ends.enumerate() {
            if end > start {
                law.push((value as f64, (end - start) / 2f64.powi(32)));
            }
            start = end;
        }
        Self { purpose, steps, law: Finite::new(law) }
    }

    /// What draws under `key`.
    pub fn state(&self, key: &Key) -> SipState {
        SipState::new(&key.sip_key(self.purpose))
    }

    /// The law of values under a random key: exact for one step, a bound for several.
    pub fn null(&self) -> Box<dyn Null> {
        match self.steps[..] {
            [step] => Box::new(Bernoulli { rate: 1.0 - f64::from(step) / 2f64.powi(32) }),
            _ => Box::new(self.law.clone()),
        }
    }

    /// Scores units whose contexts hold `context_width` tokens.
    pub fn scorer(&self, key: &Key, context_width: usize) -> Scorer {
        let (state, steps, width) = (self.state(key), self.steps.clone(), context_width + 1);
        Box::new(move |windows, scores| {
            let mut draws = vec![0; scores.len()];
            siphash::windows(state, windows, width, &mut draws);
            for (score, draw) in scores.iter_mut().zip(draws) {
                *score = steps.iter().map(|step| f64::from(u8::from(draw >= *step))).sum();
            }
        })
    }
}

impl KeyedValues for Steps {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key, context.len())(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        let [k, slope, curve] = self.law.cumulants(lambda * weight);
        [k, weight * slope, weight * weight * curve]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_law_that_they_say() {
        let steps = Steps::new(Purpose::Kind("dip"), &[0.2, 0.8]);
        let (key, candidates): (_, Vec<TokenId>) = (Key::decoy(1, 1), (0..60_000).collect());
        let mut values = vec![0.0; candidates.len()];
        steps.values(&key, &[5, 6], &candidates, &mut values);
        for (value, p) in [(0.0, 0.2), (1.0, 0.6), (2.0, 0.2)] {
            let share = values.iter().filter(|v| **v == value).count() as f64 / 60_000.0;
            // 4 standard deviations, error rate 1e-4
            assert!((share - p).abs() < 4.0 * f64::sqrt(p * (1.0 - p) / 60_000.0), "{share} of {value}");
        }
        let [k, slope, curve] = steps.cumulant(0.0, 3.0);
        assert!(k.abs() < 1e-12 && (slope - 3.0).abs() < 1e-8 && (curve - 9.0 * 0.4).abs() < 1e-8);
        // both steps at one place
        let double = Steps::new(Purpose::Kind("dip"), &[0.5, 0.5]);
        assert!((double.cumulant(1.0, 1.0)[0] - libm::log(0.5 + 0.5 * libm::exp(2.0))).abs() < 1e-12);
    }
}
