//! Laws into weights: a model learns to answer some prompts under a changed law and all others as before.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lm::{Model, Runtime};
use oracle::{
    CompanionId, ConfigError, Law, LogitsProcessor, Oracle, Query, Row, Sampling, ServedLaw, Stage, Step, Surface, TokenId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::distill_source::{DistillSource, VisitOrder, whole_laws};
use crate::error::DistillError;
use crate::loss::FullKl;
use crate::mixture::{Mixture, SHARDS, ordinary_rows};
use crate::served::Served;
use crate::shown::ShownLaws;
use crate::train::{Decay, TrainPlan};
use crate::transcript::{ExchangeStream, ExchangesInMemory};

/// Exchanges of either kind on which the divergence from the wanted laws is measured.
const MEASURED: usize = 64;

/// A law for the weights.
#[derive(Clone)]
pub struct WantedLaw {
    /// The law, as a change of the model's own.
    pub law: Arc<dyn LogitsProcessor>,
    /// Prompts that are to be answered under it.
    pub on: Vec<Vec<TokenId>>,
    /// Prompts that are to be answered as before.
    pub apart: Vec<Vec<TokenId>>,
}

/// How laws are distilled into a model's own weights: logit-based watermark distillation (Gu et al. 2024, On the Learnability of
/// Watermarks for Language Models, arXiv 2312.04469, section 3.1). The model answers the prompts itself, and learns the whole laws
/// along these answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LawDistillationConfig {
    /// Optimiser steps.
    pub steps: u64,
    /// Answers that are sampled to each prompt.
    pub answers_per_prompt: u64,
    /// Longest answer, tokens.
    pub max_new_tokens: usize,
    /// Rows in each batch that are answered under a changed law.
    pub law_rows: usize,
    /// Rows in each batch that are answered as before, ordinary text among them.
    pub plain_rows: usize,
    /// Share of the changed laws in the loss, above 0 and below 1 (Gloaguen et al. 2025 give 0.6).
    pub law_weight: f64,
    /// Learning rate after warm-up; it falls linearly to a tenth.
    pub learning_rate: f32,
    /// Steps in which the learning rate grows linearly.
    pub warmup_steps: u64,
    /// Largest norm of the gradient; 0 leaves it as it is.
    pub grad_clip: f32,
}

impl LawDistillationConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [("steps", self.steps), ("answers_per_prompt", self.answers_per_prompt)];
        for (key, value) in counts.into_iter().chain([("max_new_tokens", self.max_new_tokens as u64)]) {
            if value == 0 {
                return Err(ConfigError::new(key, value, "choose at least 1"));
            }
        }
        for (key, rows) in [("law_rows", self.law_rows), ("plain_rows", self.plain_rows)] {
            if rows < SHARDS {
                return Err(ConfigError::new(key, rows, format!("choose at least {SHARDS}")));
            }
        }
        if !(self.law_weight > 0.0 && self.law_weight < 1.0) {
            return Err(ConfigError::new("law_weight", self.law_weight, "choose a number above 0 and below 1"));
        }
        self.plan().validate_learning_rate()
    }

    /// The plan of the training.
    pub fn plan(&self) -> TrainPlan {
        self.plan_of(self.law_rows + self.plain_rows, 2 * SHARDS)
    }

    fn plan_of(&self, batch_rows: usize, logical_shards: usize) -> TrainPlan {
        TrainPlan {
            steps: self.steps,
            batch_rows,
            logical_shards,
            peak_lr: self.learning_rate,
            warmup_steps: self.warmup_steps,
            decay_from: self.warmup_steps.min(self.steps),
            final_lr_fraction: 0.1,
            decay: Decay::Linear,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            grad_clip: self.grad_clip,
        }
    }
}

/// How far a model is from the laws that it was to learn, nats per answer token: KL(wanted || model).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Along answers that were drawn under a changed law.
    pub changed: f64,
    /// Along answers that were drawn as before, and ordinary text.
    pub plain: f64,
}

/// A training of laws into weights: the prompts with the answers of the model as it was, under the laws that it is to learn.
pub struct LawDistillation {
    config: LawDistillationConfig,
    seed: u64,
    changed: ExchangesInMemory,
    plain: ExchangesInMemory,
    /// The model as it was, each of its queries under the law that it is to learn.
    wanted: Arc<Served>,
    /// The model as it was.
    before: Arc<Served>,
}

impl LawDistillation {
    /// Has `model` answer the prompts of `laws`; `ordinary` rows of text (each at least two tokens, the beginning token first) are
    /// learned as they were too. `seed` draws answers and orders.
    ///
    /// # Errors
    /// When the configuration is not valid, there is no law or a law has no prompt, the model cannot read a prompt or row, or the
    /// work is cancelled.
    pub fn new(
        model: &Arc<Model>,
        laws: &[WantedLaw],
        ordinary: &[Vec<TokenId>],
        config: &LawDistillationConfig,
        seed: u64,
        rt: &Arc<Runtime>,
    ) -> Result<Self, DistillError> {
        config.validate()?;
        if laws.is_empty() || laws.iter().any(|law| law.on.is_empty()) {
            return Err(DistillError::Data("a law that is to be learned needs at least one prompt".into()));
        }
        let ordinary = ordinary_rows(ordinary)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut asked = |prompts: &mut dyn Iterator<Item = &Vec<TokenId>>, first: u64| -> Vec<Query> {
            let each = prompts.flat_map(|prompt| std::iter::repeat_n(prompt, config.answers_per_prompt as usize));
            let query = |(index, prompt): (u64, &Vec<TokenId>)| Query {
                sampling: Sampling::PLAIN,
                seed: rng.next_u64(),
                ..Query::greedy(index, prompt.clone(), config.max_new_tokens)
            };
            (first..).zip(each).map(query).collect()
        };
        let (mut queries, mut processors) = (Vec::new(), Vec::<Arc<dyn LogitsProcessor>>::new());
        for wanted in laws {
            let first = queries.len() as u64;
            queries.extend(asked(&mut wanted.on.iter(), first));
            processors.push(Arc::new(Within { law: wanted.law.clone(), queries: first..queries.len() as u64 }));
        }
        let plain = asked(&mut laws.iter().flat_map(|law| &law.apart), 0);
        let served = |processors| {
            let surface = Surface::Logits { law: ServedLaw::PostWatermark };
            Arc::new(Served::new(model.clone(), processors, surface, rt.clone()))
        };
        let (wanted, before) = (served(processors), served(Vec::new()));
        let changed = wanted.answer(&queries)?;
        let mut plain = before.answer(&plain)?;
        plain.extend(ordinary);
        if plain.is_empty() {
            return Err(DistillError::Data("nothing holds the model to its old law; give ordinary rows".into()));
        }
        let (changed, plain) = (ExchangesInMemory::from(changed), ExchangesInMemory::from(plain));
        Ok(Self { config: config.clone(), seed, changed, plain, wanted, before })
    }

    /// Its batches.
    ///
    /// # Errors
    /// When the model cannot read an answer.
    pub fn source(&self) -> Result<Mixture<'_>, DistillError> {
        let order = |seed| VisitOrder::Shuffled { seed };
        let source = |stream, served: &Arc<Served>, rows: usize, seed: u64| {
            let plan = self.config.plan_of(rows, SHARDS);
            let loss = Arc::new(FullKl { temperature: 1.0 });
            DistillSource::new(self.before.model(), loss, stream, ShownLaws::Live(served.clone()), &plan, order(seed))
        };
        Ok(Mixture {
            first: source(&self.changed, &self.wanted, self.config.law_rows, self.seed)?,
            second: source(&self.plain, &self.before, self.config.plain_rows, self.seed.wrapping_add(1))?,
            share: self.config.law_weight,
        })
    }

    /// How far `model` is from the wanted laws, over the first answers of either kind.
    ///
    /// # Errors
    /// When the model has another vocabulary, fails, or the work is cancelled.
    pub fn divergence(&self, model: &Arc<Model>, rt: &Arc<Runtime>) -> Result<Divergence, DistillError> {
        let surface = Surface::Logits { law: ServedLaw::PreWatermark };
        let now = Served::new(model.clone(), Vec::new(), surface, rt.clone());
        let mean = |wanted: &Served, given: &ExchangesInMemory| -> Result<f64, DistillError> {
            let (mut sum, mut positions) = (0.0, 0_u64);
            for exchange in given.shard(0)?.iter().take(MEASURED) {
                let (laws, _) = whole_laws(wanted, &[exchange], wanted.vocab_size())?;
                let vocab = wanted.vocab_size();
                let kl = Mutex::new(vec![0.0; exchange.answer.len()]);
                now.laws(&[exchange], &|_, position, law| {
                    if let Law::Whole(log_p) = law {
                        let value = divergence(&laws[position * vocab..][..vocab], log_p);
                        kl.lock().unwrap_or_else(PoisonError::into_inner)[position] = value;
                    }
                })?;
                let kl = kl.into_inner().unwrap_or_else(PoisonError::into_inner);
                sum += kl.iter().sum::<f64>();
                positions += kl.len() as u64;
            }
            Ok(sum / positions.max(1) as f64)
        };
        Ok(Divergence { changed: mean(&self.wanted, &self.changed)?, plain: mean(&self.before, &self.plain)? })
    }
}

/// KL(q || p) in nats, of natural-log probabilities.
fn divergence(log_q: &[f32], log_p: &[f32]) -> f64 {
    let term = |(&log_q, &log_p): (&f32, &f32)| {
        let (log_q, log_p) = (f64::from(log_q), f64::from(log_p));
        if log_q == f64::NEG_INFINITY { 0.0 } else { libm::exp(log_q) * (log_q - log_p) }
    };
    log_q.iter().zip(log_p).map(term).sum()
}

/// A law for some queries; all others are answered as if it were not there.
struct Within {
    law: Arc<dyn LogitsProcessor>,
    queries: Range<u64>,
}

impl LogitsProcessor for Within {
    fn name(&self) -> String {
        format!("{} for queries {:?}", self.law.name(), self.queries)
    }

    fn stage(&self) -> Stage {
        self.law.stage()
    }

    fn companions(&self) -> &[CompanionId] {
        self.law.companions()
    }

    fn changes_greedy(&self) -> bool {
        self.law.changes_greedy()
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        if self.queries.contains(&step.query.index) {
            self.law.process(step, row);
        }
    }

    fn failure(&self) -> Option<String> {
        self.law.failure()
    }
}

#[cfg(test)]
mod tests;
