//! SBW, a green list whose seeds are cheap enough for whole vocabularies on a GPU, as the vLLM plug-in `vllm-sbw` 1.0.0 serves it and as
//! it is proposed for vLLM itself, bit for bit. Its seeds are those of Kirchenbauer et al., *On the Reliability of Watermarks for Large
//! Language Models*, ICLR 2024, arXiv 2306.04634, with another hash. Served watermarks, section 6.
//!
//! The bias goes onto raw logits, before temperature, so that greedy answers are marked too; special tokens are raised like others, and
//! repeats are marked. The plug-in's contexts run over prompt and answer; those of the proposal for vLLM (`native_proposal`) are of the answer only.
//!
//! With self hash a key decides which units share a draw: they are counted once for each draw (authors' detectors count windows, and give
//! 25 % false alarms at nominal 1 %), and the keyed score test sums them anew under each key. What is scored lies in the answer with a whole
//! context: a native context that is not full has the same list under half of all keys.

use std::sync::Arc;

use oracle::{ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bernoulli, Null};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::rules::{MAX_CONTEXT, NO_TOKEN};
use crate::keyed::sbw::{Seeds, green_below, rate};
use crate::keyed::scheme::Draws;
use crate::keyed::{Authors, Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Bed, Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

pub use crate::keyed::sbw::Seeding;

mod detector;
#[cfg(test)]
mod tests;

const KIND: &str = "sbw";

/// Who serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The plug-in `vllm-sbw`: contexts run over prompt and answer, filled up with id 0.
    Plugin,
    /// The proposal for vLLM, in no release: contexts are of the answer only, filled up with -1.
    NativeProposal,
}

/// SBW; the defaults named are the code's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SbwConfig {
    /// Who serves it.
    pub form: Form,
    /// How the tokens before a candidate choose its seed; the default is self hash.
    pub seeding: Seeding,
    /// The server's key, 1 to 2^63 - 1; without it, one derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ServedKey>,
    /// Share of candidates that is green, strictly between 0 and 1; the default is 0.5.
    pub gamma: f64,
    /// Added to the logits of green candidates before temperature, nats; the default is 2.
    pub delta: f64,
    /// Of self hash, tokens of the window, the candidate among them, 1 to 6, default 4; of left hash, tokens before it, 1 to 5, default 1.
    pub width: usize,
    /// Which scored units count once: every pair of context and token, or every context. With self hash every draw once, beside.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl SbwConfig {
    /// Tokens before a candidate that enter its seed.
    fn before(&self) -> usize {
        match self.seeding {
            Seeding::SelfHash => self.width.saturating_sub(1),
            Seeding::LeftHash => self.width,
        }
    }

    /// The test as it decides: the least product is that of one token.
    fn decides(&self) -> KeyedTest {
        match self.seeding {
            Seeding::SelfHash => self.test.of_some_tokens(),
            Seeding::LeftHash => self.test.clone(),
        }
    }
}

impl MarkConfig for SbwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark sbw",
            source: "Kirchenbauer et al., ICLR 2024, arXiv 2306.04634; vllm-sbw 1.0.0 and its proposal for vLLM, 2026",
            summary: "green lists of the vLLM plug-in vllm-sbw, and as proposed for vLLM, bit for bit",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        // the number itself stays out of the message
        match self.key.map(ServedKey::number) {
            Some(0) => {
                return Err(ConfigError::new("key", "0", "use a key above 0: under 0 all seeds are 0, and nothing is secret"));
            }
            Some(key) if i64::try_from(key).is_err() => {
                let instead = "use a key below 2^63: SBW computes with signed numbers of 64 bits and cannot serve it";
                return Err(ConfigError::new("key", "a number from 2^63 on", instead));
            }
            _ => {}
        }
        let below = green_below(self.gamma);
        if !(self.gamma < 1.0 && below > 0) {
            return Err(ConfigError::new("gamma", self.gamma, "use a share strictly between 0 and 1, for example 0.5"));
        }
        if !(self.delta > 0.0 && (self.delta as f32).is_finite()) {
            return Err(ConfigError::new("delta", self.delta, "use a finite bias above 0, for example 2.0"));
        }
        if self.width == 0 || self.before() > MAX_CONTEXT {
            let most = if self.seeding == Seeding::SelfHash { MAX_CONTEXT + 1 } else { MAX_CONTEXT };
            return Err(ConfigError::new("width", self.width, format!("use 1 to {most} tokens")));
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        Needs { served_key: self.key.is_some(), ..self.decides().needs(self.before()) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let key = ServedKey::in_hands_of(self.key, owner.key);
        // how text is scored changes nothing that is drawn; the key's name commits to the key
        let named = Self { key: None, ..self.planted() };
        let (form, green_below, before) = (self.form, green_below(self.gamma), self.before());
        let seeds = Seeds { key: number(&key), seeding: self.seeding };
        let list = GreenList { form, seeds, green_below, before };
        let bias = Arc::new(Bias { name: identity(&named, &key), list, delta: self.delta as f32 });
        let rules = Rules::new(before, self.dedup, &**owner.codec);
        let scheme = Sbw { rules, gamma: self.gamma, width: self.width, list, bias };
        Ok(Arc::new(Keyed::new(scheme, &key).judged_by(&self.decides())))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            form: Form::Plugin,
            seeding: Seeding::SelfHash,
            key: None,
            gamma: 0.5,
            delta: 2.0,
            width: 4,
            dedup: Dedup::Pairs,
            test: KeyedTest::default(),
        };
        let left = Self { form: Form::NativeProposal, seeding: Seeding::LeftHash, gamma: 0.25, width: 1, ..example.clone() };
        vec![example, left]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("key", "0"),
            ("key", r#""9223372036854775808""#),
            ("gamma", "0.0"),
            ("gamma", "1.0"),
            ("gamma", "-0.5"),
            ("delta", "0.0"),
            ("delta", "1e300"),
            ("width", "0"),
            ("width", "7"),
        ]
    }

    /// Pairs are named and drawn anew under each key.
    fn bed(&self) -> Bed {
        match self.seeding {
            Seeding::SelfHash => Bed { vocab: 96, prompts: 24, max_new_tokens: 16, ..Bed::default() },
            Seeding::LeftHash => Bed::default(),
        }
    }

    fn small(&self) -> Self {
        self.clone()
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let counted = |example| (String::new(), Self { test: KeyedTest::Count, ..example });
        Self::examples().into_iter().take(1).map(counted).collect()
    }

    fn planted(&self) -> Self {
        Self { dedup: Dedup::default(), test: KeyedTest::default(), ..self.clone() }
    }
}

/// The number that a server has in place of `key`.
fn number(key: &Key) -> i64 {
    // a key that the file gives was validated to fit
    (key.served_or_derived(Purpose::Kind(KIND)) & i64::MAX as u64) as i64
}

/// Which candidates are green under one key.
#[derive(Debug, Clone, Copy)]
struct GreenList {
    form: Form,
    seeds: Seeds,
    green_below: u32,
    /// Tokens before a candidate that enter its seed.
    before: usize,
}

impl GreenList {
    /// What stands before the next token, as far as it enters a seed; shorter than that at the beginning.
    fn there<'a>(&self, step: &Step<'a>) -> &'a [TokenId] {
        let text = match self.form {
            Form::Plugin => step.tokens,
            Form::NativeProposal => step.answer(),
        };
        &text[text.len().saturating_sub(self.before)..]
    }

    /// `there`, filled up.
    fn filled_up(&self, there: &[TokenId]) -> ([TokenId; MAX_CONTEXT], usize) {
        let filler = if self.form == Form::Plugin { 0 } else { NO_TOKEN };
        let mut context = [filler; MAX_CONTEXT];
        context[self.before - there.len()..self.before].copy_from_slice(there);
        (context, self.before)
    }

    fn under(self, key: &Key) -> Self {
        Self { seeds: Seeds { key: number(key), ..self.seeds }, ..self }
    }
}

impl KeyedSet for GreenList {
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        let (context, width) = self.filled_up(context);
        self.seeds.draw(&context[..width], token) < self.green_below
    }
}

struct Sbw {
    rules: Rules,
    gamma: f64,
    /// As configured.
    width: usize,
    list: GreenList,
    bias: Arc<Bias>,
}

impl Scheme for Sbw {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Bernoulli { rate: rate(self.list.green_below) })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (list, width) = (self.list.under(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| {
            let mut draws = vec![0; scores.len()];
            list.seeds.draws(windows, width, &mut draws);
            for (to, draw) in scores.iter_mut().zip(draws) {
                *to = f64::from(u8::from(draw < list.green_below));
            }
        })
    }

    /// The seed and the candidate; a left hash of one token is another for each.
    fn draws(&self, key: &Key) -> Option<Draws> {
        let (seeds, width) = (self.list.under(key).seeds, self.rules.context_width + 1);
        if seeds.seeding == Seeding::LeftHash && width == 2 {
            return None;
        }
        Some(Box::new(move |windows, names| {
            for (name, window) in names.iter_mut().zip(windows.chunks_exact(width)) {
                let seed = seeds.seed(&window[..width - 1], window[width - 1]);
                *name = u128::from(seed as u64) << 32 | u128::from(window[width - 1]);
            }
        }))
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} scored units hit", evidence.statistic, evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }

    fn authors(&self) -> Option<&dyn Authors> {
        Some(self)
    }
}

/// 1 for a green candidate, else 0.
impl KeyedValues for Sbw {
    /// Of left hash.
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        let sum: u128 = context.iter().map(|id| u128::from(*id)).sum();
        sum << 32 | u128::from(candidate)
    }

    fn inputs_by_key(&self) -> bool {
        self.list.seeds.seeding == Seeding::SelfHash
    }

    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let list = self.list.under(key);
        for (value, &candidate) in out.iter_mut().zip(candidates) {
            *value = f64::from(u8::from(list.contains(context, candidate)));
        }
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(rate(self.list.green_below), lambda, weight)
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}

/// Raises green logits.
struct Bias {
    name: String,
    list: GreenList,
    delta: f32,
}

impl LogitsProcessor for Bias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let (context, width) = self.list.filled_up(self.list.there(step));
        let mut draws = vec![0; row.logits.len()];
        self.list.seeds.all_draws(&context[..width], &mut draws);
        for (logit, draw) in row.logits.iter_mut().zip(draws) {
            *logit += if draw < self.list.green_below { self.delta } else { 0.0 };
        }
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        Some(Raised { bias: self.delta, set: &self.list, context: self.list.there(step) })
    }
}
