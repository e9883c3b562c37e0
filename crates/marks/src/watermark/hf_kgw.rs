//! KGW as transformers serves it (`WatermarkingConfig`, since 2024). Kirchenbauer, Geiping, Wen, Katz, Miers and Goldstein, *A Watermark
//! for Large Language Models*, ICML 2023 (arXiv 2301.10226). served-watermarks 7.
//!
//! Lists are those of a server that draws them on the CPU, to the bit: permutations by PyTorch, seeded by the key and a few ids. Units are
//! ours: what one list says of one token counts once, which transformers' own detector does not look after. With `lefthash` only the
//! last id before a token chooses its list, whatever the context's width; with `selfhash` the token chooses with those before it.

use std::sync::Arc;

use oracle::{Codec, ConfigError, LogitsProcessor, Row, Stage, Step};
use serde::{Deserialize, Serialize};

use crate::keyed::scheme::FixedLists;
use crate::keyed::self_salted::raise_candidates;
use crate::keyed::soft_list::{Alike, SoftList};
use crate::keyed::torch::Table;
use crate::keyed::torch_lists::{ListSize, SeedRule, Seeds, TorchLists, TorchRows};
use crate::keyed::{Dedup, Keyed, KeyedTest, MAX_CONTEXT, Rules, torch_keys};
use crate::{Bed, Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

mod authors;

use authors::Detector;

const KIND: &str = "hf_kgw";

/// Widest context with `lefthash`, where it only delays the mark.
const WIDEST: usize = 64;

/// Candidates that are tried with `selfhash`.
const CANDIDATES: usize = 40;

/// `WatermarkingConfig` of transformers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HfKgwConfig {
    /// Share of the vocabulary that a list holds, rounded down to whole tokens; transformers' default is 0.25.
    pub greenlist_ratio: f64,
    /// Added to the logits of green tokens, nats; transformers' default is 2.0.
    pub bias: f64,
    /// How ids choose a list.
    pub seeding_scheme: SeedingScheme,
    /// With `lefthash`, tokens that there must be before one is marked, the last of which chooses; with `selfhash`, tokens that choose, the
    /// marked one among them. transformers' default is 1.
    pub context_width: usize,
    /// The key that a server has; without it, one derives from the owner's secret. transformers' default, 15485863, is known to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashing_key: Option<ServedKey>,
    /// Token ids that the model's config has (`vocab_size`), where these are not as many as the tokenizer's: a list is drawn from all of
    /// them, padding ids included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<u32>,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

/// How ids choose a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeedingScheme {
    /// The id before the token.
    LeftHash,
    /// The token, and the one of its context whose keyed product with it is the least. The 40 most probable candidates are tried.
    SelfHash,
}

impl MarkConfig for HfKgwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark hf_kgw",
            source: "Kirchenbauer et al., A Watermark for Large Language Models, ICML 2023, arXiv 2301.10226",
            summary: "soft green list as transformers serves it: lists by PyTorch's CPU generator, to the bit",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.greenlist_ratio > 0.0 && self.greenlist_ratio < 1.0) {
            let instead = "use a share strictly between 0 and 1, for example 0.25";
            return Err(ConfigError::new("greenlist_ratio", self.greenlist_ratio, instead));
        }
        if !(self.bias > 0.0 && (self.bias as f32).is_finite()) {
            return Err(ConfigError::new("bias", self.bias, "use a finite bias above 0, for example 2.0"));
        }
        let most = match self.seeding_scheme {
            SeedingScheme::LeftHash => WIDEST,
            SeedingScheme::SelfHash => MAX_CONTEXT + 1,
        };
        if !(1..=most).contains(&self.context_width) {
            let instead = format!("use 1 to {most} tokens, for example 1 with lefthash and 4 with selfhash");
            return Err(ConfigError::new("context_width", self.context_width, instead));
        }
        if let Some(key) = self.hashing_key {
            torch_keys::check("hashing_key", key)?;
            if self.seeding_scheme == SeedingScheme::SelfHash && key.number() > i64::MAX as u64 {
                let instead =
                    "use a key below 2^63: PyTorch multiplies it with a tensor of 64-bit integers and refuses larger ones";
                return Err(ConfigError::new("hashing_key", "a key of 2^63 or more", instead));
            }
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        Needs { served_key: self.hashing_key.is_some(), ..self.decides().needs(self.scored_context()) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let key = ServedKey::in_hands_of(self.hashing_key, owner.key);
        let size = torch_keys::size(self.vocab_size, &**owner.codec, ("greenlist_ratio", self.greenlist_ratio))?;
        let name = identity(&Self { hashing_key: None, test: KeyedTest::default(), ..self.clone() }, &key);
        let lists = self.lists(size);
        let rows = TorchRows::new(lists(&key));
        let &Self { context_width, seeding_scheme, bias, .. } = self;
        let processor = Arc::new(GreenBias { name, rows, bias: bias as f32, context_width, seeding_scheme });
        let detector = Detector {
            lists: Arc::new(lists.clone()),
            width: self.width_of_units(),
            ratio: self.greenlist_ratio,
            bos: owner.codec.bos(),
        };
        let scheme = SoftList {
            kind: KIND,
            rules: self.rules(&**owner.codec),
            rate: size.rate(),
            fixed: Some(size.lists()),
            alike: match seeding_scheme {
                SeedingScheme::LeftHash => Alike::Always(|context, token| FixedLists::input(context[0].into(), token)),
                SeedingScheme::SelfHash => Alike::UnderKey,
            },
            lists: Arc::new(move |key| Arc::new(lists(key))),
            processor,
            authors: Some(Box::new(detector)),
        };
        Ok(Arc::new(Keyed::new(scheme, &key).judged_by(&self.decides())))
    }

    fn examples() -> Vec<Self> {
        let left = Self {
            greenlist_ratio: 0.25,
            bias: 2.0,
            seeding_scheme: SeedingScheme::LeftHash,
            context_width: 1,
            hashing_key: None,
            vocab_size: None,
            test: KeyedTest::default(),
        };
        let own = Self { seeding_scheme: SeedingScheme::SelfHash, context_width: 4, ..left.clone() };
        let counted = Self { greenlist_ratio: 0.5, vocab_size: Some(600), test: KeyedTest::Count, ..own.clone() };
        vec![left, own, counted]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("greenlist_ratio", "0.0"),
            ("greenlist_ratio", "1.0"),
            ("bias", "0.0"),
            ("bias", "1e300"),
            ("context_width", "0"),
            ("context_width", "65"),
            ("hashing_key", "0"),
            ("hashing_key", "4294967296"),
        ]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }

    /// Smaller, as each key draws lists of its own.
    fn bed(&self) -> Bed {
        match (self.seeding_scheme, &self.test) {
            (SeedingScheme::SelfHash, KeyedTest::Score(_)) => {
                Bed { vocab: 96, prompts: 24, max_new_tokens: 16, ..Bed::default() }
            }
            _ => Bed { vocab: 128, prompts: 40, ..Bed::default() },
        }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let words = |config: &Self| match config.seeding_scheme {
            SeedingScheme::LeftHash => "lefthash",
            SeedingScheme::SelfHash => "selfhash",
        };
        let counted = |config: Self| (words(&config).to_string(), Self { test: KeyedTest::Count, ..config });
        Self::examples().into_iter().take(2).map(counted).collect()
    }
}

impl HfKgwConfig {
    /// The test as it decides.
    fn decides(&self) -> KeyedTest {
        match self.seeding_scheme {
            SeedingScheme::LeftHash => self.test.clone(),
            SeedingScheme::SelfHash => self.test.of_some_tokens(),
        }
    }

    /// Tokens before a scored one that choose its list.
    fn scored_context(&self) -> usize {
        match self.seeding_scheme {
            SeedingScheme::LeftHash => 1,
            SeedingScheme::SelfHash => self.context_width - 1,
        }
    }

    /// Ids of a unit of transformers' detector.
    fn width_of_units(&self) -> usize {
        self.context_width + usize::from(self.seeding_scheme == SeedingScheme::LeftHash)
    }

    fn rules(&self, codec: &dyn Codec) -> Rules {
        let mut rules = Rules::new(self.scored_context(), Dedup::Pairs, codec);
        if self.seeding_scheme == SeedingScheme::LeftHash {
            torch_keys::leave_out_zero(&mut rules);
        }
        rules
    }

    /// The lists of a key. Its table of hashes, where there is one, is made as far as the vocabulary looks into it.
    fn lists(&self, size: ListSize) -> impl Fn(&Key) -> TorchLists + Send + Sync + Clone + 'static {
        let scheme = self.seeding_scheme;
        move |key| {
            let number = torch_keys::of(key, KIND);
            let rule = match scheme {
                SeedingScheme::LeftHash => SeedRule::Last,
                SeedingScheme::SelfHash => SeedRule::Anchored(Table::of_ids(number as u32, size.vocab as usize)),
            };
            TorchLists { seeds: Seeds::new(rule, number), size, self_salted: scheme == SeedingScheme::SelfHash }
        }
    }
}

/// Raises green logits after temperature and truncation, as transformers does since the end of 2024; greedy answers are marked too. The
/// context holds the prompt.
struct GreenBias {
    name: String,
    rows: TorchRows,
    bias: f32,
    context_width: usize,
    seeding_scheme: SeedingScheme,
}

impl LogitsProcessor for GreenBias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn changes_greedy(&self) -> bool {
        true
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // silent while there are fewer ids, with selfhash too, which looks at one fewer
        let Some(context) = step.context(self.context_width) else { return };
        match self.seeding_scheme {
            SeedingScheme::LeftHash => self.rows.add(context, self.bias, row.logits),
            SeedingScheme::SelfHash => {
                raise_candidates(&context[1..], CANDIDATES, self.bias, row.logits, |window| self.rows.is_green(window));
            }
        }
    }
}

#[cfg(test)]
mod tests;
