//! Weights of PRF inputs, which no key enters.

use std::collections::HashMap;

use super::fit::Fit;
use super::tally::{Said, Tally};

/// Share of the sum of squared weights that may be left out, those of the smallest: inputs that were never chosen and hardly
/// expected. What such an input shows of a mark grows with the square of its expected count, as its noise does, so that no more of
/// the signal is lost; of a large vocabulary it leaves little more than what was chosen.
const LEFT_OUT: f64 = 0.01;

/// Bits of a number's fraction that are dropped: 64 numbers are left for each doubling. Inputs of equal weight are then computed with
/// once.
const DROPPED: u32 = 46;

/// The weight of every input of a tally: w = (N - E) / (1 + s2 E) times the weight of its context.
#[derive(Debug)]
pub(super) struct Weights {
    /// By input; 0 where it was left out.
    weights: Vec<f64>,
    /// Every weight but 0, and the number of inputs that have it.
    pub values: Vec<(f64, f64)>,
    /// Sum of f E, with f = 1 / (1 + s2 E) times the weight of the context: what an effect per expected token is a share of. Of f N where
    /// nothing was expected.
    pub mass: f64,
    /// s2.
    pub shrinkage: f64,
    /// Of each reference in E.
    pub shares: Vec<f64>,
}

impl Weights {
    /// With the given s2, or the one that promises most: the largest sum of f E over the root of the sum of (f (N - E))^2, with
    /// f = 1 / (1 + s2 E). s2 = 0 weighs every token alike, a large one every distinct input. Weights are rounded to 64 for each
    /// doubling.
    pub fn of(tally: &Tally, said: &Said<'_>, shrinkage: Option<f64>) -> Self {
        let Fit { expected: by_input, shares } = Fit::of(&tally.chosen, &tally.expected);
        let counts = || tally.chosen.iter().copied().zip(by_input.iter().copied());
        let shrinkage = shrinkage.unwrap_or_else(|| best_shrinkage(counts()));
        let (mut weights, mut expected, mut chosen) = (Vec::with_capacity(tally.met.len()), 0.0, 0.0);
        for ((n, e), &(item, at, _)) in counts().zip(&tally.met) {
            let f = said.weight_of(&said.context(item, at)) / (1.0 + shrinkage * e);
            expected += f * e;
            chosen += f * n;
            weights.push(rounded(f * (n - e)));
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
        Self { weights, values, mass: if expected > 0.0 { expected } else { chosen }, shrinkage, shares }
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

/// Inputs that are expected about equally often.
#[derive(Clone, Copy, Default)]
struct Alike {
    inputs: f64,
    /// Sum of E.
    expected: f64,
    /// Sum of (N - E)^2.
    squares: f64,
}

/// The s2 that promises most for these N and E on a ladder, 0 its first rung; steps of a quarter in ln s2 lose nothing that can be seen.
/// Rungs are relative to the expected count of a typical token, so that an audit of twenty times as many equal answers has the same
/// weights.
fn best_shrinkage(counts: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut alike: HashMap<u64, Alike> = HashMap::new();
    let (mut sum, mut squares) = (0.0, 0.0);
    for (n, e) in counts {
        let class = alike.entry(rounded(e).to_bits()).or_default();
        class.inputs += 1.0;
        class.expected += e;
        class.squares += (n - e) * (n - e);
        sum += e;
        squares += e * e;
    }
    let mut alike: Vec<Alike> = alike.into_values().collect();
    alike.sort_by(|a, b| a.expected.total_cmp(&b.expected).then(a.squares.total_cmp(&b.squares)));
    let typical = squares / sum;
    let rungs = (-40..=40).map(|rung| libm::exp(f64::from(rung) / 4.0) / typical);
    let ladder = std::iter::once(0.0).chain(rungs.filter(|rung| rung.is_finite()));
    let promise = |shrinkage: f64| {
        let (mut signal, mut noise) = (0.0, 0.0);
        for class in &alike {
            let f = 1.0 / (1.0 + shrinkage * class.expected / class.inputs);
            signal += f * class.expected;
            noise += f * f * class.squares;
        }
        if noise > 0.0 { signal / noise.sqrt() } else { 0.0 }
    };
    let best = |best: (f64, f64), shrinkage: f64| {
        let promised = promise(shrinkage);
        if promised > best.1 { (shrinkage, promised) } else { best }
    };
    ladder.fold((0.0, 0.0), best).0
}

/// The size of the smallest weight that is kept: smaller ones, which come last in `values`, may be left out while their squares add up to no
/// more than their share. Weights of one size stay together, whatever their sign.
fn least_kept(values: &[(f64, f64)]) -> f64 {
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
