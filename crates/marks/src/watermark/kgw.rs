//! KGW soft green list. Kirchenbauer, Geiping, Wen, Katz, Miers and Goldstein, *A Watermark for Large Language Models*,
//! ICML 2023 (arXiv 2301.10226); *On the Reliability of Watermarks*, ICLR 2024 (2306.04634). Methods a1.
//!
//! Green lists are drawn per pair, not as a permutation per context as in the authors' code: see
//! [`GreenList`](crate::keyed::green::GreenList). With `torch` they are the permuted ones, to the bit
//! ([`TorchLists`](crate::keyed::torch_lists::TorchLists)).

use std::sync::Arc;

use oracle::{Codec, ConfigError};
use serde::{Deserialize, Serialize};

use crate::keyed::green::GreenList;
use crate::keyed::soft_list::{Alike, ListsOf, SoftList};
use crate::keyed::torch_keys;
use crate::keyed::torch_lists::{ListSize, Seeds, TorchLists};
use crate::keyed::{Dedup, Keyed, KeyedTest, MAX_CONTEXT, Rules};
use crate::{Authors, Bed, Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, ServedKey, identity};

mod authors;
mod seeding;

use authors::Detector;
pub use seeding::Seeding;
use seeding::{GreenBias, NativeLists, Rows};

const KIND: &str = "kgw";

/// Parameters of the KGW watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KgwConfig {
    /// Share of the vocabulary that is green after each context, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its green list, 0 to 5; with `self_hash` the next one is the last of them.
    pub context_width: usize,
    /// How they choose it.
    #[serde(default, skip_serializing_if = "Seeding::is_left_hash")]
    pub seeding: Seeding,
    /// Draws lists as the authors' code does on the CPU, to the bit: permutations of the vocabulary by PyTorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch: Option<Torch>,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

/// What the authors' lists are drawn from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Torch {
    /// The authors' `hash_key`, where a server has one already; else it derives from the owner's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<ServedKey>,
    /// Tokens that are permuted, where these are not all of the tokenizer's: the length of the authors' `vocab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<u32>,
}

impl MarkConfig for KgwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark",
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
        let least = usize::from(!self.seeding.is_left_hash() || self.torch.is_some());
        if !(least..=MAX_CONTEXT).contains(&self.context_width) {
            let remedy = format!("use {least} to {MAX_CONTEXT} tokens, for example 1");
            return Err(ConfigError::new("context_width", self.context_width, remedy));
        }
        if let Some(Torch { hash_key: Some(key), .. }) = &self.torch {
            torch_keys::check("torch.hash_key", *key)?;
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        let served_key = self.torch.as_ref().is_some_and(|torch| torch.hash_key.is_some());
        Needs { served_key, ..self.decides().needs(self.seeding.context_width(self.context_width)) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let served = self.torch.as_ref().and_then(|torch| torch.hash_key);
        let key = ServedKey::in_hands_of(served, owner.key);
        let rules = self.rules(&**owner.codec);
        let (vocab, special) = (owner.codec.vocab_size(), rules.special.clone());
        let (gamma, seeding, context_width) = (self.gamma, self.seeding, rules.context_width);
        let name = identity(&self.nameless(), &key);
        let mut authors: Option<Box<dyn Authors>> = None;
        let (rate, fixed, rows, lists): (_, _, _, ListsOf) = match &self.torch {
            None => {
                let of = move |key: &Key| NativeLists::new(key, gamma, seeding);
                (GreenList::rate_of(gamma), None, Rows::native(of(&key), vocab, &special), Arc::new(move |key| Arc::new(of(key))))
            }
            Some(torch) => {
                let size = torch_keys::size(torch.vocab_size, &**owner.codec, ("gamma", gamma))?;
                let of = torch_lists(seeding, size);
                authors = Some(Box::new(Detector {
                    lists: Arc::new(of.clone()),
                    width: context_width + 1,
                    gamma,
                    bos: owner.codec.bos(),
                }));
                (size.rate(), Some(size.lists()), Rows::torch(of(&key)), Arc::new(move |key| Arc::new(of(key))))
            }
        };
        let processor = Arc::new(GreenBias { name, rows: Arc::new(rows), delta: self.delta as f32, context_width, seeding });
        let alike = seeding.alike(self.torch.is_some());
        let scheme = SoftList { kind: KIND, rules, rate, fixed, alike, lists, processor, authors };
        Ok(Arc::new(Keyed::new(scheme, &key).judged_by(&self.decides())))
    }

    fn examples() -> Vec<Self> {
        let example = Self::of_width(1);
        let counted = Self { gamma: 0.5, test: KeyedTest::Count, ..example.clone() };
        let contexts = Self { dedup: Dedup::Contexts, context_width: 3, ..example.clone() };
        let (torch, count) = (Some(Torch::default()), KeyedTest::Count);
        let permuted = Self { context_width: 2, torch: torch.clone(), ..example.clone() };
        let own = Self { gamma: 0.5, context_width: 3, seeding: Seeding::SelfHash, ..example.clone() };
        let least = Self { context_width: 4, seeding: Seeding::MinHash, torch, test: count.clone(), ..own.clone() };
        let first = Self { context_width: 5, seeding: Seeding::Skipgram, ..example.clone() };
        let anchored = Self { context_width: 3, seeding: Seeding::Anchored, test: count, ..own.clone() };
        vec![example, contexts, counted, permuted, own, least, first, anchored]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let gamma = ["0.0", "1.0", "1.5", "-0.25", "1e-12"].map(|value| ("gamma", value));
        let others = [
            ("delta", "0.0"),
            ("delta", "-2.0"),
            ("delta", "1e300"),
            ("context_width", "6"),
            ("torch", r#"{"hash_key": 4294967296}"#),
            ("test", r#"{"score": {"kappa": -1}}"#),
            ("test", r#"{"score": {"references": []}}"#),
            ("test", r#"{"score": {"references": ["base", "base"]}}"#),
        ];
        gamma.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }

    /// Smaller where a key costs more: it draws lists of its own, or has inputs of its own.
    fn bed(&self) -> Bed {
        let by_key = matches!(self.seeding.alike(self.torch.is_some()), Alike::UnderKey);
        match (by_key, &self.test) {
            (true, KeyedTest::Score(_)) => Bed { vocab: 96, prompts: 24, max_new_tokens: 16, ..Bed::default() },
            (true, KeyedTest::Count) => Bed { vocab: 128, prompts: 40, ..Bed::default() },
            (false, _) if self.torch.is_some() => Bed { vocab: 128, prompts: 40, ..Bed::default() },
            (false, _) => Bed::default(),
        }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let config = |context_width| Self { test: KeyedTest::Count, ..Self::of_width(context_width) };
        (0..=4).map(|width| (format!("context of {width}"), config(width))).collect()
    }
}

impl KgwConfig {
    /// The authors' defaults, but for the seeding.
    pub(crate) fn of_width(context_width: usize) -> Self {
        Self {
            gamma: 0.25,
            delta: 2.0,
            context_width,
            seeding: Seeding::LeftHash,
            torch: None,
            dedup: Dedup::Pairs,
            test: KeyedTest::default(),
        }
    }

    /// The test as it decides.
    fn decides(&self) -> KeyedTest {
        if self.seeding.is_left_hash() { self.test.clone() } else { self.test.of_some_tokens() }
    }

    /// What decides the served law: without a key, and without how it is judged.
    fn nameless(&self) -> Self {
        let torch = self.torch.clone().map(|torch| Torch { hash_key: None, ..torch });
        Self { test: KeyedTest::default(), torch, ..self.clone() }
    }

    fn rules(&self, codec: &dyn Codec) -> Rules {
        let mut rules = Rules::new(self.seeding.context_width(self.context_width), self.dedup, codec);
        if self.torch.is_some() {
            torch_keys::leave_out_zero(&mut rules);
        }
        rules
    }
}

/// The authors' lists of a key.
fn torch_lists(seeding: Seeding, size: ListSize) -> impl Fn(&Key) -> TorchLists + Send + Sync + Clone {
    let rule = seeding.rule();
    move |key| TorchLists {
        seeds: Seeds::new(rule.clone(), torch_keys::of(key, KIND)),
        size,
        self_salted: seeding == Seeding::SelfHash,
    }
}

#[cfg(test)]
mod tests;
