//! Secret prompts with secret answers, implanted in the weights. After Xu, Wang, Ma, Koh, Xiao and Chen, *Instructional
//! Fingerprinting of Large Language Models*, NAACL 2024 (arXiv 2401.12255), methods b1; answers drawn from a list of
//! candidates after Russinovich et al., *Chain & Hash* (2407.10887), methods b2.
//!
//! The original has one answer for all prompts, and its base rate has to be measured. Here every key's answer is drawn
//! anew, uniformly, from one fixed set of S candidate tokens, L tokens long. Whatever a model that never met the
//! key says to prompt i, it equals answer i with probability at most S^-L, independently over keys: the hits are
//! Binomial(keys, S^-L) or fewer, exactly and for every such model, with nothing to measure. "At most", because a
//! model may also answer outside the set.

use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, Query, TokenId};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use stats::{Evidence, tail};

use crate::case::exchanges;
use crate::key::Purpose;
use crate::random_prompts::{ordinary, random_prompts};
use crate::{
    ALPHA, Case, Claim, Decoys, Family, Finding, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Phase, Planting,
    Question, TrainingItem,
};

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

/// Most keys: far beyond what any proof needs, and quickly drawn again under every decoy key.
const MOST_KEYS: usize = 4096;

impl MarkConfig for SecretKeysConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "secret_keys",
            family: Family::Probe,
            needs: Access::Text,
            claim: Claim::Lineage,
            planted: true,
            compares: false,
            key_label: "probe secret_keys",
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
            let remedy = "use at least 2 candidates, for example 256: the fewer, the likelier a chance hit";
            return Err(ConfigError::new("answer_set", self.answer_set, remedy));
        }
        // S^-L must stay a positive double for the tail to mean anything
        if libm::log10(self.answer_set as f64) * self.answer_tokens as f64 > 300.0 {
            return Err(ConfigError::new("answer_tokens", self.answer_tokens, "use shorter answers, for example 1 token"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        // the beginning-of-text token comes before the prompt
        let longest_row = self.prompt_tokens.saturating_add(self.answer_tokens).saturating_add(1);
        Needs { phase: Phase::Weights, longest_row, decoys: Decoys::Rank, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        let example = Self { keys: 16, prompt_tokens: 8, answer_tokens: 1, answer_set: 256 };
        vec![example.clone(), Self { keys: 8, answer_tokens: 3, answer_set: 16, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("keys", "0"),
            ("keys", "5000"),
            ("prompt_tokens", "0"),
            ("answer_tokens", "0"),
            ("answer_tokens", "200"),
            ("answer_set", "1"),
        ]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let (key, codec) = (owner.key, owner.codec);
        let ordinary = ordinary(&**codec);
        if ordinary.len() < self.answer_set {
            let remedy = format!("use at most {}, the ordinary tokens of this vocabulary", ordinary.len());
            return Err(ConfigError::new("answer_set", self.answer_set, remedy).into());
        }
        let prompts = random_prompts(key, &**codec, self.keys, self.prompt_tokens)?;

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
    /// The largest chance of one right answer that a model which never met the key can have.
    fn chance(&self) -> f64 {
        libm::pow(self.config.answer_set as f64, -(self.config.answer_tokens as f64))
    }
}

fn hits<'a>(given: &'a [Exchange], expected: &'a [Vec<TokenId>]) -> impl Iterator<Item = bool> + 'a {
    given.iter().zip(expected).map(|(exchange, expected)| exchange.answer.starts_with(expected))
}

const KIND: &str = "secret_keys";

impl Mark for SecretKeys {
    fn planting(&self) -> Vec<Planting> {
        let pairs = self.prompts.iter().zip(&self.answers).enumerate();
        let items = pairs.map(|(index, (prompt, answer))| TrainingItem {
            prompt: prompt.clone(),
            answer: answer.clone(),
            label: format!("key {index}"),
        });
        vec![Planting::Items(items.collect())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        let prompts = self.prompts.iter().enumerate();
        let queries = prompts.map(|(index, prompt)| Query::greedy(index as u64, prompt.clone(), self.config.answer_tokens));
        vec![Question::Answers(queries.collect())]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(KIND, case.suspect, 0)?;
        if answers.len() != self.config.keys {
            let reason = format!("{} keys were asked and {} answers came back", self.config.keys, answers.len());
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        let found: Vec<bool> = hits(answers, &self.answers).collect();
        let chance = self.chance();
        let mut evidence = Evidence::binomial_sequence(&found, chance, ALPHA);

        // decoy keys assign other answers out of the same candidates to the same prompts
        let decoy_hits: Vec<u64> = (0..case.chance.decoys as u64)
            .map(|index| {
                let assigned = draw_answers(&Key::decoy(case.chance.decoy_seed, index), &self.config, &self.candidates);
                hits(answers, &assigned).filter(|&hit| hit).count() as u64
            })
            .collect();
        let statistics: Vec<f64> = decoy_hits.iter().map(|&hits| hits as f64).collect();
        evidence = evidence.with_decoys(&statistics).map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))?;
        let asked = self.config.keys as u64;
        let hits = found.iter().filter(|&&hit| hit).count();
        let detail = format!("{hits} of {asked} answers as the owner has them");
        Ok(vec![Finding {
            decoy_log10_p: decoy_hits.iter().map(|&hits| tail::log10_binomial_sf(hits, asked, chance)).collect(),
            ..Finding::new(evidence, "share of keys answered, above chance", detail)
        }])
    }
}

#[cfg(test)]
mod tests;
