//! How far the keyed value of a suspect's choices lies above what an unmarked model would have chosen: all tokens alike.

use oracle::TokenId;
use stats::Interval;
use stats::interval::ratio_interval;

use super::fit::Fit;
use super::said::{Inputs, Said, Walked};
use super::tally::Tally;
use super::weights::least_kept;
use crate::keyed::scheme::{KeyedValues, Scorer};

/// Marks an input whose N is all but its E.
const LEFT_OUT: u32 = u32::MAX;

/// The sum of (N - E) xi over the inputs of some answers, per expected token, ready for any key.
///
/// Neither s2 nor contexts weigh here: these make the test strong, and would make the effect of a teacher, whose contexts have no weights, and of
/// its student two different things. Inputs whose (N - E)^2 are together a hundredth of all, the smallest ones, are left out.
#[derive(Debug)]
pub(in crate::keyed) struct Effect {
    /// Inputs that are kept, end to end: context, then candidate.
    windows: Vec<TokenId>,
    /// Their N - E.
    deviations: Vec<f64>,
    /// Where an input stands among them, by its number, or [`LEFT_OUT`].
    kept: Vec<u32>,
    /// Of each reference in E.
    shares: Vec<f64>,
    /// Sum of E.
    expected: f64,
}

impl Effect {
    /// Of `tally`, that of all that was `said`.
    pub fn of(tally: &Tally, said: &Said<'_>) -> Self {
        let nothing = Tally::default();
        let tally = if tally.tokens == 0 { &nothing } else { tally };
        let Fit { expected, shares } = Fit::of(&tally.chosen, &tally.expected);
        let by_input: Vec<f64> = tally.chosen.iter().zip(&expected).map(|(n, e)| n - e).collect();
        let mut sizes: Vec<(f64, f64)> = by_input.iter().map(|deviation| (deviation.abs(), 1.0)).collect();
        sizes.sort_by(|a, b| b.0.total_cmp(&a.0));
        let least = least_kept(&sizes);
        let (mut windows, mut deviations) = (Vec::new(), Vec::new());
        let mut keep = |(&deviation, &(item, at, candidate)): (&f64, &(u32, u32, TokenId))| {
            if deviation == 0.0 || deviation.abs() < least {
                return LEFT_OUT;
            }
            windows.extend_from_slice(&said.context(item, at));
            windows.push(candidate);
            deviations.push(deviation);
            deviations.len() as u32 - 1
        };
        let kept = by_input.iter().zip(&tally.met).map(&mut keep).collect();
        Self { windows, deviations, kept, shares, expected: expected.iter().sum() }
    }

    /// The effect under the key behind `scorer`, and its standard deviation under a random key, values taken as independent. `None` where
    /// nothing was expected. `values` is written again: by how much the value of each kept input lies above the mean of a random key.
    pub fn under(&self, scorer: &Scorer, keyed: &dyn KeyedValues, values: &mut Vec<f64>) -> Option<(f64, f64)> {
        let [_, mean, variance] = keyed.cumulant(0.0, 1.0);
        values.resize(self.deviations.len(), 0.0);
        scorer(&self.windows, values);
        values.iter_mut().for_each(|value| *value -= mean);
        let sum: f64 = self.deviations.iter().zip(&*values).map(|(deviation, value)| deviation * value).sum();
        let squares: f64 = self.deviations.iter().map(|deviation| deviation * deviation).sum();
        (self.expected > 0.0).then(|| (sum / self.expected, (variance * squares).sqrt() / self.expected))
    }

    /// The effect's 95 % interval over answers, a ratio of sums over them: how far answers to other prompts would move it under the same key. `values` are
    /// those of [`Self::under`], and the others what this was made of. `None` where less than two of them expect anything.
    pub fn over_answers(&self, walked: &Walked<'_>, inputs: &Inputs, values: &[f64]) -> Option<Interval> {
        let value = |pair: u32| match self.kept.get(inputs.of_pair[pair as usize] as usize) {
            None | Some(&LEFT_OUT) => 0.0,
            Some(&kept) => values[kept as usize],
        };
        let of_answer = |item| {
            walked.answer(item).1.iter().fold((0.0, 0.0), |(above, expected), event| match event.reference {
                Some(reference) => {
                    let times = self.shares[usize::from(reference)] * event.times;
                    (above - times * value(event.pair), expected + times)
                }
                None => (above + event.times * value(event.pair), expected),
            })
        };
        let (above, expected): (Vec<f64>, Vec<f64>) = (0..walked.answers()).map(of_answer).unzip();
        ratio_interval(&above, &expected)
    }
}
