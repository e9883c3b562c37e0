//! Exposure of secrets planted at several repeat counts. Carlini, Liu, Erlingsson, Kos and Song, *The Secret Sharer*,
//! USENIX Security 2019 (arXiv 1802.08232). Methods c1; the permutation test over templates is ours.

use std::sync::Arc;

use oracle::{Access, Codec, ConfigError, Exchange, Query, ScoreItem, TokenId};
use serde::{Deserialize, Serialize};
use stats::exposure::{ExposureTest, Stratum, exposure_test};

use crate::calibrate::Calibrate;
use crate::case::{exchanges, scores};
use crate::secrets::{TEMPLATES, exposure_evidence, fill, opening};
use crate::{
    Bed, Case, Claim, Family, Finding, FollowUp, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Phase, PlantedText,
    Planting, Question, Seen,
};

pub use crate::secrets::SecretKind;

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
    /// The model whose log-probabilities are taken off before the rank that counts; the raw rank then stands beside it.
    #[serde(default, skip_serializing_if = "Calibrate::is_default")]
    pub calibrate: Calibrate,
}

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
            compares: false,
            key_label: "canary",
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
            let remedy = format!("use 1 to {} of the fixed templates, for example 4", TEMPLATES.len());
            return Err(ConfigError::new("templates", self.templates, remedy));
        }
        if self.canaries() < self.templates {
            let remedy = format!("use at most {}, the number of canaries, so that every template carries one", self.canaries());
            return Err(ConfigError::new("templates", self.templates, remedy));
        }
        if self.canaries() < 2 {
            return Err(ConfigError::new("canaries_per_level", self.canaries_per_level, "use at least 2 canaries in all"));
        }
        if self.references == 0 {
            return Err(ConfigError::new("references", 0, "use at least 1, for example 1000"));
        }
        self.secret.check(self.references + self.canaries_of(0))
    }

    fn needs(&self) -> Needs {
        let planted_copies = self.canaries_per_level as u64 * self.repeats.iter().map(|&repeats| u64::from(repeats)).sum::<u64>();
        Needs { phase: Phase::Data, planted_copies, second_round: self.calibrate.second_round(), ..Needs::default() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let secrets = (0..self.templates)
            .map(|template| self.secret.draw_distinct(owner.key, template, self.canaries_of(template) + self.references))
            .collect();
        let mut canaries = SecretSharer { config: self.clone(), codec: owner.codec.clone(), secrets, sentences: Vec::new() };
        canaries.sentences = (0..self.templates).map(|template| canaries.encode(template)).collect::<Result<_, _>>()?;
        Ok(Arc::new(canaries))
    }

    fn examples() -> Vec<Self> {
        let secret = SecretKind::Digits(6);
        let example = Self {
            repeats: vec![1, 4, 16, 64],
            canaries_per_level: 4,
            templates: 2,
            references: 60,
            secret,
            calibrate: Calibrate::None,
        };
        let words = Self { secret: SecretKind::Words(3), templates: 1, ..example.clone() };
        vec![example.clone(), words, Self { calibrate: Calibrate::Clean, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let repeats = ["[]", "[0, 4]", "[4, 4]", "[16, 4]"].map(|value| ("repeats", value));
        let secret = [r#"{"digits": 2}"#, r#"{"words": 1}"#, r#"{"digits": 33}"#].map(|value| ("secret", value));
        let others = [("canaries_per_level", "0"), ("templates", "0"), ("templates", "9"), ("references", "0")];
        repeats.into_iter().chain(secret).chain(others).collect()
    }

    /// Every canary as often as the number of its level.
    fn small(&self) -> Self {
        Self { repeats: (1..=self.repeats.len() as u32).collect(), ..self.clone() }
    }

    fn planted(&self) -> Self {
        Self { calibrate: Calibrate::None, ..self.clone() }
    }

    /// Its test is a permutation: 199 draws show 2.3 at most.
    fn bed(&self) -> Bed {
        Bed { evidence: 2.2, vocab: 359, ..Bed::default() }
    }
}

/// The sentences of one template as a model meets them.
struct Sentences {
    /// What every one of them opens with, the beginning-of-text token included.
    prompt: Vec<TokenId>,
    /// What follows in each, canaries first.
    rest: Vec<Vec<TokenId>>,
}

struct SecretSharer {
    config: SecretSharerConfig,
    codec: Arc<dyn Codec>,
    /// (template, secret): the canaries of the template first, then its references.
    secrets: Vec<Vec<String>>,
    /// By template.
    sentences: Vec<Sentences>,
}

const KIND: &str = "secret_sharer";

impl SecretSharer {
    /// Template, place within the template, and repeats of every canary, in planting order.
    fn canaries(&self) -> impl Iterator<Item = (usize, usize, u32)> {
        let (templates, per_level) = (self.config.templates, self.config.canaries_per_level);
        let level = move |index: usize| self.config.repeats[index / per_level];
        (0..self.config.canaries()).map(move |index| (index % templates, index / templates, level(index)))
    }

    /// The sentences of `template`, all split at one place: where the tokens of the opening end in all of them. They are encoded
    /// whole, as a model meets them in training. Canaries and references are treated alike, which the null rests on.
    fn encode(&self, template: usize) -> Result<Sentences, MarkError> {
        let lead = self.codec.encode(opening(template));
        let texts: Vec<_> = self.secrets[template].iter().map(|secret| self.codec.encode(&fill(template, secret))).collect();
        let shared = |ids: &Vec<TokenId>| ids.iter().zip(&lead).take_while(|(a, b)| a == b).count();
        let split = texts.iter().map(shared).min().unwrap_or(0);
        let prompt: Vec<_> = self.codec.bos().into_iter().chain(lead[..split].iter().copied()).collect();
        if prompt.is_empty() {
            let reason = "the tokenizer has no beginning-of-text token and shares none between canaries of a template";
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        Ok(Sentences { prompt, rest: texts.into_iter().map(|ids| ids[split..].to_vec()).collect() })
    }

    /// The exposure test on the log-probabilities of all sentences.
    fn test(&self, scores: &[f64], case: &Case<'_>) -> Result<ExposureTest, MarkError> {
        // natural-log perplexity of the secret: minus its log-probability, not divided by its length
        let mut perplexities = scores.iter().map(|score| -score);
        let by_template: Vec<Vec<f64>> =
            self.secrets.iter().map(|secrets| perplexities.by_ref().take(secrets.len()).collect()).collect();
        let strata: Vec<_> = by_template
            .iter()
            .enumerate()
            .map(|(template, values)| {
                let (canaries, references) = values.split_at(self.config.canaries_of(template));
                Stratum { canaries, references }
            })
            .collect();
        exposure_test(&strata, case.chance.draws, case.chance.draw_seed)
            .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))
    }

    fn score(&self, test: &ExposureTest, said: &[Exchange]) -> Vec<CanaryScore> {
        let said: Vec<String> =
            said.iter().map(|exchange| self.codec.decode(&[&exchange.query.prompt[..], &exchange.answer].concat())).collect();
        self.canaries()
            .map(|(template, place, repeats)| CanaryScore {
                repeats,
                exposure: test.exposures[template][place],
                extracted: said[template].contains(&format!(" {}.", self.secrets[template][place])),
            })
            .collect()
    }
}

/// One canary.
struct CanaryScore {
    /// How often it was planted.
    repeats: u32,
    /// log2 of references minus log2 of its rank, bits (methods c1).
    exposure: f64,
    /// Whether the suspect says the secret of its own accord.
    extracted: bool,
}

impl Mark for SecretSharer {
    fn planting(&self) -> Vec<Planting> {
        let texts = self
            .canaries()
            .map(|(template, place, repeats)| PlantedText { text: fill(template, &self.secrets[template][place]), repeats });
        vec![Planting::Texts(texts.collect())]
    }

    /// The probability of every sentence, then the completion of every template.
    fn questions(&self, _stream: u64) -> Vec<Question> {
        let mut items = Vec::new();
        let mut openings = Vec::new();
        for (template, Sentences { prompt, rest }) in self.sentences.iter().enumerate() {
            let longest = rest[..self.config.canaries_of(template)].iter().map(Vec::len).max().unwrap_or(0);
            openings.push(Query::greedy(template as u64, prompt.clone(), longest));
            items.extend(rest.iter().map(|ids| ScoreItem { prompt: prompt.clone(), continuation: ids.clone() }));
        }
        vec![Question::Scores(items), Question::Answers(openings)]
    }

    /// The probability of every sentence to the model that is taken off.
    fn follow_up(&self, _first: &[Seen]) -> Vec<FollowUp> {
        self.config.calibrate.follow_up(self.questions(0).into_iter().next())
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let (given, said) = (scores(KIND, case.suspect, 0)?, exchanges(KIND, case.suspect, 1)?);
        let asked: usize = self.secrets.iter().map(Vec::len).sum();
        if given.len() != asked || said.len() != self.config.templates {
            return Err(MarkError::unmeasurable(KIND, format!("{asked} texts were given and {} scores came back", given.len())));
        }
        let (calibrate, raw) = (self.config.calibrate, self.test(given, case)?);
        let (raw_words, mut metrics) = calibrate.beside(&raw);
        let test = match calibrate.taken_off(KIND, given, case)? {
            Some(scores) => self.test(&scores, case)?,
            None => raw,
        };
        let canaries = self.score(&test, said);
        let exposures: Vec<f64> = canaries.iter().map(|canary| canary.exposure).collect();
        let (references, templates) = (self.config.references, self.config.templates);
        let among = format!("{references} references in each of {templates} templates{}", calibrate.of_what());
        let evidence = exposure_evidence(KIND, &test, &exposures, &among, case.chance.draws)?;

        let levels: Vec<(u32, f64)> =
            self.config.repeats.iter().map(|&repeats| (repeats, mean_exposure(repeats, &canaries))).collect();
        let by_level: Vec<String> = levels.iter().map(|(repeats, mean)| format!("{repeats}x {mean:.1}")).collect();
        let extracted = canaries.iter().filter(|canary| canary.extracted).count();
        let detail =
            format!("mean exposure by repeats: {}; {extracted} of {templates} extracted{raw_words}", by_level.join(", "));
        metrics.extend(levels.iter().map(|(repeats, mean)| Metric::new(format!("exposure_at_{repeats}_repeats"), *mean, "bits")));
        Ok(vec![Finding { metrics, ..Finding::new(evidence, "mean exposure above chance, bits", detail) }])
    }
}

/// Mean exposure, bits, of the canaries planted `repeats` times.
fn mean_exposure(repeats: u32, canaries: &[CanaryScore]) -> f64 {
    let of_level: Vec<f64> = canaries.iter().filter(|canary| canary.repeats == repeats).map(|canary| canary.exposure).collect();
    of_level.iter().sum::<f64>() / of_level.len() as f64
}

#[cfg(test)]
mod tests;
