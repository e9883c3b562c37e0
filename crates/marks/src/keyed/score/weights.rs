//! Weights of PRF inputs, which no key enters.

use std::collections::HashMap;

use super::fit::Fit;
use super::said::Said;
use super::tally::Tally;

/// Share of the sum of squared weights that may be left out, those of the smallest: inputs that were never chosen and hardly
/// expected. What such an input shows of a mark grows with the square of its expected count, as its noise does, so that no more of
/// the signal is lost; of a large vocabulary it leaves little more than what was chosen.
const LEFT_OUT: f64 = 0.01;

/// Bits of a number's fraction that are dropped: 64 numbers are left for each doubling. Inputs of equal weight are then computed with
/// once.
const DROPPED: u32 = 46;

/// A count N of answers says as much of an input as this many times what was expected of it: an input that is chosen again and again
/// against all expectation has one keyed value, which is no larger for it.
const CHOSEN: f64 = 0.25;

/// Of a scheme whose key raises probabilities most of the scatter is the thief's want of practice, and hides less of the mark than it looks.
const OF_RAISED: f64 = 0.125;

/// Laws in place of choices are free of the noise of draws, so that what they say of an input is known from less.
const OF_LAWS: f64 = 4.0;

/// Most that counts are taken to scatter, relative to what was expected, squared: rates that are off by as much as they are large. With more, inputs
/// that were never chosen and hardly expected would weigh as much as those that were chosen.
const MOST: f64 = 1.0;

/// The weight of every input of a tally: w = (N - E) / (1 + s2 (E + N / 4)) times the weight of its context.
#[derive(Debug)]
pub(super) struct Weights {
    /// By input; 0 where it was left out.
    weights: Vec<f64>,
    /// Every weight but 0, and the number of inputs that have it.
    pub values: Vec<(f64, f64)>,
    /// s2.
    pub shrinkage: f64,
    /// Of each reference in E.
    pub shares: Vec<f64>,
}

impl Weights {
    /// With the given s2, or the one that the counts have: by how much N scatters about E beyond what draws explain, relative to E, squared
    /// (Var N = E + s2 E^2, the law of a count whose rate is itself uncertain), by the method of moments, at most 1; four times that for laws, an
    /// eighth of it where the key does not draw the tokens.
    /// (N - E) / (1 + s2 E) is then what the counts say of ln of the rate. No key enters. s2 = 0 weighs every token alike, a large one every
    /// distinct input. Answers that are copies of others are one draw: an audit of twenty times the same answers has the same weights.
    /// Weights are rounded to 64 for each doubling.
    ///
    /// The N in the denominator is ours: without it a few inputs that were often chosen against all expectation have nearly all weight, and
    /// a value that is drawn once carries no more than its own tail (what was measured: experiments/README.md, "How watermarks are judged").
    pub fn of(tally: &Tally, said: &Said<'_>, shrinkage: Option<f64>) -> Self {
        let Fit { expected: by_input, shares } = Fit::of(&tally.chosen, &tally.expected);
        let counts = || tally.chosen.iter().copied().zip(by_input.iter().copied());
        let shrinkage = shrinkage.unwrap_or_else(|| spread(counts(), tally.copies(), said));
        let inputs = tally.met.len();
        let mut weights = Vec::with_capacity(inputs);
        for ((n, e), &(item, at, _)) in counts().zip(&tally.met) {
            let of_context = said.weight_of(&said.context(item, at));
            weights.push(rounded(of_context * (n - e) / (1.0 + shrinkage * (e + CHOSEN * n))));
        }
        let mut inputs: HashMap<u64, f64> = HashMap::new();
        for weight in weights.iter().filter(|weight| **weight != 0.0) {
            *inputs.entry(weight.to_bits()).or_default() += 1.0;
        }
        let mut values: Vec<(f64, f64)> = inputs.into_iter().map(|(bits, inputs)| (f64::from_bits(bits), inputs)).collect();
        values.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(b.0.total_cmp(&a.0)));
        let least = least_kept(&values);
        values.retain(|(weight, _)| weight.abs() >= least);
        weights.iter_mut().filter(|weight| weight.abs() < least).for_each(|weight| *weight = 0.0);
        Self { weights, values, shrinkage, shares }
    }

    /// The weight of input number `at`.
    pub fn at(&self, at: usize) -> f64 {
        self.weights[at]
    }
}

/// The nearest of 64 numbers for each doubling.
fn rounded(weight: f64) -> f64 {
    f64::from_bits((weight.to_bits() + (1 << (DROPPED - 1))) >> DROPPED << DROPPED)
}

/// s2 of these N and E, each answer being there so many times.
fn spread(counts: impl Iterator<Item = (f64, f64)>, copies: f64, said: &Said<'_>) -> f64 {
    let (mut scatter, mut by_draws, mut squares) = (0.0, 0.0, 0.0);
    for (n, e) in counts {
        scatter += (n - e) * (n - e);
        by_draws += e;
        squares += e * e;
    }
    // of one copy: both sums of squares by its square, E by itself; and s2 goes with E, which is that of all
    let (by_draws, of_choices) = if said.suspect.is_some() { (0.0, OF_LAWS) } else { (copies * by_draws, 1.0) };
    let factor = of_choices * if said.drawn { 1.0 } else { OF_RAISED };
    let spread = (scatter - by_draws) / squares;
    factor * if spread > 0.0 && spread.is_finite() { spread.min(MOST) } else { 0.0 } / copies
}

/// The size of the smallest weight that is kept: smaller ones, which come last in `values`, may be left out while their squares add up to no
/// more than their share. Weights of one size stay together, whatever their sign.
pub(super) fn least_kept(values: &[(f64, f64)]) -> f64 {
    let square = |(weight, inputs): &(f64, f64)| inputs * weight * weight;
    let mut left: f64 = LEFT_OUT * values.iter().map(square).sum::<f64>();
    let kept = values.iter().rev().find(|value| {
        left -= square(value);
        left < 0.0
    });
    kept.map_or(0.0, |(weight, _)| weight.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_one_size_are_left_out_together_or_not_at_all() {
        // of 100 in squares 1 may go: both of the size 0.6 may (0.72), of the size 0.9 one alone could
        let large = (99.2_f64 - 0.81).sqrt();
        assert_eq!(least_kept(&[(large, 1.0), (0.9, 1.0), (-0.9, 1.0)]), 0.9);
        assert_eq!(least_kept(&[(99.28_f64.sqrt(), 1.0), (0.6, 1.0), (-0.6, 1.0)]), 99.28_f64.sqrt());
        assert_eq!(least_kept(&[]), 0.0);
    }
}
