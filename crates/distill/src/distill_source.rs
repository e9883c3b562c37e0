mod order;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lm::Model;
use oracle::{ConfigError, Exchange, Law, Oracle, TokenId};
use serde::{Deserialize, Serialize};

use crate::error::DistillError;
use crate::loss::{LawsAt, Loss, RowTargets};
use crate::served::Served;
use crate::shown::ShownLaws;
use crate::train::{BatchSource, ShardBatch, TrainPlan, pad_rows};
use crate::transcript::ExchangeStream;
pub use order::VisitOrder;
use order::Visits;

/// How long a student trains on its budget of exchanges, and whether budgets share a student.
///
/// All but the last are the protocol `per_budget`: a fresh student for every budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Compute {
    /// Each exchange once: larger budgets train longer.
    OnePass,
    /// The same number of steps at every budget.
    FixedSteps {
        /// Tokens fed over the whole training, prompts and answers together, each exchange counted at its full length
        /// (prompt and `max_new_tokens`); answers that ended early make the true number, which is recorded, smaller.
        tokens: u64,
    },
    /// Each exchange this many times.
    FixedPasses {
        /// Number of passes.
        passes: u64,
    },
    /// One student along the stream in the order of asking, of which every budget is a snapshot: after as many whole batches as
    /// the budget holds. The learning rate stays at its peak after warm-up, as no budget may know of larger ones.
    SinglePass {
        /// Steps in which the learning rate grows to its peak.
        warmup_steps: u64,
        /// Part of a budget's steps, its last ones, in which a branch of the student cools down (`optimizer.decay` and
        /// `final_lr_fraction`) before its snapshot is taken; the trunk goes on at its peak rate. 0 takes the trunk itself.
        /// (Hu et al. 2024, arXiv 2404.06395, section 4; Haegele et al. 2024, arXiv 2405.18392: 0.1 to 0.2 is enough.)
        cooldown_fraction: f64,
    },
}

impl Compute {
    /// Name, as experiment files and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OnePass => "one_pass",
            Self::FixedSteps { .. } => "fixed_steps",
            Self::FixedPasses { .. } => "fixed_passes",
            Self::SinglePass { .. } => "single_pass",
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::FixedSteps { tokens: 0 } => Err(ConfigError::new("compute.fixed_steps.tokens", 0, "choose at least 1")),
            Self::FixedPasses { passes: 0 } => Err(ConfigError::new("compute.fixed_passes.passes", 0, "choose at least 1")),
            Self::SinglePass { cooldown_fraction: c, .. } if !(0.0..1.0).contains(c) => Err(ConfigError::new(
                "compute.single_pass.cooldown_fraction",
                c,
                "choose a number from 0 up to, not including, 1",
            )),
            _ => Ok(()),
        }
    }

    /// For a single pass: the step at which the snapshot after `steps` steps leaves the trunk.
    pub fn branch_step(&self, steps: u64) -> Option<u64> {
        match self {
            Self::SinglePass { cooldown_fraction, .. } => Some(steps - (cooldown_fraction * steps as f64).round() as u64),
            _ => None,
        }
    }

    /// Number of steps for `budget` exchanges of at most `tokens_per_row` tokens in batches of `batch_rows`; at least 1. Passes
    /// are rounded up to whole steps, the last of which begins another pass; a single pass is rounded down, as it may not read on.
    pub fn steps(&self, budget: u64, batch_rows: usize, tokens_per_row: usize) -> u64 {
        let batch_rows = batch_rows.max(1) as u64;
        let steps = match self {
            Self::OnePass => budget.div_ceil(batch_rows),
            Self::FixedPasses { passes } => (budget * passes).div_ceil(batch_rows),
            Self::SinglePass { .. } => budget / batch_rows,
            Self::FixedSteps { tokens } => tokens / (batch_rows * tokens_per_row.max(1) as u64),
        };
        steps.max(1)
    }
}

/// Batches of a transcript that is read shard by shard, so that memory does not grow with the budget.
///
/// Which exchanges a step reads is decided by [`VisitOrder`] alone.
pub struct DistillSource<'a> {
    stream: &'a dyn ExchangeStream,
    visits: Visits,
    laws: ShownLaws,
    loss: Arc<dyn Loss>,
    plan: TrainPlan,
    vocab: usize,
    context: usize,
}

/// An exchange of a batch, in the shard it lies in.
struct Picked {
    shard: Arc<Vec<Exchange>>,
    at: usize,
}

impl std::ops::Deref for Picked {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.shard[self.at]
    }
}

impl<'a> DistillSource<'a> {
    /// Trains `student` with `loss` on `stream` (the budget's prefix of a transcript), visited in `order`; `laws` come from
    /// [`ShownLaws::prepare`] with the teacher that answered.
    ///
    /// # Errors
    /// When there are no exchanges, or fewer than a stream order needs, the plan is not valid, or the laws are of another
    /// vocabulary.
    pub fn new(
        student: &Model,
        loss: Arc<dyn Loss>,
        stream: &'a dyn ExchangeStream,
        laws: ShownLaws,
        plan: &TrainPlan,
        order: VisitOrder,
    ) -> Result<Self, DistillError> {
        plan.validate()?;
        let (len, vocab) = (stream.len(), student.vocab_size());
        if len == 0 || stream.shard_len() > u64::from(u32::MAX) {
            return Err(DistillError::Data(format!(
                "a student needs at least 1 exchange, not {len}, in shards of less than 2^32"
            )));
        }
        if order == VisitOrder::Stream && plan.total_rows() > len {
            let rows = plan.total_rows();
            return Err(DistillError::Data(format!("a single pass over {len} exchanges has no {rows} rows; lower the steps")));
        }
        if let Some(served) = laws.served().filter(|served| served.vocab_size() != vocab) {
            return Err(DistillError::Data(format!(
                "the teacher's laws have {} tokens and the student's {vocab}; teacher and student must share a tokenizer",
                served.vocab_size()
            )));
        }
        let visits = Visits::new(order, len, stream.shard_len());
        Ok(Self { stream, visits, laws, loss, plan: plan.clone(), vocab, context: student.context_length() })
    }

    /// Number of answer positions of a step, over all shards.
    pub(crate) fn answer_positions(&self, step: u64) -> Result<usize, DistillError> {
        let rows = self.plan.shard_rows(step, 0).start..self.plan.shard_rows(step, self.plan.logical_shards - 1).end;
        Ok(self.pick(rows)?.iter().map(|exchange| exchange.answer.len()).sum())
    }

    /// The exchanges of `rows`, all of which the student can read.
    fn pick(&self, rows: Range<u64>) -> Result<Vec<Picked>, DistillError> {
        let mut shard: Option<(u64, Arc<Vec<Exchange>>)> = None;
        let last = rows.end;
        let picked = rows
            .map(|row| {
                let place = self.visits.place(row);
                let here = match shard.take().filter(|(index, _)| *index == place.shard) {
                    Some((_, here)) => here,
                    None => self.stream.shard(place.shard)?,
                };
                shard = Some((place.shard, here.clone()));
                if place.at >= here.len() {
                    return Err(DistillError::Data(format!("shard {} of the transcript is too short", place.shard)));
                }
                check_readable(&here[place.at], self.vocab, self.context)?;
                Ok(Picked { shard: here, at: place.at })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if last > 0 {
            self.stream.prefetch(self.visits.next_shard(last - 1));
        }
        Ok(picked)
    }

    fn laws_at(&self, picked: &[Picked], time: usize) -> Result<LawsAt, DistillError> {
        // row of each position's law when those of one exchange follow each other, `starts` saying where they begin
        let places = |starts: &[u32]| {
            let mut at = vec![0_u32; picked.len() * time];
            for ((row, exchange), start) in picked.iter().enumerate().zip(starts) {
                for position in 0..exchange.answer.len() {
                    at[row * time + exchange.query.prompt.len() - 1 + position] = start + position as u32;
                }
            }
            at
        };
        let exchanges: Vec<&Exchange> = picked.iter().map(|picked| &**picked).collect();
        match &self.laws {
            ShownLaws::Tokens => Ok(LawsAt::Nowhere),
            ShownLaws::Top(laws) => {
                let (mut ids, mut log_probs, mut starts) = (Vec::new(), Vec::new(), Vec::new());
                for law in laws.of(&exchanges)? {
                    starts.push((ids.len() / laws.k()) as u32);
                    ids.extend_from_slice(&law.ids);
                    log_probs.extend_from_slice(&law.log_probs);
                }
                Ok(LawsAt::Top { k: laws.k(), ids, log_probs, at: places(&starts) })
            }
            ShownLaws::Live(served) => {
                let (log_probs, starts) = whole_laws(served, &exchanges, self.vocab)?;
                Ok(LawsAt::Whole { log_probs, vocab: self.vocab, at: places(&starts) })
            }
        }
    }
}

impl BatchSource for DistillSource<'_> {
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        if step >= self.plan.steps {
            return Err(DistillError::Data(format!("step {step} lies beyond the plan's {} steps", self.plan.steps)));
        }
        let picked = self.pick(self.plan.shard_rows(step, shard))?;
        let rows: Vec<Vec<TokenId>> =
            picked.iter().map(|exchange| [&exchange.query.prompt[..], &exchange.answer].concat()).collect();
        let inputs: Vec<&[TokenId]> = rows.iter().map(|r| &r[..r.len() - 1]).collect();
        let batch = pad_rows(&inputs);
        let mut next = vec![None; batch.rows * batch.time];
        for (row, exchange) in picked.iter().enumerate() {
            let first = if self.loss.learns_prompts() { 1 } else { exchange.query.prompt.len() };
            for (t, &token) in rows[row].iter().enumerate().skip(first) {
                next[row * batch.time + t - 1] = Some(token);
            }
        }
        let laws = self.laws_at(&picked, batch.time)?;
        let targets = RowTargets { loss: self.loss.clone(), next, laws };
        let tokens = inputs.iter().map(|r| r.len() as u64).sum();
        Ok(ShardBatch { batch, weight: targets.n_scored() as f64, loss: Box::new(targets), tokens })
    }
}

fn check_readable(exchange: &Exchange, vocab: usize, context: usize) -> Result<(), DistillError> {
    let index = exchange.query.index;
    let unreadable = |what: String| Err(DistillError::Data(format!("exchange {index}: {what}")));
    if exchange.query.prompt.is_empty() {
        return unreadable("the prompt is empty; put the beginning-of-text token before it".into());
    }
    if let Some(token) = exchange.query.prompt.iter().chain(&exchange.answer).find(|&&t| t as usize >= vocab) {
        return unreadable(format!(
            "token {token} is outside the student's vocabulary of {vocab}; teacher and student must share a tokenizer"
        ));
    }
    let tokens = exchange.query.prompt.len() + exchange.answer.len();
    if tokens > context + 1 {
        return unreadable(format!("{tokens} tokens do not fit the student's context of {context}"));
    }
    Ok(())
}

/// Whole laws at all answer positions, (laws, vocab), and the index of each exchange's first law.
pub(crate) fn whole_laws(served: &Served, exchanges: &[&Exchange], vocab: usize) -> Result<(Vec<f32>, Vec<u32>), DistillError> {
    let found: Vec<Mutex<Vec<f32>>> = exchanges.iter().map(|e| Mutex::new(vec![0.0; e.answer.len() * vocab])).collect();
    served.laws(exchanges, &|exchange, position, law| {
        if let Law::Whole(log_probs) = law {
            let mut rows = found[exchange].lock().unwrap_or_else(PoisonError::into_inner);
            rows[position * vocab..][..vocab].copy_from_slice(log_probs);
        }
    })?;
    let (mut all, mut starts) = (Vec::new(), Vec::new());
    for rows in found {
        starts.push((all.len() / vocab) as u32);
        all.extend(rows.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    Ok((all, starts))
}

#[cfg(test)]
mod tests;
