//! SynthID-Text as transformers serves it (`SynthIDTextWatermarkingConfig`, since 4.46). Dathathri et al., *Scalable watermarking for
//! identifying large language model outputs*, Nature 634 (2024). served-watermarks 8.
//!
//! The bit of a layer is looked up in a table of 65,536 bits, at a place that follows from the n-gram and the layer's key mod 65,536 alone.
//! So n-grams of equal hashes mod that size are copies of each other in every layer: they count once. And a table has not as many ones as
//! zeros: chance is its share of ones, whatever the keys. Contexts see nothing of the prompt; before an answer they are zeros.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{BiasedBits, Null, WeightedBits};

use crate::keyed::scheme::units_of;
use crate::keyed::tournament::{SYNTHID_TOP_K, Score};
use crate::keyed::{Authors, Dedup, Draws, Keyed, KeyedTest, KeyedValues, MAX_CONTEXT, Rules, Scheme, Scorer, Skipped, cumulant};
use crate::{Bed, Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, ServedKey, identity};

mod authors;
mod bayesian;
mod keys;
mod served;
mod table;

use authors::Detector;
pub use bayesian::Bayesian;
use keys::keys;
use served::Tournament;
use table::{Bits, Table};

const KIND: &str = "hf_synthid";

/// Most layers: bits of a candidate that are computed with at once.
const MAX_LAYERS: usize = 64;

/// `SynthIDTextWatermarkingConfig` of transformers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HfSynthidConfig {
    /// Tokens of a unit, the scored one included, 2 to 6; published with 5.
    pub ngram_len: usize,
    /// The keys that a server has, one for each layer, at most 64. Without them, as many as `layers` derive from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<ServedKey>>,
    /// Layers of the tournament where no `keys` are given; published with 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Bits of the table.
    #[serde(default = "table_size", skip_serializing_if = "is_table_size")]
    pub sampling_table_size: u32,
    /// Seed of the table.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sampling_table_seed: u64,
    /// Contexts of an answer that are remembered: a token after one of them is drawn unmarked.
    #[serde(default = "history_size", skip_serializing_if = "is_history_size")]
    pub context_history_size: u32,
    /// Whether the first tokens of an answer, whose contexts are not full, are drawn unmarked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_first_ngram_calls: bool,
    /// What a unit scores.
    #[serde(default)]
    pub score: Score,
    /// A detector that was trained with transformers, whose score is then given beside ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bayesian: Option<Bayesian>,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

fn table_size() -> u32 {
    65_536
}

fn is_table_size(size: &u32) -> bool {
    *size == table_size()
}

fn history_size() -> u32 {
    1024
}

fn is_history_size(size: &u32) -> bool {
    *size == history_size()
}

fn is_zero(seed: &u64) -> bool {
    *seed == 0
}

/// Largest table: an eighth of a mebibyte.
const MAX_TABLE: u32 = 1 << 20;

/// Longest memory of contexts: an answer's tokens each look through it.
const MAX_HISTORY: u32 = 1 << 16;

impl MarkConfig for HfSynthidConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark hf_synthid",
            source: "Dathathri et al., Scalable watermarking for identifying large language model outputs, Nature 634, 2024",
            summary: "SynthID-Text as transformers serves it: its hash and its table of bits, to the bit",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let refused = |key: &str, value: String, instead: String| Err(ConfigError::new(key, value, instead));
        if !(2..=MAX_CONTEXT + 1).contains(&self.ngram_len) {
            return refused(
                "ngram_len",
                self.ngram_len.to_string(),
                format!("use 2 to {} tokens, for example 5", MAX_CONTEXT + 1),
            );
        }
        let either = "give either `keys`, those that a server has, or `layers`, how many derive from your secret, for example 30";
        match (&self.keys, self.layers) {
            (Some(keys), None) if (1..=MAX_LAYERS).contains(&keys.len()) => {}
            (None, Some(layers)) if (1..=MAX_LAYERS as u32).contains(&layers) => {}
            (Some(keys), None) => return refused("keys", format!("{} keys", keys.len()), format!("use 1 to {MAX_LAYERS} keys")),
            (None, Some(layers)) => {
                return refused("layers", layers.to_string(), format!("use 1 to {MAX_LAYERS}, for example 30"));
            }
            (Some(_), Some(layers)) => return refused("layers", layers.to_string(), either.into()),
            (None, None) => return refused("layers", "nothing".into(), either.into()),
        }
        if !(2..=MAX_TABLE).contains(&self.sampling_table_size) {
            let instead = format!("use 2 to {MAX_TABLE} bits, for example 65536");
            return refused("sampling_table_size", self.sampling_table_size.to_string(), instead);
        }
        let ones = Table::new(self.sampling_table_seed, self.sampling_table_size).ones();
        if ones == 0 || ones == u64::from(self.sampling_table_size) {
            let what = format!("{}, whose table of {} bits has {ones} ones", self.sampling_table_seed, self.sampling_table_size);
            return refused("sampling_table_seed", what, "use another seed or a larger table".into());
        }
        if !(1..=MAX_HISTORY).contains(&self.context_history_size) {
            let instead = format!("use 1 to {MAX_HISTORY} contexts, for example 1024");
            return refused("context_history_size", self.context_history_size.to_string(), instead);
        }
        if let Some(bayesian) = &self.bayesian {
            bayesian.validate(self.depth())?;
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        Needs { served_key: self.keys.is_some(), ..self.test.of_a_draw().needs(self.ngram_len - 1) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let served: Option<Vec<u64>> = self.keys.as_ref().map(|keys| keys.iter().map(|key| key.number()).collect());
        let layers = self.depth();
        let key = served.map_or_else(|| owner.key.clone(), |keys| owner.key.serving(&keys));
        let table = Arc::new(Table::new(self.sampling_table_seed, self.sampling_table_size));
        // how text is scored changes nothing that is drawn
        let nameless = Self { keys: None, layers: Some(layers as u32), score: Score::default(), ..self.planted() };
        let tournament = Arc::new(Tournament {
            name: identity(&nameless, &key),
            bits: Bits::new(table.clone(), keys(&key, layers, self.sampling_table_size)),
            width: self.ngram_len - 1,
            history: self.context_history_size as usize,
            skip_first: self.skip_first_ngram_calls,
        });
        let scheme = HfSynthid {
            rules: Rules::new(self.ngram_len - 1, Dedup::Pairs, &**owner.codec),
            score: self.score,
            weights: self.score.weights(layers as u32),
            detector: Detector {
                layers,
                table: table.clone(),
                ngram_len: self.ngram_len,
                history: self.context_history_size as usize,
                end: owner.codec.eos(),
                bayesian: self.bayesian.clone(),
            },
            layers,
            table,
            tournament,
        };
        Ok(Arc::new(Keyed::new(scheme, &key).judged_by(&self.test.of_a_draw())))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            ngram_len: 3,
            keys: None,
            layers: Some(30),
            sampling_table_size: table_size(),
            sampling_table_seed: 0,
            context_history_size: history_size(),
            skip_first_ngram_calls: false,
            score: Score::Mean,
            bayesian: None,
            test: KeyedTest::default(),
        };
        let weighted = Self {
            ngram_len: 5,
            layers: Some(12),
            sampling_table_size: 40_000,
            sampling_table_seed: 7,
            context_history_size: 8,
            skip_first_ngram_calls: true,
            score: Score::WeightedMean,
            bayesian: Some(Bayesian { beta: vec![0.0; 12], delta: Vec::new(), prior: 0.5 }),
            ..example.clone()
        };
        vec![example, weighted.clone(), Self { layers: Some(20), bayesian: None, test: KeyedTest::Count, ..weighted }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("ngram_len", "1"),
            ("ngram_len", "7"),
            ("layers", "0"),
            ("layers", "65"),
            ("layers", "null"),
            ("sampling_table_size", "1"),
            ("sampling_table_size", "2000000"),
            ("context_history_size", "0"),
        ]
    }

    fn bed(&self) -> Bed {
        Bed { vocab: 128, prompts: 40, ..Bed::default() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let published = |example: Self| Self { ngram_len: 5, test: KeyedTest::Count, ..example };
        Self::examples().into_iter().take(1).map(|example| (String::new(), published(example))).collect()
    }

    fn published_top_k(&self) -> usize {
        SYNTHID_TOP_K
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), bayesian: None, ..self.clone() }
    }
}

impl HfSynthidConfig {
    /// Layers of the tournament.
    fn depth(&self) -> usize {
        self.keys.as_ref().map_or(self.layers.unwrap_or_default() as usize, Vec::len)
    }
}

struct HfSynthid {
    rules: Rules,
    score: Score,
    weights: Vec<f64>,
    layers: usize,
    table: Arc<Table>,
    detector: Detector,
    tournament: Arc<Tournament>,
}

impl HfSynthid {
    fn bits(&self, key: &Key) -> Bits {
        Bits::new(self.table.clone(), keys(key, self.layers, self.table.size()))
    }
}

impl Scheme for HfSynthid {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        let rate = self.table.rate();
        match self.score {
            Score::Mean => Box::new(BiasedBits { per_unit: self.layers as u32, rate }),
            Score::WeightedMean => Box::new(WeightedBits::with_rate(self.weights.clone(), rate)),
        }
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (bits, width, weights) = (self.bits(key), self.rules.context_width + 1, self.weights.clone());
        let (mean, layers) = (self.score == Score::Mean, self.layers);
        Box::new(move |windows, scores| {
            for (score, window) in scores.iter_mut().zip(windows.chunks_exact(width)) {
                let bits = bits.of(table::ngram(window));
                *score = if mean {
                    f64::from(bits.count_ones())
                } else {
                    (0..layers).map(|layer| weights[layer] * f64::from((bits >> layer & 1) as u32)).sum()
                };
            }
        })
    }

    fn draws(&self, _key: &Key) -> Option<Draws> {
        let (width, table) = (self.rules.context_width + 1, self.table.clone());
        Some(Box::new(move |windows, names| {
            for (name, window) in names.iter_mut().zip(windows.chunks_exact(width)) {
                *name = table.input(table::ngram(window)).into();
            }
        }))
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.tournament.clone()
    }

    /// The trained detector's likelihood ratio, as an e-value.
    fn of_counted(&self, key: &Key, windows: &[TokenId]) -> Vec<Metric> {
        let Some(bayesian) = &self.detector.bayesian else { return Vec::new() };
        let (bits, rate) = (self.bits(key), self.table.rate());
        let units = windows.chunks_exact(self.rules.context_width + 1).map(|window| bits.of(table::ngram(window)));
        let ln_e: f64 = units.map(|bits| bayesian.ln_ratio(bits, rate)).sum();
        vec![Metric::new("bayesian_log10_e", ln_e / std::f64::consts::LN_10, "log10 e")]
    }

    fn effect_unit(&self) -> &'static str {
        match self.score {
            Score::Mean => "share of ones above the table's",
            Score::WeightedMean => "weighted share of ones above the table's",
        }
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.1} % ones in {} scored units", 100.0 * (self.table.rate() + evidence.effect), evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }

    fn authors(&self) -> Option<&dyn Authors> {
        Some(&self.detector)
    }
}

/// The score of each candidate.
impl KeyedValues for HfSynthid {
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        let hash = table::fold(table::context(context), candidate.into());
        self.table.input(hash).into()
    }

    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        self.scorer(key)(&units_of(context, candidates), out);
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::biased_bits(self.table.rate(), &self.weights, lambda, weight)
    }
}

#[cfg(test)]
mod tests;
