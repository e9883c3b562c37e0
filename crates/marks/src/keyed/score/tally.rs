//! How often each PRF input was chosen, and how often an unmarked reference would have chosen it.

use super::said::{Inputs, Met, Walked};

/// N and E of every input that was chosen or expected, in the order of their first places.
#[derive(Debug, Default)]
pub(in crate::keyed) struct Tally {
    /// Times that each was chosen, or would have been on average.
    pub chosen: Vec<f64>,
    /// Times that a reference would have chosen it, on average, by reference.
    pub expected: Vec<Vec<f64>>,
    /// Where each was met first.
    pub(super) met: Vec<Met>,
    /// What each is called.
    pub(super) names: Vec<u128>,
    /// Scored tokens.
    pub tokens: u64,
    /// Those of them whose context has a weight.
    pub weighed: u64,
    /// Answers, and distinct ones.
    pub(super) answers: u64,
    pub(super) distinct: u64,
}

impl Tally {
    /// Of all that was walked.
    pub fn of(walked: &Walked<'_>, inputs: &Inputs) -> Self {
        let mut tally = Self::default();
        (0..walked.answers()).for_each(|item| tally.add(walked, inputs, item));
        tally
    }

    /// Adds answer number `item`, the next one.
    pub fn add(&mut self, walked: &Walked<'_>, inputs: &Inputs, item: usize) {
        let (answer, events) = walked.answer(item);
        self.answers += 1;
        self.distinct += u64::from(answer.first);
        self.tokens += answer.tokens;
        self.weighed += answer.weighed;
        self.expected.resize_with(walked.said.references.len(), || vec![0.0; self.met.len()]);
        for event in events {
            let input = inputs.of_pair[event.pair as usize] as usize;
            // inputs come in the order of their numbers
            if input == self.met.len() {
                self.met.push(inputs.met[input]);
                self.names.push(inputs.names[input]);
                self.chosen.push(0.0);
                self.expected.iter_mut().for_each(|expected| expected.push(0.0));
            }
            match event.reference {
                Some(reference) => self.expected[usize::from(reference)][input] += event.times,
                None => self.chosen[input] += event.times,
            }
        }
    }

    /// How often the same was answered to the same prompt, on average: copies are no further draws.
    pub fn copies(&self) -> f64 {
        self.answers.max(1) as f64 / self.distinct.max(1) as f64
    }
}
