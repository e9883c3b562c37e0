//! Unigram: one green list for all positions. Zhao, Ananth, Li and Wang, *Provable Robust Watermarking for AI-Generated Text*,
//! ICLR 2024 (arXiv 2306.17439). Methods a2.
//!
//! Detection counts distinct tokens, not all tokens: a few frequent tokens would decide a count of all. The list has a fixed
//! size and every list of that size is equally likely, so the number of green ones among any given distinct tokens is exactly
//! hypergeometric over keys.

use std::collections::HashSet;
use std::sync::Arc;

use oracle::{Codec, ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use rand::Rng;
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Hypergeometric, Null};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, identity};

const KIND: &str = "unigram";

/// Parameters of the Unigram watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnigramConfig {
    /// Share of the ordinary tokens that is green, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for UnigramConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark unigram",
            source: "Zhao et al., Provable Robust Watermarking for AI-Generated Text, ICLR 2024, arXiv 2306.17439",
            summary: "one green list: the logits of a keyed share of tokens are raised everywhere",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.gamma > 0.0 && self.gamma < 1.0) {
            return Err(ConfigError::new("gamma", self.gamma, "use a share strictly between 0 and 1, for example 0.5"));
        }
        if !(self.delta > 0.0 && (self.delta as f32).is_finite()) {
            return Err(ConfigError::new("delta", self.delta, "use a finite bias above 0, for example 2.0"));
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        self.test.needs(0)
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let tokens = Arc::new(Tokens::new(&**owner.codec, self.gamma));
        if tokens.green == 0 || tokens.green == tokens.ordinary.len() {
            let what = format!("{} of {} ordinary tokens", tokens.green, tokens.ordinary.len());
            let instead = "use a share that leaves tokens on both sides, for example 0.5";
            return Err(ConfigError::new("gamma", format!("{}, which is {what}", self.gamma), instead).into());
        }
        let list = Arc::new(tokens.list(owner.key));
        // how text is scored changes nothing that is served
        let name = identity(&Self { test: KeyedTest::default(), ..self.clone() }, owner.key);
        let bias = Arc::new(FixedBias { name, list, delta: self.delta as f32 });
        // without context, one unit per context would be a single unit
        let rules = Rules::new(0, Dedup::Pairs, &**owner.codec);
        Ok(Arc::new(Keyed::new(Unigram { rules, tokens, key: owner.key.clone(), bias }, owner.key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        let example = |(gamma, delta)| Self { gamma, delta, test: KeyedTest::default() };
        [(0.5, 2.0), (0.25, 3.0)].map(example).into()
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let gamma = ["0.0", "1.0", "1.5", "-0.5"].map(|value| ("gamma", value));
        let delta = ["0.0", "-2.0", "1e300"].map(|value| ("delta", value));
        gamma.into_iter().chain(delta).collect()
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }
}

/// The tokens that a list is drawn from.
struct Tokens {
    /// Ids that are text, ascending.
    ordinary: Vec<TokenId>,
    vocab: usize,
    /// Size of every list.
    green: usize,
}

impl Tokens {
    fn new(codec: &dyn Codec, gamma: f64) -> Self {
        let (vocab, special) = (codec.vocab_size(), codec.special_ids().iter().collect::<HashSet<_>>());
        let ordinary: Vec<TokenId> = (0..vocab as TokenId).filter(|token| !special.contains(token)).collect();
        let green = (gamma * ordinary.len() as f64).round() as usize;
        Self { ordinary, vocab, green }
    }

    /// The list of `key`: the first tokens of a keyed Fisher-Yates shuffle, so that every list of this size is equally likely.
    fn list(&self, key: &Key) -> List {
        let (mut tokens, mut rng) = (self.ordinary.clone(), key.rng(Purpose::Kind(KIND), 0));
        let mut bits = vec![0; self.vocab.div_ceil(64)];
        for at in 0..self.green {
            let other = at + below(&mut rng, (tokens.len() - at) as u32) as usize;
            tokens.swap(at, other);
            bits[tokens[at] as usize / 64] |= 1 << (tokens[at] % 64);
        }
        List { bits }
    }

    fn rate(&self) -> f64 {
        self.green as f64 / self.ordinary.len() as f64
    }
}

/// A whole number uniform on 0..bound, exactly (Lemire 2019): bits do not depend on a library's samplers.
fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= threshold {
            return (product >> 32) as u32;
        }
    }
}

/// One bit per token id: green or not. Ids beyond the vocabulary are not.
struct List {
    bits: Vec<u64>,
}

impl List {
    fn is_green(&self, token: TokenId) -> bool {
        self.bits.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1)
    }
}

impl KeyedSet for List {
    fn contains(&self, _context: &[TokenId], token: TokenId) -> bool {
        self.is_green(token)
    }
}

struct Unigram {
    rules: Rules,
    tokens: Arc<Tokens>,
    key: Key,
    bias: Arc<FixedBias>,
}

impl Unigram {
    /// The list of `key`; the mark's own is there already.
    fn list(&self, key: &Key) -> Arc<List> {
        if *key == self.key { self.bias.list.clone() } else { Arc::new(self.tokens.list(key)) }
    }
}

impl Scheme for Unigram {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        let Tokens { ordinary, green, .. } = &*self.tokens;
        Box::new(Hypergeometric { population: ordinary.len() as u64, successes: *green as u64 })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let list = self.list(key);
        Box::new(move |tokens, scores| {
            for (score, &token) in scores.iter_mut().zip(tokens) {
                *score = f64::from(u8::from(list.is_green(token)));
            }
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn effect_unit(&self) -> &'static str {
        "green share of distinct tokens above chance"
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} distinct tokens are green", evidence.statistic, evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }
}

/// 1 for a green candidate, else 0, whatever the context: the PRF input is the candidate alone.
///
/// Another key's list is drawn again at every call.
impl KeyedValues for Unigram {
    fn input(&self, _context: &[TokenId], candidate: TokenId) -> u128 {
        u128::from(candidate)
    }

    fn values(&self, key: &Key, _context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let list = self.list(key);
        for (value, &candidate) in out.iter_mut().zip(candidates) {
            *value = f64::from(u8::from(list.is_green(candidate)));
        }
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(self.tokens.rate(), lambda, weight)
    }

    fn fixed_list(&self) -> Option<(u64, u64)> {
        Some((self.tokens.green as u64, self.tokens.ordinary.len() as u64))
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}

/// Raises green logits everywhere.
struct FixedBias {
    name: String,
    list: Arc<List>,
    delta: f32,
}

impl LogitsProcessor for FixedBias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, _step: &Step<'_>, row: Row<'_>) {
        for (word, logits) in self.list.bits.iter().zip(row.logits.chunks_mut(64)) {
            for (place, logit) in logits.iter_mut().enumerate() {
                // adding 0 to a red logit saves a branch
                *logit += if word >> place & 1 == 1 { self.delta } else { 0.0 };
            }
        }
    }

    fn raised<'a>(&'a self, _step: &Step<'a>) -> Option<Raised<'a>> {
        Some(Raised { bias: self.delta, set: &*self.list, context: &[] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ToyCodec;

    #[test]
    fn every_list_has_its_size_and_no_special_token() {
        for (vocab, gamma, size) in [(512, 0.5, 255), (103, 0.25, 25), (70, 0.01, 1)] {
            let tokens = Tokens::new(&ToyCodec::new(vocab), gamma);
            for index in 0..50 {
                let list = tokens.list(&Key::decoy(1, index));
                let green: Vec<TokenId> = (0..1_000).filter(|&token| list.is_green(token)).collect();
                assert_eq!(green.len(), size);
                assert!(green.iter().all(|&token| (3..vocab as TokenId).contains(&token)));
            }
        }
    }

    /// Lists of 2 of 5 tokens: ten, equally likely; chi-squared with 9 degrees of freedom exceeds 33.7 with probability 1e-4.
    #[test]
    fn every_list_is_equally_likely() {
        let tokens = Tokens::new(&ToyCodec::new(8), 0.4);
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..5_000 {
            *counts.entry(tokens.list(&Key::decoy(2, index)).bits[0]).or_insert(0.0) += 1.0;
        }
        assert_eq!(counts.len(), 10);
        let distance: f64 = counts.values().map(|count: &f64| (count - 500.0).powi(2) / 500.0).sum();
        assert!(distance < 33.7, "{counts:?}");
    }

    #[test]
    fn a_share_without_a_token_on_each_side_is_refused() {
        let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(13));
        let key = Key::decoy(1, 1);
        for gamma in [0.01, 0.99] {
            let refused = UnigramConfig { gamma, delta: 2.0, test: KeyedTest::default() }.build(&Owner::new(&key, &codec));
            assert!(
                matches!(refused, Err(MarkError::Config(error)) if error.key == "gamma" && error.value.contains("10 ordinary"))
            );
        }
    }

    /// Other lists mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
    #[test]
    fn lists_are_pinned() {
        let list = Tokens::new(&ToyCodec::new(40), 0.25).list(&Key::new(std::array::from_fn(|i| i as u8), "pinned"));
        let green: Vec<TokenId> = (0..40).filter(|&token| list.is_green(token)).collect();
        assert_eq!(green, [10, 14, 17, 20, 21, 22, 25, 36, 38]);
    }
}
