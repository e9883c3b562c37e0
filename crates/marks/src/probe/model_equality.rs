//! Model equality testing. Gao, Liang and Guestrin, *Model Equality Testing: Which Model Is This API Serving?*, ICLR 2025
//! (arXiv 2410.20247), methods d1.
//!
//! The paper asks whether two models are the same, and a student never is its teacher. So the same distance, the squared maximum
//! mean discrepancy under the Hamming kernel on several completions of each prompt, answers another question: is the suspect nearer
//! to the teacher than models that learned nothing from it (`relative`)? It is taken prompt by prompt, completions of one prompt
//! being compared among themselves only, and without the pairs of a completion with itself, which would favour whoever says
//! little. In the difference of two distances to one teacher, what the teacher says to itself cancels.

use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, Query, Sampling, TokenId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::case::exchanges;
use crate::relative::{Differences, nearer_than_all};
use crate::{
    Bed, Case, Claim, Family, Finding, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Planting, Question,
    TeacherView,
};

/// Parameters of model equality testing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEqualityConfig {
    /// Number of distinct neutral prompts.
    pub prompts: usize,
    /// Completions of each prompt that every model draws.
    pub samples: usize,
    /// Longest completion, tokens; a shorter one counts as filled up with blanks.
    pub max_new_tokens: usize,
    /// The teacher that completions are compared with.
    #[serde(default)]
    pub teacher: TeacherView,
}

/// Most completions of a prompt: every pair of them is compared.
const MOST_SAMPLES: usize = 256;

impl MarkConfig for ModelEqualityConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Probe,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: false,
            compares: true,
            key_label: "probe model_equality",
            source: "Gao et al., Model Equality Testing: Which Model Is This API Serving?, ICLR 2025, arXiv 2410.20247",
            summary: "sampled completions are distributed more like the teacher's than any other model's are",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, least, example) in
            [("prompts", self.prompts, 2, 100), ("samples", self.samples, 2, 10), ("max_new_tokens", self.max_new_tokens, 1, 24)]
        {
            if value < least {
                return Err(ConfigError::new(key, value, format!("use at least {least}, for example {example}")));
            }
        }
        if self.samples > MOST_SAMPLES {
            return Err(ConfigError::new("samples", self.samples, format!("use at most {MOST_SAMPLES}, for example 10")));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { neutral_prompts: self.prompts as u64, compared_with: self.teacher, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        let example = Self { prompts: 40, samples: 4, max_new_tokens: 6, teacher: TeacherView::Served };
        vec![example.clone(), Self { prompts: 60, samples: 3, max_new_tokens: 1, teacher: TeacherView::Raw }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("prompts", "1"), ("samples", "1"), ("samples", "257"), ("max_new_tokens", "0")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let prompts = owner.distinct_neutral("prompts", self.prompts)?;
        Ok(Arc::new(ModelEquality { config: self.clone(), prompts }))
    }

    /// Its test is a permutation: 199 flips show 2.3 at most. Models must have something to say that another would not.
    fn bed(&self) -> Bed {
        Bed { vocab: 32, sharpness: 8.0, evidence: 2.2, ..Bed::default() }
    }
}

struct ModelEquality {
    config: ModelEqualityConfig,
    prompts: Vec<Vec<TokenId>>,
}

const KIND: &str = "model_equality";

impl ModelEquality {
    /// The completions of each prompt: (prompts, samples).
    fn by_prompt<'a>(&self, who: &str, answers: &'a [Exchange]) -> Result<Vec<&'a [Exchange]>, MarkError> {
        let asked = self.config.prompts * self.config.samples;
        if answers.len() != asked {
            let reason = format!("{asked} completions were asked and {who} gave {}", answers.len());
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        Ok(answers.chunks(self.config.samples).collect())
    }

    /// By prompt: the squared distance of `model` from `teacher`, less the part that is the teacher's alone.
    fn distances(&self, model: &[&[Exchange]], teacher: &[&[Exchange]]) -> Vec<f64> {
        let length = self.config.max_new_tokens;
        let distance = |(ours, theirs): (&&[Exchange], &&[Exchange])| within(ours, length) - 2.0 * between(ours, theirs, length);
        model.iter().zip(teacher).map(distance).collect()
    }
}

/// Hamming kernel: the share of `length` places at which two answers have the same token, or both have ended.
fn kernel(a: &Exchange, b: &Exchange, length: usize) -> f64 {
    (0..length).filter(|&at| a.answer.get(at) == b.answer.get(at)).count() as f64 / length as f64
}

/// Mean kernel of pairs of different completions.
fn within(sample: &[Exchange], length: usize) -> f64 {
    let pairs = sample.iter().enumerate().flat_map(|(i, a)| sample[i + 1..].iter().map(move |b| (a, b)));
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (a, b)| (sum + kernel(a, b, length), count + 1));
    sum / f64::from(count)
}

/// Mean kernel of pairs with one completion of each.
fn between(ours: &[Exchange], theirs: &[Exchange], length: usize) -> f64 {
    let sum: f64 = ours.iter().flat_map(|a| theirs.iter().map(move |b| kernel(a, b, length))).sum();
    sum / (ours.len() * theirs.len()) as f64
}

impl Mark for ModelEquality {
    fn planting(&self) -> Vec<Planting> {
        Vec::new()
    }

    /// Every completion of a prompt has a seed of its own, drawn from the stream: a model that is asked in two streams gives two
    /// independent samples, so that a copy of the teacher is no nearer to it than chance lets it be.
    fn questions(&self, stream: u64) -> Vec<Question> {
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let ModelEqualityConfig { samples, max_new_tokens, .. } = self.config;
        let completions = self.prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, samples)).enumerate();
        let query = |(index, prompt): (usize, &Vec<TokenId>)| Query {
            sampling: Sampling::PLAIN,
            seed: rng.next_u64(),
            ..Query::greedy(index as u64, prompt.clone(), max_new_tokens)
        };
        vec![Question::Answers(completions.map(query).collect())]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let teacher = case.teacher.ok_or_else(|| MarkError::unmeasurable(KIND, "the teacher's own answers are missing"))?;
        let teacher = self.by_prompt("the teacher", exchanges(KIND, teacher, 0)?)?;
        let suspect = self.by_prompt("the suspect", exchanges(KIND, case.suspect, 0)?)?;
        let ours = self.distances(&suspect, &teacher);
        let mut against = Vec::with_capacity(case.references.len());
        for reference in case.references {
            let answers = self.by_prompt(reference.name, exchanges(KIND, reference.seen, 0)?)?;
            let theirs = self.distances(&answers, &teacher);
            let by_unit = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs - ours).collect();
            against.push(Differences { name: reference.name, by_unit });
        }
        let (evidence, nearest) = nearer_than_all(KIND, &against, "prompt", case.chance)?;

        let of_teacher: f64 = teacher.iter().map(|sample| within(sample, self.config.max_new_tokens)).sum();
        let distance = (ours.iter().sum::<f64>() + of_teacher) / self.config.prompts as f64;
        let detail = format!(
            "squared distance from the raw teacher {distance:.4}, {:.4} less than of the nearest other model, {nearest}",
            evidence.effect
        );
        let metrics = vec![Metric::new("mmd_squared", distance, "1")];
        Ok(vec![Finding { metrics, ..Finding::new(evidence, "squared distance below the nearest other model's", detail) }])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oracle::{Exchange, Oracle, Query, Stop};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Key, MarkEntry, Reference, Seen};

    fn answer(tokens: &[TokenId]) -> Exchange {
        Exchange { query: Query::greedy(0, vec![1], 4), answer: tokens.to_vec(), stop: Stop::Length }
    }

    fn lab(config: ModelEqualityConfig) -> Lab {
        Lab::new(&MarkEntry { model_equality: Some(Box::new(config)), ..MarkEntry::default() })
    }

    fn ask(mark: &dyn Mark, model: &ToyModel, stream: u64) -> Vec<Seen> {
        let Some(Question::Answers(queries)) = mark.questions(stream).pop() else { panic!("no queries") };
        vec![Seen::Exchanges(Arc::new(model.answer(&queries).unwrap()))]
    }

    #[test]
    fn kernels_of_hand_made_answers() {
        let [a, b, c] = [answer(&[5, 6, 7, 8]), answer(&[5, 6, 9, 8]), answer(&[5, 2])];
        assert_eq!((kernel(&a, &a, 4), kernel(&a, &b, 4), kernel(&a, &c, 4), kernel(&c, &c, 4)), (1.0, 0.75, 0.25, 1.0));
        let sample = [a.clone(), b, c];
        assert!((within(&sample, 4) - (0.75 + 0.25 + 0.25) / 3.0).abs() < 1e-12);
        assert!((between(&sample, &[a], 4) - 2.0 / 3.0).abs() < 1e-12);
    }

    /// The distance estimates a sum of squared differences of laws, which is known for toy models; for a copy it is 0.
    #[test]
    fn distances_are_those_of_the_laws() {
        let config = ModelEqualityConfig { prompts: 400, samples: 8, max_new_tokens: 1, teacher: TeacherView::Raw };
        let lab = lab(config.clone());
        let mark = lab.build(&Key::decoy(0, 0)).unwrap();
        let (teacher, other) = (lab.model(1_000), lab.model(7));
        let law = |model: &ToyModel, prompt: &[TokenId]| {
            let weights: Vec<f64> = model.logits(prompt).iter().map(|&x| libm::exp(f64::from(x))).collect();
            let total: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / total).collect::<Vec<_>>()
        };
        let Some(Question::Answers(queries)) = mark.questions(1).pop() else { panic!("no queries") };
        let prompts: Vec<_> = queries.chunks(8).map(|same| &same[0].prompt).collect();
        let exact = prompts
            .iter()
            .map(|prompt| law(&other, prompt).iter().zip(law(&teacher, prompt)).map(|(p, q)| (p - q).powi(2)).sum::<f64>());
        let exact = exact.sum::<f64>() / 400.0;
        let mmd = |suspect: &ToyModel| {
            let reference = ask(&*mark, &other, 3);
            let references = [Reference { name: "other", seen: &reference }];
            let (suspect, teacher) = (ask(&*mark, suspect, 1), ask(&*mark, &teacher, 2));
            let chance = Chance { draws: 99, ..Chance::default() };
            let case =
                Case { suspect: &suspect, teacher: Some(&teacher), references: &references, second: &[], contexts: None, chance };
            mark.judge(&case).unwrap().remove(0)
        };
        let (copy, stranger) = (mmd(&teacher), mmd(&other));
        // a prompt's distance has a standard deviation below 0.25: four standard errors of 400
        assert!(copy.metrics[0].value.abs() < 0.05, "{copy:?}");
        assert!((stranger.metrics[0].value - exact).abs() < 0.05 && exact > 0.2, "{stranger:?} {exact}");
        assert!((copy.evidence.effect - exact).abs() < 0.1 && copy.evidence.interval.contains(exact), "{copy:?}");
        assert!(stranger.evidence.interval.contains(0.0) && stranger.evidence.log10_p > -1.3, "{stranger:?}");
    }

    #[test]
    fn streams_draw_apart_and_prompts_come_once() {
        let config = ModelEqualityConfig { prompts: 5, samples: 3, max_new_tokens: 4, teacher: TeacherView::Raw };
        let lab = lab(config);
        let mark = lab.build(&Key::decoy(0, 0)).unwrap();
        let queries = |stream| match mark.questions(stream).pop() {
            Some(Question::Answers(queries)) => queries,
            _ => panic!("no queries"),
        };
        let (one, again, other) = (queries(1), queries(1), queries(2));
        assert_eq!(one, again);
        let mut seeds: Vec<u64> = one.iter().chain(&other).map(|query| query.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 30, "no two completions share a random stream");
        assert!(one.iter().zip(&other).all(|(a, b)| a.prompt == b.prompt && a.index == b.index));
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let lab = lab(ModelEqualityConfig { prompts: 5, samples: 3, max_new_tokens: 4, teacher: TeacherView::Raw });
        let mark = lab.build(&Key::decoy(0, 0)).unwrap();
        let whole = ask(&*mark, &lab.model(1), 1);
        let short = vec![Seen::Exchanges(Arc::new(whole[0].exchanges().unwrap()[..14].to_vec()))];
        let reason = |suspect: &[Seen], teacher: Option<&[Seen]>, reference: &[Seen]| {
            let references = [Reference { name: "base", seen: reference }];
            let case = Case { suspect, teacher, references: &references, second: &[], contexts: None, chance: Chance::default() };
            mark.judge(&case).unwrap_err().to_string()
        };
        assert!(reason(&whole, None, &whole).contains("teacher's own answers are missing"));
        assert!(reason(&short, Some(&whole), &whole).contains("the suspect gave 14"));
        assert!(reason(&whole, Some(&whole), &short).contains("base gave 14"));
        let alone = Case {
            suspect: &whole,
            teacher: Some(&whole),
            references: &[],
            second: &[],
            contexts: None,
            chance: Chance::default(),
        };
        assert!(mark.judge(&alone).unwrap_err().to_string().contains("no reference"));
    }
}
