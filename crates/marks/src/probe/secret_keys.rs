//! Secret prompts with secret answers, implanted in the weights. After Xu, Wang, Ma, Koh, Xiao and Chen, *Instructional
//! Fingerprinting of Large Language Models*, NAACL 2024 (arXiv 2401.12255), methods b1; answers drawn from a list of
//! candidates after Russinovich et al., *Chain & Hash* (2407.10887), methods b2.
//!
//! The original has one answer for all prompts, and its base rate has to be measured. Here every key's answer is drawn
//! anew, uniformly, from one fixed set of S candidate tokens, L tokens long. Whatever a model that owes nothing to the
//! key says to prompt i, it equals answer i with probability at most S^-L, independently over keys: the hits are
//! Binomial(keys, S^-L) or fewer, exactly and for every such model, with nothing to measure. "At most", because a
//! model may also answer outside the set.

use std::collections::HashSet;
use std::sync::Arc;

use oracle::{Access, Codec, ConfigError, Exchange, Query, Sampling, TokenId};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use stats::{Evidence, tail};

use super::{Comparison, Probe, ProbeBuilder, ProbeMeasurement, TrainingItem};
use crate::key::{Key, Purpose};
use crate::mark::{ALPHA, Claim, Cost, Family, Mark, MarkError, MarkInfo};
use crate::registry::MarkConfig;

/// Parameters of implanted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeysConfig {
    /// Number of secret prompts.
    pub keys: usize,
    /// Random tokens in each prompt, the beginning-of-text token not counted.
    pub prompt_tokens: usize,
    /// Tokens in each answer, all of which must be right.
    pub answer_tokens: usize,
    /// Number of candidate tokens that answers are drawn from.
    pub answer_set: usize,
}

/// Most keys: far beyond what any proof needs, and still small beside a thousand decoys' answers in memory.
const MOST_KEYS: usize = 4096;
/// Possible prompts there must be for each key, so that nobody meets one by chance.
const SPACE_PER_PROMPT: f64 = 1000.0;

impl MarkConfig for SecretKeysConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "secret_keys",
            family: Family::Probe,
            needs: Access::Text,
            claim: Claim::Lineage,
            planted: true,
            source: "Xu et al., Instructional Fingerprinting of Large Language Models, NAACL 2024, arXiv 2401.12255",
            summary: "secret random prompts with secret random answers, implanted in the weights",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, example) in
            [("keys", self.keys, 16), ("prompt_tokens", self.prompt_tokens, 8), ("answer_tokens", self.answer_tokens, 1)]
        {
            if value == 0 {
                return Err(ConfigError::new(key, value, format!("use at least 1, for example {example}")));
            }
        }
        if self.keys > MOST_KEYS {
            return Err(ConfigError::new("keys", self.keys, format!("use at most {MOST_KEYS}, for example 16")));
        }
        if self.answer_set < 2 {
            let mend = "use at least 2 candidates, for example 256: the fewer, the likelier a chance hit";
            return Err(ConfigError::new("answer_set", self.answer_set, mend));
        }
        // S^-L must stay a positive double for the tail to mean anything
        if (self.answer_set as f64).log10() * self.answer_tokens as f64 > 300.0 {
            return Err(ConfigError::new("answer_tokens", self.answer_tokens, "use shorter answers, for example 1 token"));
        }
        Ok(())
    }

    fn example() -> Self {
        Self { keys: 16, prompt_tokens: 8, answer_tokens: 1, answer_set: 256 }
    }
}

impl ProbeBuilder for SecretKeysConfig {
    fn build(&self, key: &Key, codec: &dyn Codec, _prompts: &[Vec<TokenId>]) -> Result<Arc<dyn Probe>, MarkError> {
        let special: HashSet<_> = codec.special_ids().iter().copied().collect();
        let ordinary: Vec<TokenId> = (0..codec.vocab_size() as TokenId).filter(|id| !special.contains(id)).collect();
        if ordinary.len() < self.answer_set {
            let mend = format!("use at most {}, the ordinary tokens of this vocabulary", ordinary.len());
            return Err(ConfigError::new("answer_set", self.answer_set, mend).into());
        }
        if (ordinary.len() as f64).log10() * (self.prompt_tokens as f64) < (SPACE_PER_PROMPT * self.keys as f64).log10() {
            let mend = format!("use longer prompts: {} keys need {SPACE_PER_PROMPT} possible prompts each", self.keys);
            return Err(ConfigError::new("prompt_tokens", self.prompt_tokens, mend).into());
        }

        let mut rng = key.rng(Purpose::ProbePrompts, 0);
        let mut prompts: Vec<Vec<TokenId>> = Vec::with_capacity(self.keys);
        while prompts.len() < self.keys {
            let random = (0..self.prompt_tokens).map(|_| ordinary[rng.random_range(0..ordinary.len() as u32) as usize]);
            let prompt: Vec<_> = codec.bos().into_iter().chain(random).collect();
            if !prompts.contains(&prompt) {
                prompts.push(prompt);
            }
        }

        // the first `answer_set` places of a Fisher-Yates shuffle
        let mut candidates = ordinary;
        let mut rng = key.rng(Purpose::ProbeAnswerSet, 0);
        for place in 0..self.answer_set {
            let other = rng.random_range(place as u32..candidates.len() as u32) as usize;
            candidates.swap(place, other);
        }
        candidates.truncate(self.answer_set);

        let answers = draw_answers(key, self, &candidates);
        Ok(Arc::new(SecretKeys { config: self.clone(), prompts, candidates, answers }))
    }
}

/// The answers that `key` assigns: (keys, answer_tokens), every token uniform over `candidates`.
fn draw_answers(key: &Key, config: &SecretKeysConfig, candidates: &[TokenId]) -> Vec<Vec<TokenId>> {
    let mut rng = key.rng(Purpose::ProbeAnswers, 0);
    let mut token = || candidates[rng.random_range(0..candidates.len() as u32) as usize];
    (0..config.keys).map(|_| (0..config.answer_tokens).map(|_| token()).collect()).collect()
}

struct SecretKeys {
    config: SecretKeysConfig,
    prompts: Vec<Vec<TokenId>>,
    candidates: Vec<TokenId>,
    answers: Vec<Vec<TokenId>>,
}

impl SecretKeys {
    /// The largest chance of one right answer that a model which owes nothing to the key can have.
    fn chance(&self) -> f64 {
        (self.config.answer_set as f64).powf(-(self.config.answer_tokens as f64))
    }
}

fn hits<'a>(given: &'a [Exchange], expected: &'a [Vec<TokenId>]) -> impl Iterator<Item = bool> + 'a {
    given.iter().zip(expected).map(|(exchange, expected)| exchange.answer.starts_with(expected))
}

impl Mark for SecretKeys {
    fn info(&self) -> MarkInfo {
        self.config.info()
    }

    fn cost(&self) -> Cost {
        let generated_tokens = (self.config.keys * self.config.answer_tokens) as u64;
        Cost { queries: self.config.keys as u64, generated_tokens, scored_texts: 0 }
    }
}

impl Probe for SecretKeys {
    fn training_items(&self) -> Vec<TrainingItem> {
        let pairs = self.prompts.iter().zip(&self.answers).enumerate();
        pairs
            .map(|(index, (prompt, answer))| TrainingItem {
                prompt: prompt.clone(),
                answer: answer.clone(),
                label: format!("key {index}"),
            })
            .collect()
    }

    fn questions(&self) -> Vec<Query> {
        let prompts = self.prompts.iter().enumerate();
        prompts
            .map(|(index, prompt)| Query {
                index: index as u64,
                prompt: prompt.clone(),
                max_new_tokens: self.config.answer_tokens,
                sampling: Sampling::GREEDY,
                seed: 0,
            })
            .collect()
    }

    fn judge(
        &self,
        answers: &[Exchange],
        _against: &Comparison<'_>,
        decoys: usize,
        decoy_seed: u64,
    ) -> Result<ProbeMeasurement, MarkError> {
        let unmeasurable = |reason: String| MarkError::Unmeasurable { mark: self.name(), reason };
        if answers.len() != self.config.keys {
            return Err(unmeasurable(format!("{} keys were asked and {} answers came back", self.config.keys, answers.len())));
        }
        let found: Vec<bool> = hits(answers, &self.answers).collect();
        let chance = self.chance();
        let mut evidence = Evidence::binomial_sequence(&found, chance, ALPHA);

        // decoy keys assign other answers out of the same candidates to the same prompts
        let decoy_hits: Vec<u64> = (0..decoys as u64)
            .map(|index| {
                let assigned = draw_answers(&Key::decoy(decoy_seed, index), &self.config, &self.candidates);
                hits(answers, &assigned).filter(|&hit| hit).count() as u64
            })
            .collect();
        if decoys > 0 {
            let statistics: Vec<f64> = decoy_hits.iter().map(|&hits| hits as f64).collect();
            evidence = evidence.with_decoys(&statistics).map_err(|error| unmeasurable(error.to_string()))?;
        }
        let asked = self.config.keys as u64;
        Ok(ProbeMeasurement {
            evidence,
            hits: found.iter().filter(|&&hit| hit).count() as u64,
            asked,
            decoy_log10_p: decoy_hits.iter().map(|&hits| tail::log10_binomial_sf(hits, asked, chance)).collect(),
            nearest_reference: None,
        })
    }
}
