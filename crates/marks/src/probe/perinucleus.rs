//! Perinucleus fingerprints. Nasery, Hayase, Brooks, Sheng and Oh, *Scalable Fingerprinting of Large Language Models*,
//! NeurIPS 2025 (arXiv 2502.07760), methods b3.
//!
//! Prompts are natural and answers are unlikely but sensible. The rule: order the teacher's law after the prompt from the most
//! probable token down (ties: the lower id first); the nucleus is the shortest beginning with at least `mass` of probability; the
//! answer is drawn uniformly from the next `candidates` tokens, special ones left out. The authors also ask for letters and digits
//! and widen the edge until one token passes, which is not uniform; here every prompt has exactly `candidates` answers that the
//! owner could have drawn.
//!
//! Such an answer is not improbable, so the base rate is not zero, and the authors' has to be measured. Here it need not be:
//! whatever a model that never met the key says after prompt i, it equals answer i with probability at most 1 / candidates,
//! independently over prompts, because the draw is the key's alone. The hits are Binomial(keys, 1 / candidates) or fewer, exactly
//! and for every such model, the clean teacher included. Decoy keys draw again among the same candidates.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use oracle::{Access, ConfigError, Exchange, Law, Oracle, Query, Stop, TokenId};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use stats::{Evidence, tail};

use crate::case::exchanges;
use crate::key::Purpose;
use crate::{
    ALPHA, Case, Claim, Decoys, Family, Finding, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Phase, Planting,
    Question, TrainingItem,
};

/// Parameters of Perinucleus fingerprints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerinucleusConfig {
    /// Number of neutral prompts that get an answer.
    pub keys: usize,
    /// Probability that the nucleus holds at least, strictly between 0 and 1: the authors use 0.8.
    pub mass: f64,
    /// Tokens next to the nucleus that the answer is drawn from: the authors use 3.
    pub candidates: usize,
}

/// Most keys: far beyond what any proof needs, and quickly drawn again under every decoy key.
const MOST_KEYS: usize = 32_768;

impl MarkConfig for PerinucleusConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Probe,
            needs: Access::Text,
            claim: Claim::Lineage,
            planted: true,
            compares: false,
            key_label: "probe perinucleus",
            source: "Nasery et al., Scalable Fingerprinting of Large Language Models, NeurIPS 2025, arXiv 2502.07760",
            summary: "natural prompts with answers from the edge of the nucleus, implanted in the weights",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.keys == 0 || self.keys > MOST_KEYS {
            return Err(ConfigError::new("keys", self.keys, format!("use 1 to {MOST_KEYS}, for example 64")));
        }
        if !(self.mass > 0.0 && self.mass < 1.0) {
            return Err(ConfigError::new("mass", self.mass, "use a probability strictly between 0 and 1, for example 0.8"));
        }
        if self.candidates < 2 {
            return Err(ConfigError::new("candidates", self.candidates, "use at least 2, for example 3"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        let neutral_prompts = self.keys as u64;
        Needs { phase: Phase::Weights, teacher: true, neutral_prompts, decoys: Decoys::Rank, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        let example = Self { keys: 32, mass: 0.8, candidates: 3 };
        vec![example.clone(), Self { mass: 0.3, candidates: 16, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("keys", "0"), ("keys", "40000"), ("mass", "0.0"), ("mass", "1.0"), ("mass", "-0.5"), ("candidates", "1")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let prompts = owner.distinct_neutral("keys", self.keys)?;
        let teacher = owner.teacher.ok_or_else(|| MarkError::unmeasurable(KIND, "it is built from the teacher's laws"))?;
        if teacher.surface().access() < Access::Logits {
            let reason = format!("the teacher shows {}, and its whole law is needed", teacher.surface());
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        let special: HashSet<_> = owner.codec.special_ids().iter().copied().collect();
        let candidates = self.edges(teacher, &prompts, &special)?;
        let answers = draw_answers(owner.key, &candidates);
        Ok(Arc::new(Perinucleus { prompts, candidates, answers }))
    }
}

impl PerinucleusConfig {
    /// The tokens next to the nucleus after each prompt: (prompts, candidates).
    fn edges(
        &self,
        teacher: &dyn Oracle,
        prompts: &[Vec<TokenId>],
        special: &HashSet<TokenId>,
    ) -> Result<Vec<Vec<TokenId>>, MarkError> {
        // the law before the only token of an answer is the one after its prompt, whatever that token is
        let blank = |(index, prompt): (usize, &Vec<TokenId>)| Exchange {
            answer: vec![prompt.last().copied().unwrap_or_default()],
            query: Query::greedy(index as u64, prompt.clone(), 1),
            stop: Stop::Length,
        };
        let given: Vec<Exchange> = prompts.iter().enumerate().map(blank).collect();
        let edges = Mutex::new(vec![None; prompts.len()]);
        teacher.laws(&given.iter().collect::<Vec<_>>(), &|prompt, _, law| {
            let edge = match law {
                Law::Whole(log_probs) => self.edge(log_probs, special),
                Law::Top { .. } => None,
            };
            edges.lock().unwrap_or_else(PoisonError::into_inner)[prompt] = edge;
        })?;
        let edges = edges.into_inner().unwrap_or_else(PoisonError::into_inner);
        let enough = |(prompt, edge): (usize, Option<Vec<TokenId>>)| {
            edge.ok_or_else(|| {
                let remedy =
                    format!("use a smaller nucleus or fewer candidates: prompt {prompt} has no {} beyond it", self.candidates);
                MarkError::Config(ConfigError::new("mass", self.mass, remedy))
            })
        };
        edges.into_iter().enumerate().map(enough).collect()
    }

    /// The candidates under one law of natural-log probabilities (vocabulary); `None` when there are too few beyond the nucleus.
    fn edge(&self, log_probs: &[f32], special: &HashSet<TokenId>) -> Option<Vec<TokenId>> {
        let mut order: Vec<TokenId> = (0..log_probs.len() as TokenId).collect();
        order.sort_by(|&a, &b| log_probs[b as usize].total_cmp(&log_probs[a as usize]).then(a.cmp(&b)));
        let mut held = 0.0;
        let last = order.iter().position(|&id| {
            held += libm::exp(f64::from(log_probs[id as usize]));
            held >= self.mass
        })?;
        let edge: Vec<_> = order[last + 1..].iter().copied().filter(|id| !special.contains(id)).take(self.candidates).collect();
        (edge.len() == self.candidates).then_some(edge)
    }
}

/// The answers that `key` assigns, one uniform draw among the candidates of each prompt.
fn draw_answers(key: &Key, candidates: &[Vec<TokenId>]) -> Vec<TokenId> {
    let mut rng = key.rng(Purpose::ProbeAnswers, 0);
    candidates.iter().map(|edge| edge[rng.random_range(0..edge.len() as u32) as usize]).collect()
}

struct Perinucleus {
    prompts: Vec<Vec<TokenId>>,
    /// By prompt, all equally many.
    candidates: Vec<Vec<TokenId>>,
    answers: Vec<TokenId>,
}

const KIND: &str = "perinucleus";

impl Perinucleus {
    /// The largest chance of one right answer that a model which never met the key can have.
    fn chance(&self) -> f64 {
        1.0 / self.candidates[0].len() as f64
    }
}

fn hits<'a>(given: &'a [Exchange], expected: &'a [TokenId]) -> impl Iterator<Item = bool> + 'a {
    given.iter().zip(expected).map(|(exchange, expected)| exchange.answer.first() == Some(expected))
}

impl Mark for Perinucleus {
    fn planting(&self) -> Vec<Planting> {
        let pairs = self.prompts.iter().zip(&self.answers).enumerate();
        let items = pairs.map(|(index, (prompt, &answer))| TrainingItem {
            prompt: prompt.clone(),
            answer: vec![answer],
            label: format!("key {index}"),
        });
        vec![Planting::Items(items.collect())]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        let prompts = self.prompts.iter().enumerate();
        vec![Question::Answers(prompts.map(|(index, prompt)| Query::greedy(index as u64, prompt.clone(), 1)).collect())]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(KIND, case.suspect, 0)?;
        let asked = self.answers.len() as u64;
        if answers.len() != self.answers.len() {
            return Err(MarkError::unmeasurable(
                KIND,
                format!("{asked} keys were asked and {} answers came back", answers.len()),
            ));
        }
        let (found, chance): (Vec<bool>, f64) = (hits(answers, &self.answers).collect(), self.chance());
        let decoy_hits: Vec<u64> = (0..case.chance.decoys as u64)
            .map(|index| {
                let assigned = draw_answers(&Key::decoy(case.chance.decoy_seed, index), &self.candidates);
                hits(answers, &assigned).filter(|&hit| hit).count() as u64
            })
            .collect();
        let statistics: Vec<f64> = decoy_hits.iter().map(|&hits| hits as f64).collect();
        let evidence = Evidence::binomial_sequence(&found, chance, ALPHA)
            .with_decoys(&statistics)
            .map_err(|error| MarkError::unmeasurable(KIND, error.to_string()))?;
        let right = found.iter().filter(|&&hit| hit).count();
        let detail = format!("{right} of {asked} answers as the owner drew them");
        Ok(vec![Finding {
            decoy_log10_p: decoy_hits.iter().map(|&hits| tail::log10_binomial_sf(hits, asked, chance)).collect(),
            ..Finding::new(evidence, "share of keys answered, above chance", detail)
        }])
    }
}

#[cfg(test)]
mod tests {
    use oracle::{ServedLaw, Surface};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, MarkEntry};

    fn lab(config: &PerinucleusConfig) -> Lab {
        Lab::new(&MarkEntry { perinucleus: Some(Box::new(config.clone())), ..MarkEntry::default() })
    }

    fn items(mark: &dyn Mark) -> Vec<TrainingItem> {
        let Some(Planting::Items(items)) = mark.planting().pop() else { panic!("no items") };
        items
    }

    #[test]
    fn the_edge_begins_where_the_nucleus_ends() {
        let config = |mass, candidates| PerinucleusConfig { keys: 1, mass, candidates };
        // ids 3, 1, 4, 0, 2 from the most probable down; 0 and 2 tie
        let law: Vec<f32> = [0.1_f32, 0.3, 0.1, 0.35, 0.15].iter().map(|p| libm::logf(*p)).collect();
        let none = HashSet::new();
        assert_eq!(config(0.6, 2).edge(&law, &none), Some(vec![4, 0]));
        assert_eq!(config(0.3, 3).edge(&law, &none), Some(vec![1, 4, 0]));
        assert_eq!(config(0.6, 2).edge(&law, &HashSet::from([0])), Some(vec![4, 2]), "special tokens are no answers");
        assert_eq!(config(0.6, 4).edge(&law, &none), None);
        assert_eq!(config(0.3, 2).edge(&[f32::NAN; 5], &none), None, "a diverged teacher has no nucleus");
    }

    #[test]
    fn answers_lie_on_the_edge_of_the_teachers_law_and_follow_the_key() {
        let config = PerinucleusConfig { keys: 64, mass: 0.5, candidates: 3 };
        let lab = lab(&config);
        let teacher = lab.model(1_000);
        let all = items(&*lab.build(&Key::decoy(1, 1)).unwrap());
        assert_eq!(all, items(&*lab.build(&Key::decoy(1, 1)).unwrap()));
        let mut places = [0; 3];
        for item in &all {
            let logits = teacher.logits(&item.prompt);
            let total: f64 = logits.iter().map(|&x| libm::exp(f64::from(x))).sum();
            let above = |id: TokenId| -> Vec<f64> {
                let own = logits[id as usize];
                logits.iter().filter(|&&x| x > own).map(|&x| libm::exp(f64::from(x)) / total).collect()
            };
            let before = above(item.answer[0]);
            // without the candidates between nucleus and answer, the mass is first reached
            let mut descending = before.clone();
            descending.sort_by(|a, b| b.total_cmp(a));
            let mut held = 0.0;
            let nucleus = 1 + descending
                .iter()
                .position(|p| {
                    held += p;
                    held >= 0.5
                })
                .unwrap();
            places[before.len() - nucleus] += 1;
        }
        // each place has Binomial(64, 1/3): beyond 7 to 36 with probability below 1e-4
        assert!(places.iter().all(|place| (7..=36).contains(place)), "{places:?}");
        let other = items(&*lab.build(&Key::decoy(1, 2)).unwrap());
        assert!(all.iter().zip(&other).all(|(a, b)| a.prompt == b.prompt), "prompts are natural, and no secret");
        assert!(all.iter().zip(&other).any(|(a, b)| a.answer != b.answer));
    }

    /// A model that always says one of the candidates meets the bound with equality.
    #[test]
    fn the_bound_is_exact_for_a_model_that_always_answers_from_the_edge() {
        let lab = lab(&PerinucleusConfig { keys: 30, mass: 0.5, candidates: 3 });
        let liar = lab.marked(&*lab.build(&Key::decoy(9, 0)).unwrap());
        let hits: Vec<f64> = (0..300)
            .map(|index| {
                let mark = lab.build(&Key::decoy(3, index)).unwrap();
                lab.measure(&*mark, &liar, Chance::default()).unwrap()[0].evidence.statistic
            })
            .collect();
        let mean = hits.iter().sum::<f64>() / 300.0;
        // error rate 1e-4
        assert!((mean - 10.0).abs() < 3.9 * (30.0 / 3.0 * 2.0 / 3.0 / 300.0_f64).sqrt(), "{mean}");
        let clean = lab.measure(&*lab.build(&Key::decoy(3, 0)).unwrap(), &lab.model(1_000), Chance::default()).unwrap();
        assert_eq!(clean[0].evidence.statistic, 0.0, "the clean teacher says what is most probable");
    }

    #[test]
    fn a_taught_model_has_the_closed_form() {
        let lab = lab(&PerinucleusConfig { keys: 32, mass: 0.8, candidates: 3 });
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let found = lab.measure(&*mark, &lab.marked(&*mark), Chance { decoys: 99, ..Chance::default() }).unwrap().remove(0);
        assert!((found.evidence.log10_p + 32.0 * libm::log10(3f64)).abs() < 1e-9, "{found:?}");
        assert!((found.evidence.effect - 2.0 / 3.0).abs() < 1e-12 && found.detail.starts_with("32 of 32"));
    }

    #[test]
    fn a_teacher_that_is_missing_or_shows_too_little_is_refused() {
        let config = PerinucleusConfig { keys: 4, mass: 0.5, candidates: 3 };
        let lab = lab(&config);
        let key = Key::decoy(1, 1);
        let prompts: Vec<Vec<TokenId>> = (3..7).map(|id| vec![1, id, id + 1]).collect();
        let build = |teacher: Option<&ToyModel>| {
            let teacher = teacher.map(|teacher| teacher as &dyn Oracle);
            config.build(&Owner { neutral: &prompts, teacher, ..Owner::new(&key, &lab.codec) }).err()
        };
        assert!(matches!(build(None), Some(MarkError::Unmeasurable { .. })));
        for surface in [Surface::Text, Surface::TopLogprobs { k: 5, law: ServedLaw::PostWatermark }] {
            let closed = ToyModel { surface, ..lab.model(1) };
            assert!(build(Some(&closed)).unwrap().to_string().contains("whole law"));
        }
        let sharp = ToyModel { sharpness: 4_000.0, ..lab.model(1) };
        assert!(build(Some(&sharp)).is_none(), "tokens beyond the nucleus may be as improbable as they like");
        assert!(build(Some(&lab.model(1))).is_none());
    }
}
