//! The training-free detectors of google-deepmind/synthid-text on transformers' bits and masks.

use std::collections::HashSet;
use std::sync::Arc;

use oracle::TokenId;
use stats::tail::log10_binomial_sf;

use super::bayesian::Bayesian;
use super::keys::keys;
use super::table::{self, Bits, Table};
use crate::keyed::tournament::Score;
use crate::{Authors, AuthorsScore, Key, MarkError};

/// What they need to know.
pub(super) struct Detector {
    pub layers: usize,
    pub table: Arc<Table>,
    pub ngram_len: usize,
    /// Contexts that the mask of repeats remembers.
    pub history: usize,
    /// The id from which on nothing counts.
    pub end: Option<TokenId>,
    /// A trained detector, where there is one.
    pub bayesian: Option<Bayesian>,
}

impl Detector {
    /// Bits of the n-grams that their masks leave, text by text: none whose context came before in the text, as far as that is
    /// remembered, or in an earlier text, and none from the first end on.
    fn kept(&self, bits: &Bits, texts: &[&[TokenId]]) -> Vec<u64> {
        let (mut kept, mut earlier) = (Vec::new(), HashSet::new());
        for text in texts {
            let over = text.iter().position(|id| Some(*id) == self.end).unwrap_or(text.len());
            let mut contexts: Vec<u64> = Vec::new();
            for (at, window) in text.windows(self.ngram_len).enumerate() {
                let context = table::context(&window[..self.ngram_len - 1]);
                let memory = &contexts[contexts.len().saturating_sub(self.history)..];
                // the memory begins with zeros
                let met =
                    memory.contains(&context) || context == 0 && contexts.len() < self.history || earlier.contains(&context);
                contexts.push(context);
                if !met && at + self.ngram_len <= over {
                    kept.push(bits.of(table::ngram(window)));
                }
            }
            earlier.extend(contexts);
        }
        kept
    }
}

const NO_P: &str = "has no p of its own: the exact binomial one at 1/2 stands here, which drifts with the table's share of ones";

const NO_NULL: &str = "a posterior under its prior and its training texts, no p: how often it is large by chance nobody knows";

impl Authors for Detector {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let bits = Bits::new(self.table.clone(), keys(key, self.layers, self.table.size()));
        let kept = self.kept(&bits, texts);
        let (units, layers) = (kept.len() as u64, self.layers as u64);
        let ones: u64 = kept.iter().map(|bits| u64::from(bits.count_ones())).sum();
        let share = |total: f64| if units == 0 { 0.0 } else { total / (units * layers) as f64 };
        // weights of mean 1
        let weights = Score::WeightedMean.weights(self.layers as u32);
        let weighted =
            |bits: &u64| -> f64 { (0..self.layers).filter(|layer| bits >> layer & 1 == 1).map(|layer| weights[layer]).sum() };
        let score = |detector, statistic, log10_p, caution| AuthorsScore {
            detector,
            units,
            statistic,
            statistic_name: "mean",
            z: None,
            log10_p,
            found: None,
            caution,
        };
        let mean = share(ones as f64);
        let weighted_mean = share(layers as f64 * kept.iter().map(weighted).sum::<f64>());
        let log10_p = log10_binomial_sf(ones, units * layers, 0.5);
        let trained = self.bayesian.as_ref().map(|bayesian| AuthorsScore {
            statistic_name: "posterior",
            ..score("transformers 5.24 BayesianDetectorModel", bayesian.posterior(&kept), None, Some(NO_NULL))
        });
        let training_free = [
            score("synthid-text mean on transformers 5.24", mean, Some(log10_p), Some(NO_P)),
            score("synthid-text weighted mean on transformers 5.24", weighted_mean, None, None),
        ];
        Ok(training_free.into_iter().chain(trained).collect())
    }
}
