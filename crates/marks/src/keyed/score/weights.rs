//! Weights of PRF inputs, which no key enters.

use std::collections::HashMap;

use super::tally::Tally;

/// Share of the sum of squared weights that may be left out, those of the smallest: inputs that were never chosen and hardly
/// expected. What such an input shows of a mark grows with the square of its expected count, as its noise does, so that no more of
/// the signal is lost; of a large vocabulary it leaves little more than what was chosen.
const LEFT_OUT: f64 = 0.01;

/// Expected counts are rounded to so many steps for each doubling, and never coarser than one step of 1: equal inputs are then
/// computed with once.
const STEPS: f64 = 64.0;

/// Inputs with the same counts.
#[derive(Debug, Clone, Copy)]
struct Class {
    chosen: f64,
    expected: f64,
    inputs: f64,
}

/// The weight of every input of a tally: w = (N - E) / (1 + s2 E).
#[derive(Debug)]
pub(super) struct Weights {
    classes: Vec<Class>,
    /// By class; 0 where it was left out.
    weights: Vec<f64>,
    /// The class of every input.
    class_of: Vec<u32>,
    /// s2.
    pub shrinkage: f64,
}

impl Weights {
    /// With the given s2, or the one that promises most: the largest sum of f E over the root of the sum of (f (N - E))^2, with
    /// f = 1 / (1 + s2 E). s2 = 0 weighs every token alike, a large one every distinct input.
    pub fn of(tally: &Tally, shrinkage: Option<f64>) -> Self {
        let mut known = HashMap::new();
        let mut classes: Vec<Class> = Vec::new();
        let mut class = |(&chosen, &expected): (&u32, &f64)| {
            let expected = rounded(expected);
            let at = *known.entry((chosen, expected.to_bits())).or_insert(classes.len());
            if at == classes.len() {
                classes.push(Class { chosen: f64::from(chosen), expected, inputs: 0.0 });
            }
            classes[at].inputs += 1.0;
            at as u32
        };
        let class_of = tally.chosen.iter().zip(&tally.expected).map(&mut class).collect();
        let shrinkage = shrinkage.unwrap_or_else(|| best_shrinkage(&classes));
        let mut weights: Vec<f64> =
            classes.iter().map(|class| (class.chosen - class.expected) / (1.0 + shrinkage * class.expected)).collect();
        leave_out_the_smallest(&classes, &mut weights);
        Self { classes, weights, class_of, shrinkage }
    }

    /// The weight of input number `at`.
    pub fn at(&self, at: usize) -> f64 {
        self.weights[self.class_of[at] as usize]
    }

    /// Every weight but 0, and the number of inputs that have it.
    pub fn values(&self) -> Vec<(f64, f64)> {
        let kept = self.classes.iter().zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        kept.map(|(class, weight)| (*weight, class.inputs)).collect()
    }

    /// Sum of f E: what an effect per expected token is a share of. Of f N where nothing was expected.
    pub fn mass(&self) -> f64 {
        let sum = |count: fn(&Class) -> f64| -> f64 {
            self.classes.iter().map(|class| class.inputs * count(class) / (1.0 + self.shrinkage * class.expected)).sum()
        };
        let expected = sum(|class| class.expected);
        if expected > 0.0 { expected } else { sum(|class| class.chosen) }
    }
}

fn rounded(expected: f64) -> f64 {
    let step = expected.log2().floor().min(0.0).exp2() / STEPS;
    if step > 0.0 { (expected / step).round() * step } else { 0.0 }
}

/// The s2 that promises most on a ladder, 0 its first rung; steps of a quarter in ln s2 lose nothing that can be seen. Rungs are relative
/// to the expected count of a typical token, so that an audit of twenty times as many equal answers has the same weights.
fn best_shrinkage(classes: &[Class]) -> f64 {
    let sum = |power: i32| classes.iter().map(|class| class.inputs * class.expected.powi(power)).sum::<f64>();
    let typical = sum(2) / sum(1);
    let rungs = (-40..=40).map(|rung| (f64::from(rung) / 4.0).exp() / typical);
    let ladder = std::iter::once(0.0).chain(rungs.filter(|rung| rung.is_finite()));
    let promise = |shrinkage: f64| {
        let (mut signal, mut noise) = (0.0, 0.0);
        for class in classes {
            let f = 1.0 / (1.0 + shrinkage * class.expected);
            signal += class.inputs * f * class.expected;
            noise += class.inputs * (f * (class.chosen - class.expected)).powi(2);
        }
        if noise > 0.0 { signal / noise.sqrt() } else { 0.0 }
    };
    let best = |best: (f64, f64), shrinkage: f64| {
        let promised = promise(shrinkage);
        if promised > best.1 { (shrinkage, promised) } else { best }
    };
    ladder.fold((0.0, 0.0), best).0
}

/// Sets the smallest weights to 0 while their squares add up to no more than their share.
fn leave_out_the_smallest(classes: &[Class], weights: &mut [f64]) {
    let square = |at: usize, weights: &[f64]| classes[at].inputs * weights[at] * weights[at];
    let mut left: f64 = LEFT_OUT * (0..weights.len()).map(|at| square(at, weights)).sum::<f64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*a].abs().total_cmp(&weights[*b].abs()));
    for at in order {
        left -= square(at, weights);
        if left < 0.0 {
            break;
        }
        weights[at] = 0.0;
    }
}
