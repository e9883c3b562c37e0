//! KGW soft green list. Kirchenbauer, Geiping, Wen, Katz, Miers and Goldstein, *A Watermark for Large Language Models*,
//! ICML 2023 (arXiv 2301.10226); *On the Reliability of Watermarks*, ICLR 2024 (2306.04634). Methods a1.
//!
//! Green lists are drawn per pair, not as a permutation per context as in the authors' code: see
//! [`GreenList`](super::green::GreenList).

use std::sync::Arc;

use oracle::{Access, Codec, ConfigError, Exchange, LogitsProcessor, ProcessorStage, Raised, TokenId};
use serde::{Deserialize, Serialize};

use super::detection::{Detection, Scheme, Scorer, detect};
use super::green::{GreenList, GreenRows};
use super::null::Null;
use super::walk::{Dedup, MAX_CONTEXT, Rules};
use super::{Watermark, WatermarkBuilder};
use crate::key::Key;
use crate::mark::{Claim, Cost, Family, Mark, MarkError, MarkInfo};
use crate::registry::MarkConfig;

/// Parameters of the KGW watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KgwConfig {
    /// Share of the vocabulary that is green after each context, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its green list, 0 to 4.
    pub context_width: usize,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
}

impl MarkConfig for KgwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "kgw",
            family: Family::Watermark,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: true,
            source: "Kirchenbauer et al., A Watermark for Large Language Models, ICML 2023, arXiv 2301.10226",
            summary: "soft green list: the logits of a keyed share of tokens are raised after each context",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        // below 2^-32 the draw, a 32-bit number, cannot tell gamma from 0 (and above 1 - 2^-32 from 1)
        if !(self.gamma >= 2f64.powi(-32) && self.gamma <= 1.0 - 2f64.powi(-32)) {
            return Err(ConfigError::new("gamma", self.gamma, "use a share strictly between 0 and 1, for example 0.25"));
        }
        if !(self.delta > 0.0 && self.delta.is_finite() && (self.delta as f32).is_finite()) {
            return Err(ConfigError::new("delta", self.delta, "use a finite bias above 0, for example 2.0"));
        }
        if self.context_width > MAX_CONTEXT {
            let mend = format!("use 0 to {MAX_CONTEXT} tokens, for example 1");
            return Err(ConfigError::new("context_width", self.context_width, mend));
        }
        Ok(())
    }

    fn example() -> Self {
        Self { gamma: 0.25, delta: 2.0, context_width: 1, dedup: Dedup::Pairs }
    }
}

impl WatermarkBuilder for KgwConfig {
    fn build(&self, key: &Key, codec: &dyn Codec) -> Arc<dyn Watermark> {
        let rules = Rules::new(self.context_width, self.dedup, codec);
        let rows = GreenRows::new(GreenList::new(key, self.gamma), codec.vocab_size(), &rules.special);
        let bias = Arc::new(GreenBias { rows, delta: self.delta as f32, context_width: self.context_width });
        Arc::new(Kgw { gamma: self.gamma, key: key.clone(), rules, bias })
    }
}

struct Kgw {
    gamma: f64,
    key: Key,
    rules: Rules,
    bias: Arc<GreenBias>,
}

impl Mark for Kgw {
    fn info(&self) -> MarkInfo {
        KgwConfig::example().info()
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

impl Scheme for Kgw {
    fn name(&self) -> &'static str {
        Mark::name(self)
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Null {
        Null::Bernoulli { rate: GreenList::new(&self.key, self.gamma).rate() }
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (list, width) = (GreenList::new(key, self.gamma), self.rules.context_width + 1);
        Box::new(move |windows, scores| list.score(windows, width, scores))
    }
}

impl Watermark for Kgw {
    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn detect(
        &self,
        answers: &[Exchange],
        decoys: usize,
        decoy_seed: u64,
        pool: &rayon::ThreadPool,
    ) -> Result<Detection, MarkError> {
        detect(self, &self.key, answers, decoys, decoy_seed, pool)
    }
}

/// Raises green logits. The first answer token is biased too, its context being the end of the prompt, although
/// detection never scores it.
struct GreenBias {
    rows: GreenRows,
    delta: f32,
    context_width: usize,
}

impl LogitsProcessor for GreenBias {
    fn stage(&self) -> ProcessorStage {
        ProcessorStage::BeforeTemperature
    }

    fn process(&self, before: &[TokenId], _answer_start: usize, logits: &mut [f32]) {
        // fewer tokens than a context holds: no list to choose, nothing is raised
        if let Some(start) = before.len().checked_sub(self.context_width) {
            self.rows.add(&before[start..], self.delta, logits);
        }
    }

    fn raised<'a>(&'a self, before: &'a [TokenId], _answer_start: usize) -> Option<Raised<'a>> {
        let start = before.len().checked_sub(self.context_width)?;
        Some(Raised { bias: self.delta, set: &self.rows, context: &before[start..] })
    }
}
