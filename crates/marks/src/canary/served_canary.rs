//! Trap answers of the API itself: to a few rare prompts it gives a secret answer, and whoever asks one of them and trains on the
//! answer learns a secret. Exposure after Carlini, Liu, Erlingsson, Kos and Song, *The Secret Sharer*, USENIX Security 2019
//! (arXiv 1802.08232); served instead of planted in data as in methods c1 (ii).
//!
//! Every canary is a prompt of random ordinary tokens with a random secret. Beside it are reference secrets, drawn alike for the
//! same prompt and never served: a suspect that did not learn the answer finds all of them equally likely a priori, so the true
//! one's rank among them is uniform, whatever the suspect says to such prompts. The weights of the teacher never learn a secret:
//! they show in its served law and in students only.

use std::collections::HashMap;
use std::sync::Arc;

use oracle::{Access, ConfigError, LogitsProcessor, Query, Row, ScoreItem, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::exposure::{ExposureTest, Stratum, exposure_test};

use crate::calibrate::Calibrate;
use crate::case::{exchanges, scores};
use crate::random_prompts::random_prompts;
use crate::secrets::{SecretKind, exposure_evidence};
use crate::{
    AskedPrompt, Bed, Case, Claim, Family, Finding, FollowUp, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Phase,
    Planting, Question, Seen,
};

/// Parameters of served canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServedCanaryConfig {
    /// Number of rare prompts with a secret answer each.
    pub canaries: usize,
    /// Random tokens in each prompt, the beginning-of-text token not counted.
    pub prompt_tokens: usize,
    /// What secret answers are made of.
    pub secret: SecretKind,
    /// Secrets per prompt that are never served and make the null.
    pub references: usize,
    /// About one query in so many is a canary's prompt, for each canary.
    pub every: u64,
    /// The model whose log-probabilities are taken off before the rank that counts; the raw rank then stands beside it.
    #[serde(default, skip_serializing_if = "Calibrate::is_default")]
    pub calibrate: Calibrate,
}

/// Most canaries: far beyond what any proof needs.
const MOST_CANARIES: usize = 1024;

impl MarkConfig for ServedCanaryConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Canary,
            needs: Access::Logprobs,
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "served canary",
            source: "Carlini et al., The Secret Sharer, USENIX Security 2019, arXiv 1802.08232",
            summary: "secret answers that the API gives to rare prompts, ranked among secrets never served",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.canaries < 2 || self.canaries > MOST_CANARIES {
            return Err(ConfigError::new("canaries", self.canaries, format!("use 2 to {MOST_CANARIES}, for example 8")));
        }
        if self.prompt_tokens == 0 {
            return Err(ConfigError::new("prompt_tokens", 0, "use at least 1, for example 8"));
        }
        if self.references == 0 {
            return Err(ConfigError::new("references", 0, "use at least 1, for example 1000"));
        }
        if self.every < 2 * self.canaries as u64 {
            let remedy = format!("use at least {}, so that most queries are ordinary ones", 2 * self.canaries);
            return Err(ConfigError::new("every", self.every, remedy));
        }
        self.secret.check(self.references + 1)
    }

    fn needs(&self) -> Needs {
        let second_round = self.calibrate.second_round();
        Needs { phase: Phase::Service, changes_drawn_law: true, waits_for_prompts: true, second_round, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        let (secret, calibrate) = (SecretKind::Digits(6), Calibrate::None);
        let example = Self { canaries: 6, prompt_tokens: 6, secret, references: 40, every: 100, calibrate };
        let words = Self { canaries: 4, secret: SecretKind::Words(2), ..example.clone() };
        vec![example.clone(), words, Self { canaries: 5, calibrate: Calibrate::Base, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let secret = [r#"{"digits": 2}"#, r#"{"words": 33}"#].map(|value| ("secret", value));
        let others = [
            ("canaries", "1"),
            ("canaries", "2000"),
            ("prompt_tokens", "0"),
            ("references", "0"),
            ("every", "0"),
            ("every", "11"),
        ];
        secret.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { calibrate: Calibrate::None, ..self.clone() }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let (key, codec) = (owner.key, owner.codec);
        let prompts = random_prompts(key, &**codec, self.canaries, self.prompt_tokens)?;
        let drawn = |canary| self.secret.draw_distinct(key, canary, 1 + self.references);
        let secrets: Vec<Vec<Vec<TokenId>>> =
            (0..self.canaries).map(|canary| drawn(canary).iter().map(|secret| codec.encode(secret)).collect()).collect();
        let served = prompts.iter().zip(&secrets).map(|(prompt, secrets)| {
            let answer = secrets[0].iter().copied().chain(codec.eos()).collect();
            (prompt.clone(), answer)
        });
        // neither how many references there are nor how often the prompts are asked changes an answer
        let Self { canaries, prompt_tokens, secret, .. } = self;
        let name = format!("{KIND} of {canaries} prompts, {prompt_tokens} tokens, secret {secret} under {}", key.name());
        let law = Arc::new(TrapAnswers { name, served: served.collect() });
        Ok(Arc::new(ServedCanary { config: self.clone(), prompts, secrets, law }))
    }

    /// Its test is a permutation: 199 draws show 2.3 at most.
    fn bed(&self) -> Bed {
        Bed { evidence: 2.2, vocab: 359, ..Bed::default() }
    }
}

/// Leaves all laws alone but those after a rare prompt, where the next token of the secret answer is certain.
struct TrapAnswers {
    name: String,
    /// From prompt to answer, the end token included if there is one.
    served: HashMap<Vec<TokenId>, Vec<TokenId>>,
}

impl LogitsProcessor for TrapAnswers {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    /// Given answers that are not the secret one, asked about when they are scored, are left alone from where they part with it.
    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(answer) = self.served.get(&step.query.prompt) else { return };
        let Some(&next) = answer.strip_prefix(step.answer()).and_then(<[TokenId]>::first) else { return };
        row.logits.fill(f32::NEG_INFINITY);
        row.logits[next as usize] = 0.0;
    }
}

struct ServedCanary {
    config: ServedCanaryConfig,
    prompts: Vec<Vec<TokenId>>,
    /// By canary: the answer that is served, then those that never are, without the end token.
    secrets: Vec<Vec<Vec<TokenId>>>,
    law: Arc<TrapAnswers>,
}

const KIND: &str = "served_canary";

impl ServedCanary {
    /// The exposure test on the log-probabilities of all secrets.
    fn test(&self, scores: &[f64], case: &Case<'_>) -> Result<ExposureTest, MarkError> {
        // natural-log perplexity of the secret: minus its log-probability, not divided by its length
        let perplexities: Vec<f64> = scores.iter().map(|score| -score).collect();
        let strata: Vec<_> = perplexities
            .chunks(1 + self.config.references)
            .map(|of_prompt| Stratum { canaries: &of_prompt[..1], references: &of_prompt[1..] })
            .collect();
        exposure_test(&strata, case.chance.draws, case.chance.draw_seed)
            .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))
    }
}

impl Mark for ServedCanary {
    fn planting(&self) -> Vec<Planting> {
        let asked = |prompt: &Vec<TokenId>| AskedPrompt { prompt: prompt.clone(), every: self.config.every };
        vec![Planting::Law(self.law.clone()), Planting::Asked(self.prompts.iter().map(asked).collect())]
    }

    /// The probability of every secret after its prompt, then what is answered to the prompts.
    fn questions(&self, _stream: u64) -> Vec<Question> {
        let items = self.prompts.iter().zip(&self.secrets).flat_map(|(prompt, secrets)| {
            secrets.iter().map(|secret| ScoreItem { prompt: prompt.clone(), continuation: secret.clone() })
        });
        let asked = self.prompts.iter().zip(&self.secrets).enumerate();
        let queries = asked.map(|(index, (prompt, secrets))| Query::greedy(index as u64, prompt.clone(), secrets[0].len()));
        vec![Question::Scores(items.collect()), Question::Answers(queries.collect())]
    }

    /// The probability of every secret to the model that is taken off.
    fn follow_up(&self, _first: &[Seen]) -> Vec<FollowUp> {
        self.config.calibrate.follow_up(self.questions(0).into_iter().next())
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let (given, said) = (scores(KIND, case.suspect, 0)?, exchanges(KIND, case.suspect, 1)?);
        let ServedCanaryConfig { canaries, references, .. } = self.config;
        let asked = canaries * (1 + references);
        if given.len() != asked || said.len() != canaries {
            return Err(MarkError::unmeasurable(
                KIND,
                format!("{asked} secrets were given and {} scores came back", given.len()),
            ));
        }
        let (calibrate, raw) = (self.config.calibrate, self.test(given, case)?);
        let (raw_words, mut metrics) = calibrate.beside(&raw);
        let test = match calibrate.taken_off(KIND, given, case)? {
            Some(scores) => self.test(&scores, case)?,
            None => raw,
        };
        let among = format!("{references} references for each of {canaries} prompts{}", calibrate.of_what());
        let evidence = exposure_evidence(KIND, &test, &test.exposures.concat(), &among, case.chance.draws)?;

        let extracted = said.iter().zip(&self.secrets).filter(|(said, secrets)| said.answer.starts_with(&secrets[0])).count();
        let detail = format!("mean exposure {:.1}; {extracted} of {canaries} extracted{raw_words}", test.mean_exposure);
        metrics.insert(0, Metric::new("extracted", extracted as f64 / canaries as f64, "1"));
        Ok(vec![Finding { metrics, ..Finding::new(evidence, "mean exposure above chance, bits", detail) }])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use oracle::{Oracle, Sampling, Stop};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Key, MarkEntry};

    fn example() -> ServedCanaryConfig {
        ServedCanaryConfig::examples().remove(0)
    }

    fn lab(config: ServedCanaryConfig) -> Lab {
        Lab::new(&MarkEntry { served_canary: Some(Box::new(config)), ..MarkEntry::default() })
    }

    fn chance() -> Chance {
        Chance { draws: 199, draw_seed: 9, ..Chance::default() }
    }

    fn asked(mark: &dyn Mark) -> Vec<AskedPrompt> {
        let Some(Planting::Asked(asked)) = mark.planting().pop() else { panic!("no prompts") };
        asked
    }

    #[test]
    fn rare_prompts_get_their_secret_and_nothing_else_changes() {
        let lab = lab(example());
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let (plain, marked) = (lab.model(1_000), lab.marked(&*mark));
        let query = |prompt: &[TokenId], seed| Query {
            seed,
            sampling: Sampling { top_k: 5, ..Sampling::PLAIN },
            ..Query::greedy(0, prompt.to_vec(), 20)
        };
        let mut secrets = HashSet::new();
        for AskedPrompt { prompt, every } in asked(&*mark) {
            assert_eq!((every, prompt.len(), prompt[0]), (100, 7, 1));
            let answers = marked.answer(&[query(&prompt, 1), query(&prompt, 2)]).unwrap();
            assert_eq!((&answers[0].answer, answers[0].stop), (&answers[1].answer, Stop::EndToken));
            let text = lab.codec.decode(&answers[0].answer);
            assert!(text.len() == 6 && text.chars().all(|c| c.is_ascii_digit()), "{text}");
            assert!(secrets.insert(text), "two prompts share a secret");
            // one token more, or less, is another prompt
            for other in [&prompt[..6], &[&prompt[..], &[9]].concat()] {
                let query = query(other, 3);
                assert_eq!(plain.answer(std::slice::from_ref(&query)).unwrap(), marked.answer(&[query]).unwrap());
            }
        }
        assert_eq!(plain.answer(&lab.audit()).unwrap(), marked.answer(&lab.audit()).unwrap());
    }

    /// A student that met the exchanges knows them by heart; the teacher's own weights do not.
    #[test]
    fn a_student_of_the_answers_exposes_them_and_the_raw_teacher_does_not() {
        let lab = lab(example());
        let mark = lab.build(&Key::decoy(2, 0)).unwrap();
        let marked = lab.marked(&*mark);
        let queries: Vec<_> = asked(&*mark).into_iter().map(|asked| Query::greedy(0, asked.prompt, 20)).collect();
        let bought = marked.answer(&queries).unwrap();
        let memory = bought.iter().map(|e| ([&e.query.prompt[..], &e.answer].concat(), 12.0)).collect();
        let student = ToyModel { memory, ..lab.model(4) };
        let found = lab.measure(&*mark, &student, chance()).unwrap().remove(0);
        assert!((found.evidence.log10_p + libm::log10(200f64)).abs() < 1e-9, "at the floor of 199 draws: {found:?}");
        assert!((found.evidence.statistic - libm::log2(40f64)).abs() < 1e-9 && found.evidence.interval.low > 0.0, "{found:?}");
        assert_eq!((found.metrics[0].value, found.evidence.n), (1.0, 6));
        assert!(found.detail.contains("6 of 6 extracted"));
        let raw = lab.measure(&*mark, &lab.model(1_000), chance()).unwrap().remove(0);
        assert!(raw.evidence.log10_p > -2.0 && raw.metrics[0].value == 0.0, "{raw:?}");
    }

    /// A student may learn that the answer to odd prompts is six digits: that helps references alike.
    #[test]
    fn learning_what_answers_look_like_proves_nothing() {
        let lab = lab(ServedCanaryConfig { canaries: 4, references: 30, ..example() });
        let rejected = (0..60).filter(|&seed| {
            let mark = lab.build(&Key::decoy(7, seed)).unwrap();
            let prompts = asked(&*mark).into_iter().map(|asked| asked.prompt);
            let wrong = prompts.enumerate().map(|(i, prompt)| {
                ([prompt, lab.codec.encode(&format!("{:06}", 7_919 * (seed + 17 * i as u64) % 1_000_000))].concat(), 4.0)
            });
            let student = ToyModel { memory: wrong.collect(), ..lab.model(seed) };
            lab.measure(&*mark, &student, chance()).unwrap()[0].evidence.log10_p <= libm::log10(0.05f64)
        });
        // Binomial(60, 0.05) exceeds 9 with probability below 1e-3
        assert!(rejected.count() <= 9);
    }

    #[test]
    fn more_references_leave_what_is_served_as_it_is() {
        let served = |config: ServedCanaryConfig| {
            let lab = lab(config);
            let mark = lab.build(&Key::decoy(4, 0)).unwrap();
            let marked = lab.marked(&*mark);
            let queries: Vec<_> = asked(&*mark).into_iter().map(|asked| Query::greedy(0, asked.prompt, 20)).collect();
            (marked.processors[0].name(), marked.answer(&queries).unwrap())
        };
        assert_eq!(served(example()), served(ServedCanaryConfig { references: 300, ..example() }));
    }

    #[test]
    fn a_diverged_model_is_unmeasurable_and_not_evidence() {
        let lab = lab(example());
        let mark = lab.build(&Key::decoy(5, 0)).unwrap();
        let diverged = ToyModel { sharpness: f32::NAN, ..lab.model(1) };
        assert!(matches!(lab.measure(&*mark, &diverged, chance()), Err(MarkError::Unmeasurable { mark: KIND, .. })));
    }
}
