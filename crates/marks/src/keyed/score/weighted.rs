//! The weighted sum of keyed values, and its law under a random key.

use std::collections::{BTreeMap, HashMap};

use oracle::TokenId;
use stats::Saddlepoint;
use stats::tail::ln_binomial_pmf;

use super::said::Said;
use super::tally::Tally;
use super::weights::Weights;
use crate::keyed::scheme::{FixedLists, KeyedValues, Scorer};

/// S = sum of w xi over the inputs of some answers, ready for any key.
#[derive(Debug)]
pub(in crate::keyed) struct WeightedSum {
    /// Inputs that have a weight, end to end: context, then candidate.
    windows: Vec<TokenId>,
    /// Their weights.
    weights: Vec<f64>,
    /// Weights and numbers of the inputs that have them, for the law.
    values: Vec<(f64, f64)>,
    /// What every key adds to the sum.
    constant: f64,
    /// What a bound on the sum of independent values leaves out, nats.
    ln_slack: f64,
    /// Scored tokens.
    pub tokens: u64,
    /// Those of them whose context has a weight.
    pub weighed: u64,
    /// s2 of the weights.
    pub shrinkage: f64,
    /// Of each reference in what was expected.
    pub shares: Vec<f64>,
}

/// ln of what a bound for independent values is exceeded by at most, where `inputs` are asked about in lists of fixed size.
fn ln_excess(lists: FixedLists, inputs: impl Iterator<Item = u128>) -> f64 {
    let mut asked: HashMap<u128, u64> = HashMap::new();
    inputs.for_each(|input| *asked.entry(FixedLists::of(input)).or_default() += 1);
    let mut alike: BTreeMap<u64, f64> = BTreeMap::new();
    asked.into_values().for_each(|asked| *alike.entry(asked).or_default() += 1.0);
    alike.into_iter().map(|(asked, count)| count * lists.ln_excess(asked)).sum()
}

impl WeightedSum {
    /// Over `tally` of what was `said`, its weights shrunk by the given s2 or the one that promises most.
    ///
    /// Where they are lists of fixed size, one for each context, a bound for independent values holds times the largest ratio of the two laws
    /// ([`FixedLists::ln_excess`]), list by list: hardly more than 1 where few of many tokens are asked about.
    ///
    /// Where the ones among the values are one list of fixed size, one constant is added to all weights, so that their mean is 0: it adds
    /// the same to S under every key. Such a list is one of independent values given how many are 1, and so a bound for independent
    /// values holds divided by the probability of that number.
    pub fn of(tally: &Tally, said: &Said<'_>, shrinkage: Option<f64>) -> Self {
        let nothing = Tally::default();
        let tally = if tally.tokens == 0 { &nothing } else { tally };
        let of_inputs = Weights::of(tally, said, shrinkage);
        let (mut windows, mut weights) = (Vec::new(), Vec::new());
        for (input, &(item, at, candidate)) in tally.met.iter().enumerate() {
            let weight = of_inputs.at(input);
            if weight != 0.0 {
                windows.extend_from_slice(&said.context(item, at));
                windows.push(candidate);
                weights.push(weight);
            }
        }
        let (mut constant, mut ln_slack) = (0.0, 0.0);
        if let Some(lists) = said.keyed.lists() {
            ln_slack = ln_excess(
                lists,
                tally.names.iter().enumerate().filter(|(number, _)| of_inputs.at(*number) != 0.0).map(|(_, name)| *name),
            );
        }
        let Weights { mut values, shrinkage, shares, .. } = of_inputs;
        if let Some((ones, inputs)) = said.keyed.fixed_list().filter(|_| !weights.is_empty()) {
            let all = inputs as f64;
            let mean = values.iter().map(|(weight, count)| weight * count).sum::<f64>() / all;
            values.iter_mut().for_each(|value| value.0 -= mean);
            values.push((-mean, (all - weights.len() as f64).max(0.0)));
            constant = -mean * ones as f64;
            ln_slack = -ln_binomial_pmf(ones, inputs, ones as f64 / all);
        }
        let (tokens, weighed) = (tally.tokens, tally.weighed);
        Self { windows, weights, values, constant, ln_slack, tokens, weighed, shrinkage, shares }
    }

    /// Inputs that have a weight.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Inputs that have a weight, end to end, and their weights.
    pub fn inputs(&self) -> (&[TokenId], &[f64]) {
        (&self.windows, &self.weights)
    }

    /// S under the key behind `scorer`; `values` is written again.
    pub fn under(&self, scorer: &Scorer, values: &mut Vec<f64>) -> f64 {
        values.resize(self.weights.len(), 0.0);
        scorer(&self.windows, values);
        self.weights.iter().zip(values).fold(self.constant, |sum, (weight, value)| sum + weight * *value)
    }

    /// The law of S under a random key.
    pub fn law<'a>(&'a self, keyed: &'a dyn KeyedValues) -> Saddlepoint<impl Fn(f64) -> [f64; 3] + 'a> {
        Saddlepoint::new(move |lambda| {
            self.values.iter().fold([0.0; 3], |sum, &(weight, count)| {
                let one = keyed.cumulant(lambda, weight);
                std::array::from_fn(|order| sum[order] + count * one[order])
            })
        })
    }

    /// ln of a bound on the mean of exp(lambda S) under a random key, the slack included; infinite where the mean is.
    pub fn ln_moment(&self, keyed: &dyn KeyedValues, lambda: f64) -> f64 {
        self.values.iter().fold(self.ln_slack, |sum, (weight, count)| sum + count * keyed.cumulant(lambda, *weight)[0])
    }

    /// log10 of a probability that no S is above more often: Chernoff's bound of `law`, its slack included.
    pub fn log10_bound<K: Fn(f64) -> [f64; 3]>(&self, law: &Saddlepoint<K>, s: f64) -> f64 {
        let log10_p = law.log10_bound(s) + self.ln_slack / std::f64::consts::LN_10;
        if log10_p < 0.0 { log10_p } else { 0.0 }
    }
}
