//! transformers' `BayesianDetectorModel`: how likely a unit's bits are in marked text.
//!
//! In a match of two draws the winner's bit is uneven only where the draws are two different tokens. The chance of that in layer l is
//! modelled as psi_l = sigmoid(beta_l + sum over earlier layers j of delta_lj g_j), so that P(g_l = 1 | marked) = (1 + psi_l / 2) / 2 and
//! P(g_l = 0 | marked) = (1 - psi_l / 2) / 2. transformers holds this against 1/2 and gives the posterior that a text is marked, which is
//! no p-value. Held against the table's own share of ones it is a likelihood ratio, whose mean under a random key is 1 for every unit:
//! the product over distinct units is an e-value, whatever the parameters (methods 0.5; served-watermarks 8).

use oracle::ConfigError;
use serde::{Deserialize, Serialize};

/// A trained detector's parameters, with the names that its files have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bayesian {
    /// One number for each layer.
    pub beta: Vec<f64>,
    /// For each layer, a number for each layer before it; more than that, as the files have it, are not read. Without it layers do not
    /// depend on each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delta: Vec<Vec<f64>>,
    /// Probability that a text is marked, before it is looked at; strictly between 0 and 1.
    #[serde(default = "half")]
    pub prior: f64,
}

fn half() -> f64 {
    0.5
}

impl Bayesian {
    /// # Errors
    /// Key, value and what to write: parameters for another number of layers, numbers that are none, a prior that is no probability.
    pub(super) fn validate(&self, layers: usize) -> Result<(), ConfigError> {
        if self.beta.len() != layers {
            let instead = format!("give one for each of the {layers} layers");
            return Err(ConfigError::new("bayesian.beta", format!("{} numbers", self.beta.len()), instead));
        }
        if !self.delta.is_empty() && self.delta.len() != layers {
            let instead = format!("give one list for each of the {layers} layers, or leave it out");
            return Err(ConfigError::new("bayesian.delta", format!("{} lists", self.delta.len()), instead));
        }
        if let Some(layer) = self.delta.iter().enumerate().position(|(layer, of)| of.len() < layer) {
            let (has, key) = (self.delta[layer].len(), format!("bayesian.delta[{layer}]"));
            return Err(ConfigError::new(key, format!("{has} numbers"), format!("give {layer}, one for each layer before it")));
        }
        let numbers = self.beta.iter().chain(self.delta.iter().flatten());
        if let Some(wrong) = numbers.into_iter().find(|number| !number.is_finite()) {
            return Err(ConfigError::new("bayesian", wrong, "use finite numbers"));
        }
        if !(self.prior > 0.0 && self.prior < 1.0) {
            return Err(ConfigError::new("bayesian.prior", self.prior, "use a probability strictly between 0 and 1"));
        }
        Ok(())
    }

    /// ln P(bits | marked) - ln P(bits | unmarked) of one unit, whose bit l is that of layer l; `rate` is the chance of a one in
    /// unmarked text.
    pub(super) fn ln_ratio(&self, bits: u64, rate: f64) -> f64 {
        let bit = |layer: usize| bits >> layer & 1 == 1;
        let of = |(layer, beta): (usize, &f64)| {
            let before = self.delta.get(layer).into_iter().flat_map(|delta| delta.iter().take(layer).enumerate());
            let logit = beta + before.filter(|(layer, _)| bit(*layer)).map(|(_, delta)| delta).sum::<f64>();
            let half = 0.5 / (1.0 + libm::exp(-logit));
            let (marked, unmarked) = if bit(layer) { (1.0 + half, rate) } else { (1.0 - half, 1.0 - rate) };
            libm::log(0.5 * marked / unmarked)
        };
        self.beta.iter().enumerate().map(of).sum()
    }

    /// The posterior that units are of marked text, as transformers gives it: against 1/2, and with the prior within 1e-5 of 0 and 1.
    pub(super) fn posterior(&self, units: &[u64]) -> f64 {
        let prior = self.prior.clamp(1e-5, 1.0 - 1e-5);
        let surprise: f64 = units.iter().map(|bits| self.ln_ratio(*bits, 0.5)).sum();
        1.0 / (1.0 + libm::exp(-(libm::log(prior / (1.0 - prior)) + surprise)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Bayesian {
        Bayesian { beta: vec![0.4, -1.2, 0.0], delta: vec![vec![], vec![0.7], vec![-0.3, 0.9]], prior: 0.3 }
    }

    /// Over all patterns of three bits: the probabilities of marked text sum to 1, and so the mean ratio is 1 at every rate.
    #[test]
    fn the_mean_ratio_is_one_whatever_the_rate() {
        for rate in [0.5_f64, 0.49962, 0.3] {
            let mean: f64 = (0..8_u64)
                .map(|bits| {
                    let ones = bits.count_ones() as i32;
                    rate.powi(ones) * (1.0 - rate).powi(3 - ones) * libm::exp(example().ln_ratio(bits, rate))
                })
                .sum();
            assert!((mean - 1.0).abs() < 1e-12, "{rate}: {mean}");
        }
    }

    /// By the formula of the module, written out: bits 1, 0, 1.
    #[test]
    fn a_ratio_is_that_of_the_formula() {
        let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        let (first, second, third) = (sigmoid(0.4), sigmoid(-1.2 + 0.7), sigmoid(0.0 - 0.3));
        let expected = (1.0 + 0.5 * first) * (1.0 - 0.5 * second) * (1.0 + 0.5 * third);
        let found = example().ln_ratio(0b101, 0.5);
        assert!((found - libm::log(expected)).abs() < 1e-14, "{found}");
        let (prior, units) = (0.3 / 0.7, [0b101, 0b000]);
        let odds = prior * libm::exp(found + example().ln_ratio(0, 0.5));
        assert!((example().posterior(&units) - odds / (1.0 + odds)).abs() < 1e-14);
        assert!((example().posterior(&[]) - 0.3).abs() < 1e-14);
        // files hold square matrices, of which the upper part is not read
        let square = Bayesian { delta: vec![vec![9.0; 3], vec![0.7, 9.0, 9.0], vec![-0.3, 0.9, 9.0]], ..example() };
        assert_eq!(square.ln_ratio(0b101, 0.5), found);
    }

    #[test]
    fn parameters_that_do_not_fit_are_named() {
        let refused = |bayesian: Bayesian| bayesian.validate(3).unwrap_err().to_string();
        assert_eq!(example().validate(3), Ok(()));
        assert!(refused(Bayesian { beta: vec![0.0], ..example() }).contains("`bayesian.beta` is 1 numbers"));
        assert!(refused(Bayesian { delta: vec![vec![]], ..example() }).contains("`bayesian.delta` is 1 lists"));
        assert!(refused(Bayesian { delta: vec![vec![], vec![], vec![1.0]], ..example() }).contains("`bayesian.delta[1]`"));
        assert!(refused(Bayesian { beta: vec![f64::NAN; 3], ..example() }).contains("finite"));
        assert!(refused(Bayesian { prior: 1.0, ..example() }).contains("`bayesian.prior`"));
    }
}
