//! Gumbel-max sampling as vLLM 0.30 to 0.33 serves it (`--watermark-config '{"algorithm": "gumbel", ...}'`), bit for bit. The scheme is
//! Aaronson's, *Watermarking of Large Language Models*, Simons Institute, 2022. Served watermarks, sections 1 and 2.
//!
//! Contexts are of the answer only, filled up before its beginning, so that all answers draw their first token with the same noise. The
//! noise is Philox with 24 bits. The mark comes last, after temperature, min-p, top-k and top-p; answers at temperature 0 are unmarked.
//! We score distinct contexts over all answers, which is exact; vLLM's own detector, which stands beside it, one text at a time.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::null::{Exponential, Null};
use stats::tail::log10_gamma_sf;

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::race::leave;
use crate::keyed::vllm::history::{History, max_history};
use crate::keyed::vllm::prf::{PLAIN, Prf};
use crate::keyed::vllm::{Deduplicate, detector, race};
use crate::keyed::{Authors, AuthorsScore, Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

const KIND: &str = "vllm_gumbel";

/// vLLM's Gumbel watermark; its keys have vLLM's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmGumbelConfig {
    /// The server's key; without it, one derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ServedKey>,
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

impl VllmGumbelConfig {
    fn history(&self) -> History {
        History { width: self.context_width, scope: self.deduplicate_contexts, most: self.deduplicate_contexts_max_history }
    }
}

impl MarkConfig for VllmGumbelConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark vllm_gumbel",
            source: "Aaronson, Watermarking of Large Language Models, Simons Institute 2022; vLLM 0.30 to 0.33",
            summary: "vLLM's Gumbel watermark as it is served, bit for bit",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
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
        let sampler = Arc::new(Sampler { name: identity(&named, &key), prf: prf(&key), history: self.history() });
        let rules = Rules::padded(self.context_width, self.dedup, &**owner.codec);
        Ok(Arc::new(Keyed::new(VllmGumbel { rules, sampler }, &key).judged_by(&self.test.of_a_draw())))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            key: None,
            context_width: 4,
            deduplicate_contexts: Deduplicate::SingleTurn,
            deduplicate_contexts_max_history: max_history(),
            dedup: Dedup::Contexts,
            test: KeyedTest::default(),
        };
        let narrow = Self { context_width: 1, deduplicate_contexts_max_history: 0, dedup: Dedup::Pairs, ..example.clone() };
        vec![example, narrow]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("context_width", "0"), ("context_width", "17")]
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

struct VllmGumbel {
    rules: Rules,
    sampler: Arc<Sampler>,
}

impl Scheme for VllmGumbel {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A word has 24 bits, so that a score is an exponential one rounded to its step: at most 16.6.
    fn null(&self) -> Box<dyn Null> {
        Box::new(Exponential)
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (prf, width) = (prf(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| {
            let mut words = vec![0; scores.len()];
            prf.unit_words(windows, width, PLAIN, &mut words);
            race::scores(&words, scores);
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

/// -ln(1 - u) of each candidate.
impl KeyedValues for VllmGumbel {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let mut words = vec![0; candidates.len()];
        prf(key).words(context, candidates, PLAIN, &mut words);
        race::scores(&words, out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::exponential(lambda, weight)
    }
}

/// Gamma tail of the total over contexts that are distinct in a text.
impl Authors for VllmGumbel {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let windows = detector::units(texts, self.rules.context_width);
        let units = windows.len() / (self.rules.context_width + 1);
        let mut scores = vec![0.0; units];
        self.scorer(key)(&windows, &mut scores);
        let score: f64 = scores.iter().sum();
        let log10_p = if units == 0 { 0.0 } else { log10_gamma_sf(units as f64, score) };
        Ok(vec![AuthorsScore {
            detector: "vLLM 0.33.0 gumbel",
            units: units as u64,
            statistic: score,
            statistic_name: "score",
            z: None,
            log10_p: Some(log10_p),
            found: detector::found(log10_p),
            caution: None,
        }])
    }
}

/// Leaves one token in the law: the winner of the keyed race among all tokens that are left after truncation, special ones included.
struct Sampler {
    name: String,
    prf: Prf,
    history: History,
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
        self.prf.all_words(&context, PLAIN, &mut words);
        race::winner(logits, &words).map(|place| place as TokenId)
    }
}
