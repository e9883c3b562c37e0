//! Dual-key Gumbel sampling as vLLM 0.30 to 0.33 serves it (`"algorithm": "dual_key_gumbel"`), bit for bit: each token is raced for under
//! key A or, with probability alpha, under key B, so that equal contexts do not always go on alike. The scheme is that of TextSeal, arXiv
//! 2605.12456 (2026). Served watermarks, sections 1 and 3.
//!
//! Both keys derive from one. Which of them draws a token depends on the request's seed and the position. A unit scores
//! (1 - alpha) s^A + alpha s^B; the total's law is that of two gamma variables, computed exactly, where vLLM's own detector fits one gamma
//! law and is wrong by 351 times at 1e-51. Speculative decoding, where drafts have key A and alpha plays no part, is not reproduced.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::null::{Null, TwoGamma};
use stats::tail::log10_gamma_sf;

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::race::leave;
use crate::keyed::vllm::history::{History, max_history};
use crate::keyed::vllm::ordinary::second_key;
use crate::keyed::vllm::prf::{PLAIN, Prf, derived};
use crate::keyed::vllm::{Deduplicate, detector, race};
use crate::keyed::{Authors, AuthorsScore, Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

const KIND: &str = "vllm_dual_key";

/// vLLM's dual-key Gumbel watermark; its keys have vLLM's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmDualKeyConfig {
    /// The server's key, from which A and B derive; without it, one derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ServedKey>,
    /// Probability that key B draws a token, and its weight in a score: 0, 1 or 0.001 to 0.999; vLLM's default is 0.1.
    pub alpha: f64,
    /// Number of tokens of the answer before the next one that choose its noise, 1 to 16; vLLM's default is 4.
    pub context_width: usize,
    /// Where repeated contexts are looked for; vLLM's default is `single_turn`.
    pub deduplicate_contexts: Deduplicate,
    /// Only so many last positions are searched for them; 0 searches all.
    #[serde(default = "max_history")]
    pub deduplicate_contexts_max_history: usize,
    /// Which scored units count once: every context, or every pair of context and token.
    #[serde(default = "Dedup::contexts", skip_serializing_if = "Dedup::is_contexts")]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl VllmDualKeyConfig {
    fn history(&self) -> History {
        History { width: self.context_width, scope: self.deduplicate_contexts, most: self.deduplicate_contexts_max_history }
    }
}

impl MarkConfig for VllmDualKeyConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark vllm_dual_key",
            source: "TextSeal, arXiv 2605.12456, 2026; vLLM 0.30 to 0.33",
            summary: "vLLM's Gumbel watermark with two keys as it is served, bit for bit",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        // further out the exact tail has too many terms
        if ![0.0, 1.0].contains(&self.alpha) && !(0.001..=0.999).contains(&self.alpha) {
            return Err(ConfigError::new("alpha", self.alpha, "use 0, 1 or a probability from 0.001 to 0.999, for example 0.1"));
        }
        self.test.validate()?;
        self.history().check()
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, served_key: self.key.is_some(), ..self.test.of_a_draw().needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let key = ServedKey::in_hands_of(self.key, owner.key);
        // how text is scored changes nothing that is drawn; the key's name commits to the key
        let named = Self { key: None, dedup: Dedup::Contexts, test: KeyedTest::default(), ..self.clone() };
        let sampler = Sampler { name: identity(&named, &key), keys: keys(&key), alpha: self.alpha, history: self.history() };
        let rules = Rules::padded(self.context_width, self.dedup, &**owner.codec);
        let scheme = VllmDualKey { rules, alpha: self.alpha, sampler: Arc::new(sampler) };
        Ok(Arc::new(Keyed::new(scheme, &key).judged_by(&self.test.of_a_draw())))
    }

    fn examples() -> Vec<Self> {
        vec![Self {
            key: None,
            alpha: 0.1,
            context_width: 4,
            deduplicate_contexts: Deduplicate::SingleTurn,
            deduplicate_contexts_max_history: max_history(),
            dedup: Dedup::Contexts,
            test: KeyedTest::default(),
        }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("context_width", "0"), ("context_width", "17"), ("alpha", "-0.1"), ("alpha", "1.1"), ("alpha", "0.0001")]
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { dedup: Dedup::Contexts, test: KeyedTest::default(), ..self.clone() }
    }
}

/// A and B.
fn keys(key: &Key) -> [Prf; 2] {
    let one = key.served_or_derived(Purpose::Kind(KIND));
    ["key_a", "key_b"].map(|label| Prf::new(derived(label, one)))
}

struct VllmDualKey {
    rules: Rules,
    alpha: f64,
    sampler: Arc<Sampler>,
}

impl VllmDualKey {
    /// The scores of words of both keys.
    fn scores(alpha: f64, words: &[Vec<u32>; 2], scores: &mut [f64]) {
        let [a, b] = words;
        let mut second = vec![0.0; b.len()];
        race::scores(a, scores);
        race::scores(b, &mut second);
        for (score, second) in scores.iter_mut().zip(second) {
            *score = (1.0 - alpha) * *score + alpha * second;
        }
    }
}

impl Scheme for VllmDualKey {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(TwoGamma { alpha: self.alpha })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (keys, width, alpha) = (keys(key), self.rules.context_width + 1, self.alpha);
        Box::new(move |windows, scores| {
            let words = keys.map(|prf| {
                let mut words = vec![0; scores.len()];
                prf.unit_words(windows, width, PLAIN, &mut words);
                words
            });
            Self::scores(alpha, &words, scores);
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.sampler.clone()
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }

    fn authors(&self) -> Option<&dyn Authors> {
        Some(self)
    }
}

/// (1 - alpha) s^A + alpha s^B of each candidate.
impl KeyedValues for VllmDualKey {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let words = keys(key).map(|prf| {
            let mut words = vec![0; candidates.len()];
            prf.words(context, candidates, PLAIN, &mut words);
            words
        });
        Self::scores(self.alpha, &words, out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        let [a, b] = [1.0 - self.alpha, self.alpha].map(|share| cumulant::exponential(lambda, share * weight));
        std::array::from_fn(|order| a[order] + b[order])
    }
}

/// One gamma law with the total's mean and variance, over contexts that are distinct in a text.
impl Authors for VllmDualKey {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let windows = detector::units(texts, self.rules.context_width);
        let units = windows.len() / (self.rules.context_width + 1);
        let mut scores = vec![0.0; units];
        self.scorer(key)(&windows, &mut scores);
        let score: f64 = scores.iter().sum();
        let variance = (1.0 - self.alpha) * (1.0 - self.alpha) + self.alpha * self.alpha;
        let log10_p = if units == 0 { 0.0 } else { log10_gamma_sf(units as f64 / variance, score / variance) };
        let exact = [0.0, 0.5, 1.0].contains(&self.alpha);
        Ok(vec![AuthorsScore {
            detector: "vLLM 0.33.0 dual_key_gumbel",
            units: units as u64,
            statistic: score,
            statistic_name: "score",
            z: None,
            log10_p: Some(log10_p),
            found: detector::found(log10_p),
            caution: (!exact).then_some("its p fits one gamma law and is too small in the tail: 351 times at 1e-51"),
        }])
    }
}

/// Leaves one token in the law: the winner of the race under the key whose turn it is.
struct Sampler {
    name: String,
    keys: [Prf; 2],
    alpha: f64,
    history: History,
}

impl Sampler {
    /// The key that draws the next token.
    fn turn(&self, step: &Step<'_>) -> &Prf {
        let position = step.tokens.len().saturating_sub(1) as u32;
        &self.keys[usize::from(second_key(self.alpha, step.query.seed, position))]
    }
}

impl LogitsProcessor for Sampler {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if let Some(winner) = self.chosen(step, row.logits) {
            leave(row.logits, winner as usize);
        }
    }

    fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
        let context = self.history.marked_context(step)?;
        let mut words = vec![0; logits.len()];
        self.turn(step).all_words(&context, PLAIN, &mut words);
        race::winner(logits, &words).map(|place| place as TokenId)
    }
}
