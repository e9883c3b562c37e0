//! Soft green lists as proposed for vLLM (`"algorithm": "red_green"`), bit for bit as the proposal stood in 2026; no release has them, and
//! their bits may change before one does. After Kirchenbauer et al., *A Watermark for Large Language Models*, ICML 2023, arXiv 2301.10226.
//! Served watermarks, sections 1 and 4.
//!
//! A candidate is green where its number is below gamma, each for itself, so that the size of a list is binomial. The bias comes after
//! temperature, top-k and top-p, and is not divided by temperature; answers at temperature 0 and repeated contexts are unmarked.

use std::sync::Arc;

use oracle::{ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bernoulli, Null};
use stats::tail::log10_binomial_sf;

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::vllm::history::{History, max_history, padded};
use crate::keyed::vllm::prf::{PLAIN, Prf, mantissas_below};
use crate::keyed::vllm::{Deduplicate, detector};
use crate::keyed::{Authors, AuthorsScore, Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

const KIND: &str = "vllm_red_green_proposal";

/// vLLM's proposed red-green watermark; its keys have vLLM's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmRedGreenProposalConfig {
    /// The server's key; without it, one derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ServedKey>,
    /// Share of candidates that is green after each context, strictly between 0 and 1; the proposal's default is 0.25.
    pub gamma: f64,
    /// Added to the logits of green candidates after temperature and truncation, nats; the proposal's default is 2.
    pub delta: f64,
    /// Number of tokens of the answer before the next one that choose its list, 1 to 16; vLLM's default is 4.
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

impl VllmRedGreenProposalConfig {
    fn history(&self) -> History {
        History { width: self.context_width, scope: self.deduplicate_contexts, most: self.deduplicate_contexts_max_history }
    }
}

impl MarkConfig for VllmRedGreenProposalConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark vllm_red_green_proposal",
            source: "Kirchenbauer et al., ICML 2023, arXiv 2301.10226; proposed for vLLM, 2026",
            summary: "soft green lists as proposed for vLLM, in no release yet",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let green = mantissas_below(self.gamma as f32);
        if self.gamma.is_nan() || green == 0 || green == 1 << 24 {
            return Err(ConfigError::new("gamma", self.gamma, "use a share strictly between 0 and 1, for example 0.25"));
        }
        if !(self.delta > 0.0 && (self.delta as f32).is_finite()) {
            return Err(ConfigError::new("delta", self.delta, "use a finite bias above 0, for example 2.0"));
        }
        self.test.validate()?;
        self.history().check()
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, served_key: self.key.is_some(), ..self.test.needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let key = ServedKey::in_hands_of(self.key, owner.key);
        // how text is scored changes nothing that is drawn; the key's name commits to the key
        let named = Self { key: None, dedup: Dedup::Contexts, test: KeyedTest::default(), ..self.clone() };
        let green = mantissas_below(self.gamma as f32);
        let (delta, history) = (self.delta as f32, self.history());
        let set = GreenSet { prf: prf(&key), green, width: self.context_width };
        let bias = Arc::new(Bias { name: format!("{}, by proposals", identity(&named, &key)), set, delta, history });
        let rules = Rules::padded(self.context_width, self.dedup, &**owner.codec);
        Ok(Arc::new(Keyed::new(VllmRedGreen { rules, green, bias }, &key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        vec![Self {
            key: None,
            gamma: 0.25,
            delta: 2.0,
            context_width: 4,
            deduplicate_contexts: Deduplicate::SingleTurn,
            deduplicate_contexts_max_history: max_history(),
            dedup: Dedup::Contexts,
            test: KeyedTest::default(),
        }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("context_width", "0"),
            ("context_width", "17"),
            ("gamma", "0.0"),
            ("gamma", "1.0"),
            ("gamma", "-0.5"),
            ("delta", "0.0"),
            ("delta", "1e300"),
        ]
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

fn prf(key: &Key) -> Prf {
    Prf::new(key.served_or_derived(Purpose::Kind(KIND)))
}

/// Whether a word is green where so many mantissas are.
#[inline(always)]
fn is_green(word: u32, green: u32) -> bool {
    word >> 8 < green
}

struct VllmRedGreen {
    rules: Rules,
    /// Mantissas below gamma, of 2^24.
    green: u32,
    bias: Arc<Bias>,
}

impl VllmRedGreen {
    /// The exact share of words that are green.
    fn rate(&self) -> f64 {
        f64::from(self.green) / 16_777_216.0
    }
}

impl Scheme for VllmRedGreen {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Bernoulli { rate: self.rate() })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (prf, width, green) = (prf(key), self.rules.context_width + 1, self.green);
        Box::new(move |windows, scores| {
            let mut words = vec![0; scores.len()];
            prf.unit_words(windows, width, PLAIN, &mut words);
            for (to, word) in scores.iter_mut().zip(words) {
                *to = f64::from(u8::from(is_green(word, green)));
            }
        })
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
impl KeyedValues for VllmRedGreen {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let mut words = vec![0; candidates.len()];
        prf(key).words(context, candidates, PLAIN, &mut words);
        for (to, word) in out.iter_mut().zip(words) {
            *to = f64::from(u8::from(is_green(word, self.green)));
        }
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(self.rate(), lambda, weight)
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}

/// Binomial tail of the hits over contexts that are distinct in a text.
impl Authors for VllmRedGreen {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let windows = detector::units(texts, self.rules.context_width);
        let units = windows.len() / (self.rules.context_width + 1);
        let mut scores = vec![0.0; units];
        self.scorer(key)(&windows, &mut scores);
        let hits: f64 = scores.iter().sum();
        let (n, rate) = (units as f64, self.rate());
        let log10_p = log10_binomial_sf(hits as u64, units as u64, rate);
        Ok(vec![AuthorsScore {
            detector: "vLLM proposal red_green",
            units: units as u64,
            statistic: hits,
            statistic_name: "hits",
            z: (units > 0).then(|| (hits - n * rate) / (n * rate * (1.0 - rate)).sqrt()),
            log10_p: Some(log10_p),
            found: detector::found(log10_p),
            caution: None,
        }])
    }
}

/// Raises green logits among those that truncation left.
struct Bias {
    name: String,
    set: GreenSet,
    delta: f32,
    history: History,
}

/// Green tokens after the tokens of an answer.
struct GreenSet {
    prf: Prf,
    /// Mantissas below gamma, of 2^24.
    green: u32,
    width: usize,
}

impl KeyedSet for GreenSet {
    /// `context`: the tokens that are there, which may be fewer than the width.
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
        let mut word = [0];
        if context.len() == self.width {
            self.prf.words(context, &[token], PLAIN, &mut word);
        } else {
            self.prf.words(&padded(context, self.width), &[token], PLAIN, &mut word);
        }
        is_green(word[0], self.green)
    }
}

impl LogitsProcessor for Bias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(context) = self.history.marked_context(step) else { return };
        let mut words = vec![0; row.logits.len()];
        self.set.prf.all_words(&context, PLAIN, &mut words);
        Arch::new().dispatch(AllRaised { logits: row.logits, words: &words, green: self.set.green, delta: self.delta });
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        let context = self.history.marked_tokens(step)?;
        Some(Raised { bias: self.delta, set: &self.set, context })
    }
}

/// Logits with `delta` added where the word is green.
struct AllRaised<'a> {
    logits: &'a mut [f32],
    words: &'a [u32],
    green: u32,
    delta: f32,
}

impl WithSimd for AllRaised<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (logit, word) in self.logits.iter_mut().zip(self.words) {
            *logit += if is_green(*word, self.green) { self.delta } else { 0.0 };
        }
    }
}
