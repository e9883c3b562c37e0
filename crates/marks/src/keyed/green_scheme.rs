//! What schemes with a green list for each context have in common: the list as keyed values, and the bias that raises it.

use oracle::{ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use stats::null::{Bernoulli, Null};

use super::cumulant;
use super::elementary;
use super::green::{GreenList, GreenRows};
use super::rules::MAX_CONTEXT;
use super::scheme::{KeyedValues, Scorer};
use crate::Key;
use crate::key::Purpose;

/// Refuses green shares, biases and context widths that cannot be.
pub(crate) fn check_green(gamma: f64, delta: f64, context_width: usize) -> Result<(), ConfigError> {
    // below 2^-32 the draw, a 32-bit number, cannot tell gamma from 0 (and above 1 - 2^-32 from 1)
    if !(gamma >= 2f64.powi(-32) && gamma <= 1.0 - 2f64.powi(-32)) {
        return Err(ConfigError::new("gamma", gamma, "use a share strictly between 0 and 1, for example 0.25"));
    }
    if !(delta > 0.0 && (delta as f32).is_finite()) {
        return Err(ConfigError::new("delta", delta, "use a finite bias above 0, for example 2.0"));
    }
    if context_width > MAX_CONTEXT {
        return Err(ConfigError::new("context_width", context_width, format!("use 0 to {MAX_CONTEXT} tokens, for example 1")));
    }
    Ok(())
}

/// 1 for a green pair of context and token, else 0.
pub(crate) struct GreenValues {
    /// Names the lists.
    pub purpose: Purpose,
    /// Share of green tokens.
    pub gamma: f64,
}

impl GreenValues {
    /// The lists of `key`.
    pub fn list(&self, key: &Key) -> GreenList {
        GreenList::new(key, self.purpose, self.gamma)
    }

    /// Scores units whose contexts hold `context_width` tokens.
    pub fn scorer(&self, key: &Key, context_width: usize) -> Scorer {
        let list = self.list(key);
        Box::new(move |windows, scores| list.score(windows, context_width + 1, scores))
    }

    /// The law of hits under a random key.
    pub fn null(&self) -> Box<dyn Null> {
        Box::new(Bernoulli { rate: self.rate() })
    }

    /// The exact probability of a hit.
    pub fn rate(&self) -> f64 {
        GreenList::rate_of(self.gamma)
    }
}

impl KeyedValues for GreenValues {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let list = self.list(key);
        for (value, &candidate) in out.iter_mut().zip(candidates) {
            *value = f64::from(u8::from(list.contains(context, candidate)));
        }
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(self.rate(), lambda, weight)
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}

/// Raises green logits, everywhere or only where the raw law is broad. The first answer token is raised too, its context being the end of
/// the prompt, although detection never scores it.
pub(crate) struct GreenBias {
    /// Of the mark.
    pub name: String,
    /// Which logits.
    pub rows: GreenRows,
    /// By how much, nats.
    pub delta: f32,
    /// Tokens that choose a list.
    pub context_width: usize,
    /// Entropy that the raw law must be above, nats; `None` raises everywhere.
    pub above_entropy: Option<f64>,
}

impl LogitsProcessor for GreenBias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // fewer tokens than a context holds: no list to choose, nothing is raised
        let Some(context) = step.context(self.context_width) else { return };
        if self.above_entropy.is_none_or(|least| entropy(row.logits) > least) {
            self.rows.add(context, self.delta, row.logits);
        }
    }

    /// A bias that asks for the law's entropy cannot be said token by token.
    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        let context = step.context(self.context_width)?;
        self.above_entropy.is_none().then_some(Raised { bias: self.delta, set: &self.rows, context })
    }
}

/// Entropy of the law behind `logits`, nats; 0 where there is no finite logit.
pub(crate) fn entropy(logits: &[f32]) -> f64 {
    let largest = elementary::largest(logits);
    if !largest.is_finite() {
        return 0.0;
    }
    let (mut mass, mut weighed) = (0.0, 0.0);
    let mut block = [0.0; 64];
    for logits in logits.chunks(block.len()) {
        let powers = &mut block[..logits.len()];
        powers.iter_mut().zip(logits).for_each(|(power, logit)| *power = logit - largest);
        elementary::expf(powers);
        for (p, logit) in powers.iter().zip(logits) {
            let below = logit - largest;
            // e^-40 of a million tokens moves no digit
            let (p, below) = if below > -40.0 { (f64::from(*p), f64::from(below)) } else { (0.0, 0.0) };
            mass += p;
            weighed += p * below;
        }
    }
    libm::log(mass) - weighed / mass
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies_are_those_of_the_law() {
        assert!((entropy(&[3.0; 8]) - libm::log(8.0_f64)).abs() < 1e-12);
        let law = [0.5_f64, 0.3, 0.2];
        let exact: f64 = law.iter().map(|p| -p * libm::log(*p)).sum();
        let logits: Vec<f32> = law.iter().map(|p| libm::log(*p) as f32 + 7.0).chain([f32::NEG_INFINITY, -90.0]).collect();
        assert!((entropy(&logits) - exact).abs() < 1e-6);
        assert_eq!((entropy(&[f32::NEG_INFINITY; 3]), entropy(&[]), entropy(&[2.0])), (0.0, 0.0, 0.0));
    }
}
