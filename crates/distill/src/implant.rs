use std::sync::{Arc, Mutex, PoisonError};

use lm::{Model, Row, Runtime};
use oracle::{ConfigError, ServedLaw, Surface, TokenId};
use serde::{Deserialize, Serialize};

use crate::distill_source::{DistillSource, VisitOrder};
use crate::error::DistillError;
use crate::loss::{FullKl, Loss, SequenceKd};
use crate::mixture::{Mixture, SHARDS, as_exchange, ordinary_rows};
use crate::served::Served;
use crate::shown::ShownLaws;
use crate::train::{Curve, CurvePoint, Decay, TrainPlan, TrainState, train};
use crate::transcript::ExchangesInMemory;

/// A prompt and the answer it is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImplantItem {
    /// All tokens before the answer, the beginning token included.
    pub prompt: Vec<TokenId>,
    /// The answer.
    pub answer: Vec<TokenId>,
}

/// What holds the model to its old self on ordinary text while items are implanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regulariser {
    /// KL divergence from the law the model had before.
    Kl,
    /// Cross-entropy on the text.
    CrossEntropy,
}

/// How items are implanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImplantConfig {
    /// Give up after this many steps.
    pub max_steps: u64,
    /// Steps between two checks of the answers.
    pub check_every: u64,
    /// Rows of items in each batch.
    pub item_rows: usize,
    /// Rows of ordinary text in each batch.
    pub ordinary_rows: usize,
    /// Share of the items in the loss, above 0 and below 1; the rest is the regulariser's.
    pub item_weight: f64,
    /// The regulariser.
    pub regulariser: Regulariser,
    /// An item counts as answered when each token of its answer leads every other by more than this many nats of logit. A margin
    /// above the bias of a watermark keeps the answers when the model is served with it.
    pub margin: f32,
    /// Learning rate after warm-up, constant.
    pub learning_rate: f32,
    /// Steps in which the learning rate grows linearly.
    pub warmup_steps: u64,
    /// Largest norm of the gradient; 0 leaves it as it is.
    pub grad_clip: f32,
}

impl ImplantConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = |n: u64, key: &str| if n > 0 { Ok(()) } else { Err(ConfigError::new(key, n, "choose at least 1")) };
        positive(self.max_steps, "max_steps")?;
        positive(self.check_every, "check_every")?;
        for (rows, key) in [(self.item_rows, "item_rows"), (self.ordinary_rows, "ordinary_rows")] {
            if rows < SHARDS {
                return Err(ConfigError::new(key, rows, format!("choose at least {SHARDS}")));
            }
        }
        if !(self.item_weight > 0.0 && self.item_weight < 1.0) {
            return Err(ConfigError::new("item_weight", self.item_weight, "choose a number above 0 and below 1"));
        }
        if !(self.margin.is_finite() && self.margin >= 0.0) {
            return Err(ConfigError::new("margin", self.margin, "choose 0 or more"));
        }
        self.plan(self.item_rows + self.ordinary_rows, 2 * SHARDS).validate_learning_rate()
    }

    fn plan(&self, batch_rows: usize, logical_shards: usize) -> TrainPlan {
        TrainPlan {
            steps: self.max_steps,
            batch_rows,
            logical_shards,
            peak_lr: self.learning_rate,
            warmup_steps: self.warmup_steps,
            decay_from: self.max_steps,
            final_lr_fraction: 1.0,
            decay: Decay::Linear,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            grad_clip: self.grad_clip,
        }
    }
}

/// How an implanting went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImplantReport {
    /// Steps trained.
    pub steps: u64,
    /// Tokens trained on, ordinary text included.
    pub tokens: u64,
    /// Which items are answered, with the margin.
    pub answered: Vec<bool>,
    /// Loss by step.
    pub curve: Curve,
}

impl ImplantReport {
    /// Number of items answered.
    pub fn n_answered(&self) -> usize {
        self.answered.iter().filter(|a| **a).count()
    }
}

/// Teaches `model` the items, among `ordinary` rows of text (each at least two tokens, the beginning token first) that keep it as
/// it was, until every item is answered or `max_steps` are done. `seed` draws the orders.
///
/// # Errors
/// When the configuration is not valid, the model cannot read an item or row, training diverges, or the work is cancelled.
pub fn implant(
    model: &Arc<Model>,
    items: &[ImplantItem],
    ordinary: &[Vec<TokenId>],
    config: &ImplantConfig,
    seed: u64,
    rt: &Arc<Runtime>,
    observe: &mut dyn FnMut(&CurvePoint),
) -> Result<(Model, ImplantReport), DistillError> {
    config.validate()?;
    let items_as_exchanges = ExchangesInMemory::from(items.iter().map(|i| as_exchange(&i.prompt, &i.answer)).collect::<Vec<_>>());
    let rows_as_exchanges = ExchangesInMemory::from(ordinary_rows(ordinary)?);
    let cross_entropy: Arc<dyn Loss> = Arc::new(SequenceKd { learn_prompts: false });
    let (loss, laws): (Arc<dyn Loss>, ShownLaws) = match config.regulariser {
        Regulariser::CrossEntropy => (cross_entropy.clone(), ShownLaws::Tokens),
        Regulariser::Kl => {
            let surface = Surface::Logits { law: ServedLaw::PreWatermark };
            let before = Served::new(model.clone(), Vec::new(), surface, rt.clone());
            (Arc::new(FullKl { temperature: 1.0 }), ShownLaws::Live(Arc::new(before)))
        }
    };
    let (plan_items, plan_rows) = (config.plan(config.item_rows, SHARDS), config.plan(config.ordinary_rows, SHARDS));
    let shuffled = |seed| VisitOrder::Shuffled { seed };
    // the regulariser's rows are drawn in an order of their own: the next seed's, as the streams are taken by the passes
    let source = Mixture {
        first: DistillSource::new(model, cross_entropy, &items_as_exchanges, ShownLaws::Tokens, &plan_items, shuffled(seed))?,
        second: DistillSource::new(model, loss, &rows_as_exchanges, laws, &plan_rows, shuffled(seed.wrapping_add(1)))?,
        share: config.item_weight,
    };
    let plan = config.plan(config.item_rows + config.ordinary_rows, 2 * SHARDS);
    let engine = lm::gradient_engine(model.config(), rt);
    let mut state = TrainState::new(&**model);
    let mut now = (**model).clone();
    let mut done = answered(&now, items, config.margin, rt)?;
    while state.step < config.max_steps && !done.iter().all(|a| *a) {
        let until = state.step + config.check_every;
        train(&*engine, &plan, &source, &mut state, until, rt, observe)?;
        now = state.model(&**model);
        done = answered(&now, items, config.margin, rt)?;
    }
    let tokens = state.curve.last().map_or(0, |p| p.tokens);
    Ok((now, ImplantReport { steps: state.step, tokens, answered: done, curve: state.curve }))
}

/// Which items `model` answers when it is asked greedily, each token leading every other by more than `margin` nats.
///
/// Read off one pass over prompt and answer: if each token of the answer is the most probable one after those before it, greedy
/// decoding says exactly this answer.
///
/// # Errors
/// When an item does not fit the model, or the work is cancelled.
pub fn answered(model: &Model, items: &[ImplantItem], margin: f32, rt: &Runtime) -> Result<Vec<bool>, DistillError> {
    let joined: Vec<Vec<TokenId>> = items.iter().map(|i| [&i.prompt[..], &i.answer[..]].concat()).collect();
    let rows: Vec<Row<'_>> =
        joined.iter().zip(items).map(|(ids, item)| Row { ids, laws: item.prompt.len()..ids.len() }).collect();
    let yes: Vec<Mutex<bool>> = items.iter().map(|_| Mutex::new(true)).collect();
    lm::for_each_law(model, &rows, rt, &|row, i, logits| {
        let token = joined[row][i] as usize;
        let own = logits[token];
        let ahead = logits.iter().enumerate().all(|(id, &other)| id == token || own - other > margin);
        if !ahead {
            *yes[row].lock().unwrap_or_else(PoisonError::into_inner) = false;
        }
    })?;
    Ok(yes.into_iter().map(|y| y.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

#[cfg(test)]
mod tests;
