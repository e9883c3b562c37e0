//! Exposure of secrets planted at several repeat counts. Carlini, Liu, Erlingsson, Kos and Song, *The Secret Sharer*,
//! USENIX Security 2019 (arXiv 1802.08232). Methods c1; the permutation test over templates is ours.

use std::sync::Arc;

use oracle::{Access, Codec, ConfigError, Query, Sampling, ScoreItem, TokenId};
use serde::{Deserialize, Serialize};
use stats::exposure::{Stratum, exposure_test};
use stats::{Evidence, NullKind, NullLaw, interval};

use super::secrets::{SecretKind, TEMPLATES, fill, opening};
use super::{Canary, CanaryBuilder, CanaryMeasurement, CanaryScore, PlantedText, RepeatLevel};
use crate::key::Key;
use crate::mark::{Claim, Cost, Family, Mark, MarkError, MarkInfo, Suspect};
use crate::registry::MarkConfig;

/// Parameters of the Secret Sharer canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSharerConfig {
    /// How often each canary of a level occurs in the training data, increasing: one level per entry.
    pub repeats: Vec<u32>,
    /// Canaries at each level.
    pub canaries_per_level: usize,
    /// How many of the eight fixed sentences carry them, in turn.
    pub templates: usize,
    /// Secrets per template that are never planted and make the null.
    pub references: usize,
    /// What secrets are made of.
    pub secret: SecretKind,
}

/// Possible secrets there must be for each one drawn, so that rejecting repeats is quick and guessing hopeless.
const SPACE_PER_SECRET: f64 = 10.0;

impl SecretSharerConfig {
    fn canaries(&self) -> usize {
        self.repeats.len() * self.canaries_per_level
    }

    /// Canaries of `template`: number `i` over all levels goes to template `i % templates`.
    fn canaries_of(&self, template: usize) -> usize {
        (self.canaries() + self.templates - 1 - template) / self.templates
    }
}

impl MarkConfig for SecretSharerConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "secret_sharer",
            family: Family::Canary,
            needs: Access::Logprobs,
            claim: Claim::Lineage,
            planted: true,
            source: "Carlini et al., The Secret Sharer, USENIX Security 2019, arXiv 1802.08232",
            summary: "sentences with random secrets in the training data, ranked among secrets never planted",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let increasing = self.repeats.windows(2).all(|pair| pair[0] < pair[1]);
        if self.repeats.is_empty() || self.repeats[0] == 0 || !increasing {
            let given = format!("{:?}", self.repeats);
            return Err(ConfigError::new("repeats", given, "use increasing counts from 1 up, for example [1, 4, 16, 64]"));
        }
        if self.canaries_per_level == 0 {
            return Err(ConfigError::new("canaries_per_level", 0, "use at least 1, for example 8"));
        }
        if self.templates == 0 || self.templates > TEMPLATES.len() {
            let mend = format!("use 1 to {} of the fixed templates, for example 4", TEMPLATES.len());
            return Err(ConfigError::new("templates", self.templates, mend));
        }
        if self.canaries() < self.templates {
            let mend = format!("use at most {}, the number of canaries, so that every template carries one", self.canaries());
            return Err(ConfigError::new("templates", self.templates, mend));
        }
        if self.canaries() < 2 {
            return Err(ConfigError::new("canaries_per_level", self.canaries_per_level, "use at least 2 canaries in all"));
        }
        if self.references == 0 {
            return Err(ConfigError::new("references", 0, "use at least 1, for example 1000"));
        }
        let drawn = (self.references + self.canaries_of(0)) as f64;
        if self.secret.log10_space() < (SPACE_PER_SECRET * drawn).log10() {
            let mend = format!("use longer secrets: at least {SPACE_PER_SECRET} times as many as the {drawn} drawn per template");
            return Err(ConfigError::new("secret", self.secret, mend));
        }
        // beyond this a sentence outgrows the context of the small models meant here
        let (SecretKind::Digits(length) | SecretKind::Words(length)) = self.secret;
        if length > 32 {
            return Err(ConfigError::new("secret", self.secret, "use at most 32 digits or words"));
        }
        Ok(())
    }

    fn example() -> Self {
        Self { repeats: vec![1, 4, 16, 64], canaries_per_level: 8, templates: 4, references: 1000, secret: SecretKind::Digits(6) }
    }
}

impl CanaryBuilder for SecretSharerConfig {
    fn build(&self, key: &Key) -> Arc<dyn Canary> {
        let secrets = (0..self.templates)
            .map(|template| self.secret.draw_distinct(key, template, self.canaries_of(template) + self.references))
            .collect();
        Arc::new(SecretSharer { config: self.clone(), secrets })
    }
}

struct SecretSharer {
    config: SecretSharerConfig,
    /// (template, secret): the canaries of the template first, then its references.
    secrets: Vec<Vec<String>>,
}

impl SecretSharer {
    /// Template, place within the template, and repeats of every canary, in planting order.
    fn canaries(&self) -> impl Iterator<Item = (usize, usize, u32)> {
        let (templates, per_level) = (self.config.templates, self.config.canaries_per_level);
        let level = move |index: usize| self.config.repeats[index / per_level];
        (0..self.config.canaries()).map(move |index| (index % templates, index / templates, level(index)))
    }

    /// The token ids of every secret's sentence, and how many leading tokens all of them share with the opening.
    ///
    /// Sentences are encoded whole, as a model meets them in training, and split at one place per template: where the
    /// tokens of the opening end in all of them. Canaries and references are treated alike, which the null rests on.
    fn encode(&self, codec: &dyn Codec, template: usize) -> (Vec<Vec<TokenId>>, usize) {
        let lead = codec.encode(opening(template));
        let texts: Vec<_> = self.secrets[template].iter().map(|secret| codec.encode(&fill(template, secret))).collect();
        let shared = |ids: &Vec<TokenId>| ids.iter().zip(&lead).take_while(|(a, b)| a == b).count();
        let split = texts.iter().map(shared).min().unwrap_or(0);
        (texts, split)
    }

    fn unmeasurable(reason: String) -> MarkError {
        MarkError::Unmeasurable { mark: SecretSharerConfig::example().info().name, reason }
    }
}

impl Mark for SecretSharer {
    fn info(&self) -> MarkInfo {
        self.config.info()
    }

    fn cost(&self) -> Cost {
        // a token is at least one byte of text; the space and the full stop are two more
        let longest = self.secrets.iter().flatten().map(|secret| secret.len() + 2).max().unwrap_or(0);
        Cost {
            queries: self.config.templates as u64,
            generated_tokens: (self.config.templates * longest) as u64,
            scored_texts: self.secrets.iter().map(|secrets| secrets.len() as u64).sum(),
        }
    }
}

impl Canary for SecretSharer {
    fn planted_texts(&self) -> Vec<PlantedText> {
        self.canaries()
            .map(|(template, place, repeats)| PlantedText { text: fill(template, &self.secrets[template][place]), repeats })
            .collect()
    }

    fn measure(&self, suspect: &Suspect<'_>, codec: &dyn Codec, draws: u64, seed: u64) -> Result<CanaryMeasurement, MarkError> {
        suspect.require(&self.info())?;
        let mut items = Vec::new();
        let mut questions = Vec::new();
        for template in 0..self.config.templates {
            let (texts, split) = self.encode(codec, template);
            let prompt: Vec<_> = codec.bos().into_iter().chain(texts[0][..split].iter().copied()).collect();
            if prompt.is_empty() {
                let reason = "the tokenizer has no beginning-of-text token and shares none between canaries of a template";
                return Err(Self::unmeasurable(reason.to_string()));
            }
            let longest = texts[..self.config.canaries_of(template)].iter().map(|ids| ids.len() - split).max().unwrap_or(0);
            questions.push(Query {
                index: template as u64,
                prompt: prompt.clone(),
                max_new_tokens: longest,
                sampling: Sampling::GREEDY,
                seed: 0,
            });
            items.extend(texts.iter().map(|ids| ScoreItem { prompt: prompt.clone(), continuation: ids[split..].to_vec() }));
        }

        let scores = suspect.oracle.score(&items)?;
        if scores.len() != items.len() || scores.iter().zip(&items).any(|(score, item)| score.len() != item.continuation.len()) {
            return Err(Self::unmeasurable("the oracle did not score every token it was given".to_string()));
        }
        // natural-log perplexity of the secret: minus its log-probability, not divided by its length
        let mut perplexities = scores.iter().map(|score| -score.iter().sum::<f64>());
        let by_template: Vec<Vec<f64>> =
            self.secrets.iter().map(|secrets| perplexities.by_ref().take(secrets.len()).collect()).collect();
        let said: Vec<String> = suspect
            .oracle
            .answer(&questions)?
            .into_iter()
            .map(|exchange| codec.decode(&[exchange.query.prompt, exchange.answer].concat()))
            .collect();

        let strata: Vec<_> = by_template
            .iter()
            .enumerate()
            .map(|(template, values)| {
                let (canaries, references) = values.split_at(self.config.canaries_of(template));
                Stratum { canaries, references }
            })
            .collect();
        let test = exposure_test(&strata, draws, seed).map_err(|error| Self::unmeasurable(error.to_string()))?;

        let canaries: Vec<CanaryScore> = self
            .canaries()
            .map(|(template, place, repeats)| CanaryScore {
                template,
                repeats,
                exposure: test.exposures[template][place],
                extracted: said[template].contains(&format!(" {}.", self.secrets[template][place])),
            })
            .collect();
        let exposures: Vec<f64> = canaries.iter().map(|canary| canary.exposure).collect();
        let spread =
            interval::mean_interval(&exposures).ok_or_else(|| Self::unmeasurable("one canary has no interval".to_string()))?;
        let above_chance =
            stats::Interval { low: spread.low - test.null_mean_exposure, high: spread.high - test.null_mean_exposure };
        let null = format!(
            "canaries exchangeable with {} references in each of {} templates, {draws} permutations",
            self.config.references, self.config.templates
        );
        let null = NullLaw::new(NullKind::Permutation, null);
        let effect = test.mean_exposure - test.null_mean_exposure;
        let evidence = Evidence::new(test.mean_exposure, effect, above_chance, canaries.len() as u64, null, test.log10_p)
            .map_err(|error| Self::unmeasurable(error.to_string()))?;

        Ok(CanaryMeasurement {
            evidence,
            by_repeats: self.config.repeats.iter().map(|&repeats| level(repeats, &canaries)).collect(),
            extracted: canaries.iter().filter(|canary| canary.extracted).count() as u64,
            extractable: self.config.templates as u64,
            canaries,
        })
    }
}

fn level(repeats: u32, canaries: &[CanaryScore]) -> RepeatLevel {
    let of_level = || canaries.iter().filter(|canary| canary.repeats == repeats);
    let count = of_level().count();
    RepeatLevel {
        repeats,
        canaries: count as u64,
        mean_exposure: of_level().map(|canary| canary.exposure).sum::<f64>() / count as f64,
        extracted: of_level().filter(|canary| canary.extracted).count() as u64,
    }
}
