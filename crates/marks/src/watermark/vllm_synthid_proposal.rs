//! SynthID-Text's tournament as proposed for vLLM, bit for bit as the proposals stood in 2026; no release has it, and four incompatible
//! rules for its bits were seen. After Dathathri et al., *Scalable watermarking for identifying large language model outputs*, Nature 634
//! (2024). Served watermarks, sections 1 and 5.
//!
//! `variant` says which rule; the one with transformers' table belongs to transformers' mark. With `word` the bits are those of the word that
//! Gumbel and red-green race with, so that a text marked by these under the same key is no unmarked text here.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bits, Null};
use stats::tail::log10_binomial_sf;

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::left_law::change_left;
use crate::keyed::tournament::{SYNTHID_TOP_K, tournament};
use crate::keyed::vllm::history::{History, max_history};
use crate::keyed::vllm::prf::{PLAIN, Prf, derived};
use crate::keyed::vllm::{Deduplicate, detector};
use crate::keyed::{Authors, AuthorsScore, Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

const KIND: &str = "vllm_synthid_proposal";

/// Layers whose bits fit into one word.
const WORD: u32 = 32;

/// Most layers.
const MAX_DEPTH: u32 = 256;

/// Which word a layer's bit is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Bit d of the word that Gumbel uses (`synthid`): at most 32 layers.
    Word,
    /// Bit d mod 32 of the word of stream d / 32 of its own streams (`synthid_text`).
    Stream,
    /// The upper bit of a word under a key of the layer's own.
    Layer,
}

/// vLLM's proposed SynthID watermark; its keys have vLLM's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VllmSynthidProposalConfig {
    /// Which of the proposals' rules makes bits.
    pub variant: Variant,
    /// The server's key; without it, one derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ServedKey>,
    /// Layers of the tournament, 1 to 256, with `word` at most 32; the proposals' defaults are 32, with `layer` 30.
    pub depth: u32,
    /// Number of tokens of the answer before the next one that choose its bits, 1 to 16; vLLM's default is 4.
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

impl VllmSynthidProposalConfig {
    fn history(&self) -> History {
        History { width: self.context_width, scope: self.deduplicate_contexts, most: self.deduplicate_contexts_max_history }
    }
}

impl MarkConfig for VllmSynthidProposalConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark vllm_synthid_proposal",
            source: "Dathathri et al., Nature 634, 2024; proposed for vLLM, 2026",
            summary: "SynthID-Text's tournament as proposed for vLLM, in no release yet",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let most = if self.variant == Variant::Word { WORD } else { MAX_DEPTH };
        if !(1..=most).contains(&self.depth) {
            return Err(ConfigError::new("depth", self.depth, format!("use 1 to {most} layers, for example 32")));
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
        let &Self { variant, depth, .. } = self;
        let (bits, history) = (KeyedBits::new(variant, depth, &key), self.history());
        let tournament = Arc::new(Tournament { name: identity(&named, &key), bits, history });
        let rules = Rules::padded(self.context_width, self.dedup, &**owner.codec);
        Ok(Arc::new(Keyed::new(VllmSynthid { rules, variant, depth, tournament }, &key).judged_by(&self.test.of_a_draw())))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            variant: Variant::Stream,
            key: None,
            depth: 32,
            context_width: 4,
            deduplicate_contexts: Deduplicate::SingleTurn,
            deduplicate_contexts_max_history: max_history(),
            dedup: Dedup::Contexts,
            test: KeyedTest::default(),
        };
        vec![
            example.clone(),
            Self { variant: Variant::Layer, depth: 6, context_width: 6, ..example.clone() },
            Self { variant: Variant::Word, ..example },
        ]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("context_width", "0"), ("context_width", "17"), ("depth", "0"), ("depth", "257")]
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }

    fn published_top_k(&self) -> usize {
        SYNTHID_TOP_K
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { dedup: Dedup::Contexts, test: KeyedTest::default(), ..self.clone() }
    }
}

/// A keyed function for some layers: where bit l of its words is layer l of these, or the upper bit alone is one layer.
#[derive(Debug, Clone, Copy)]
struct Source {
    prf: Prf,
    stream: u64,
    /// Lowest bit of the word that counts, and how many do.
    first: u32,
    layers: u32,
}

/// The bits of all layers, lowest layer first.
#[derive(Debug, Clone)]
struct KeyedBits {
    sources: Vec<Source>,
}

impl KeyedBits {
    fn new(variant: Variant, depth: u32, key: &Key) -> Self {
        let one = key.served_or_derived(Purpose::Kind(KIND));
        let prf = Prf::new(one);
        let sources = match variant {
            Variant::Word => vec![Source { prf, stream: PLAIN, first: 0, layers: depth }],
            Variant::Stream => {
                let block = |block: u32| Source {
                    prf,
                    stream: 0x5359_4E54 << 32 | u64::from(block),
                    first: 0,
                    layers: (depth - block * WORD).min(WORD),
                };
                (0..depth.div_ceil(WORD)).map(block).collect()
            }
            Variant::Layer => {
                let prf = |layer| Prf::new(derived(&format!("synthid_layer_{layer}"), one));
                (0..depth).map(|layer| Source { prf: prf(layer), stream: PLAIN, first: 31, layers: 1 }).collect()
            }
        };
        Self { sources }
    }

    /// Calls `each` with the words of every source, moved so that their lowest bits are its layers, and the number of these.
    fn each(&self, count: usize, words: impl Fn(&Source, &mut [u32]), mut each: impl FnMut(&[u32], u32)) {
        let mut drawn = vec![0; count];
        for source in &self.sources {
            words(source, &mut drawn);
            drawn.iter_mut().for_each(|word| *word >>= source.first);
            each(&drawn, source.layers);
        }
    }

    /// The number of ones of each word of `words`, over all layers, into `ones`.
    fn count(&self, words: impl Fn(&Source, &mut [u32]), ones: &mut [f64]) {
        ones.fill(0.0);
        let count = ones.len();
        self.each(count, words, |words, layers| {
            let mask = u32::MAX >> (WORD - layers);
            for (ones, word) in ones.iter_mut().zip(words) {
                *ones += f64::from((word & mask).count_ones());
            }
        });
    }
}

struct VllmSynthid {
    rules: Rules,
    variant: Variant,
    depth: u32,
    tournament: Arc<Tournament>,
}

impl VllmSynthid {
    fn bits(&self, key: &Key) -> KeyedBits {
        KeyedBits::new(self.variant, self.depth, key)
    }
}

impl Scheme for VllmSynthid {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Bits { per_unit: self.depth })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (bits, width) = (self.bits(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| {
            bits.count(|source, words| source.prf.unit_words(windows, width, source.stream, words), scores);
        })
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.tournament.clone()
    }

    fn effect_unit(&self) -> &'static str {
        "share of ones above one half"
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.1} % ones in {} scored units", 100.0 * (0.5 + evidence.effect), evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }

    fn authors(&self) -> Option<&dyn Authors> {
        Some(self)
    }
}

/// The number of ones of each candidate.
impl KeyedValues for VllmSynthid {
    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let words = |source: &Source, words: &mut [u32]| source.prf.words(context, candidates, source.stream, words);
        self.bits(key).count(words, out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(0.5, lambda, weight).map(|one| f64::from(self.depth) * one)
    }
}

/// Binomial tail of the ones over contexts that are distinct in a text.
impl Authors for VllmSynthid {
    fn judge(&self, key: &Key, texts: &[&[TokenId]]) -> Result<Vec<AuthorsScore>, MarkError> {
        let windows = detector::units(texts, self.rules.context_width);
        let units = windows.len() / (self.rules.context_width + 1);
        let mut scores = vec![0.0; units];
        self.scorer(key)(&windows, &mut scores);
        let bits: f64 = scores.iter().sum();
        let log10_p = log10_binomial_sf(bits as u64, units as u64 * u64::from(self.depth), 0.5);
        Ok(vec![AuthorsScore {
            detector: match self.variant {
                Variant::Word => "vLLM proposal synthid",
                Variant::Stream => "vLLM proposal synthid_text",
                Variant::Layer => "vLLM proposal synthid, a key for each layer",
            },
            units: units as u64,
            statistic: bits,
            statistic_name: "bits",
            z: None,
            log10_p: Some(log10_p),
            found: detector::found(log10_p),
            caution: None,
        }])
    }
}

/// Applies the tournament to the law that is left after truncation.
struct Tournament {
    name: String,
    bits: KeyedBits,
    history: History,
}

impl LogitsProcessor for Tournament {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(context) = self.history.marked_context(step) else { return };
        // theirs: a candidate that truncation left keeps a logit, however small
        change_left(row.logits, f32::MIN, |left, q| {
            let words = |source: &Source, words: &mut [u32]| source.prf.words(&context, left, source.stream, words);
            self.bits.each(left.len(), words, |words, layers| tournament(q, words, layers));
        });
    }
}
