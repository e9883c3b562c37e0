use std::sync::{Arc, Mutex, PoisonError};

use lm::Model;
use oracle::{Exchange, TokenId};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, DistillError};
use crate::loss::{LawsAt, Loss, RowTargets};
use crate::served::{Served, ShownLaw};
use crate::shown::ShownLaws;
use crate::train::{BatchSource, ShardBatch, TrainPlan, pad_rows};

/// How long a student trains on its budget of exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
}

impl Compute {
    /// Name, as experiment files and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OnePass => "one_pass",
            Self::FixedSteps { .. } => "fixed_steps",
            Self::FixedPasses { .. } => "fixed_passes",
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// The offending key, its value and the mend.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::FixedSteps { tokens: 0 } => Err(ConfigError::new("compute.fixed_steps.tokens", 0, "choose at least 1")),
            Self::FixedPasses { passes: 0 } => Err(ConfigError::new("compute.fixed_passes.passes", 0, "choose at least 1")),
            _ => Ok(()),
        }
    }

    /// Number of steps for `budget` exchanges of at most `tokens_per_row` tokens in batches of `batch_rows`; at least 1. Passes
    /// are rounded up to whole steps, the last of which begins another pass.
    pub fn steps(&self, budget: u64, batch_rows: usize, tokens_per_row: usize) -> u64 {
        let batch_rows = batch_rows.max(1) as u64;
        let steps = match self {
            Self::OnePass => budget.div_ceil(batch_rows),
            Self::FixedPasses { passes } => (budget * passes).div_ceil(batch_rows),
            Self::FixedSteps { tokens } => tokens / (batch_rows * tokens_per_row.max(1) as u64),
        };
        steps.max(1)
    }
}

/// Batches of a transcript, passed over again and again, each pass in an order of its own.
///
/// Pass e visits the exchanges in a permutation drawn from ChaCha8 (seed, stream e), so the data of every step follow from the
/// seed alone.
pub struct DistillSource<'a> {
    exchanges: &'a [Exchange],
    laws: ShownLaws,
    loss: Arc<dyn Loss>,
    plan: TrainPlan,
    vocab: usize,
    /// Exchange of each row of the training.
    order: Vec<u32>,
}

impl<'a> DistillSource<'a> {
    /// Trains `student` with `loss` on `exchanges` (the budget's prefix of a transcript). `laws` come from
    /// [`ShownLaws::prepare`] over the same transcript or a longer one; `seed` draws the order.
    ///
    /// # Errors
    /// When there are no exchanges, the plan is not valid, the student cannot read an exchange (a token outside its vocabulary,
    /// more tokens than its context), or the laws are not those of this transcript.
    pub fn new(
        student: &Model,
        loss: Arc<dyn Loss>,
        exchanges: &'a [Exchange],
        laws: ShownLaws,
        plan: &TrainPlan,
        seed: u64,
    ) -> Result<Self, DistillError> {
        plan.validate()?;
        if exchanges.is_empty() || u32::try_from(exchanges.len()).is_err() {
            return Err(DistillError::Data(format!("a student needs 1 to 2^32 exchanges, not {}", exchanges.len())));
        }
        let (vocab, context) = (student.vocab_size(), student.context_length());
        for (i, exchange) in exchanges.iter().enumerate() {
            check_readable(exchange, vocab, context).map_err(|what| DistillError::Data(format!("exchange {i}: {what}")))?;
        }
        check_laws(&laws, exchanges, vocab)?;
        let order = order(exchanges.len(), plan.total_rows(), seed);
        Ok(Self { exchanges, laws, loss, plan: plan.clone(), vocab, order })
    }

    /// Number of answer positions of a step, over all shards.
    pub(crate) fn answer_positions(&self, step: u64) -> usize {
        let rows = self.plan.shard_rows(step, 0).start..self.plan.shard_rows(step, self.plan.logical_shards - 1).end;
        self.rows(rows).iter().map(|&i| self.exchanges[i].answer.len()).sum()
    }

    fn rows(&self, rows: std::ops::Range<u64>) -> Vec<usize> {
        self.order[rows.start as usize..rows.end as usize].iter().map(|&i| i as usize).collect()
    }

    fn laws_at(&self, picked: &[usize], time: usize) -> Result<LawsAt, DistillError> {
        let mut at = vec![0_u32; picked.len() * time];
        let mut place = |law: &dyn Fn(usize, usize) -> u32| {
            for (row, &i) in picked.iter().enumerate() {
                let Exchange { query, answer, .. } = &self.exchanges[i];
                for position in 0..answer.len() {
                    at[row * time + query.prompt.len() - 1 + position] = law(row, position);
                }
            }
        };
        match &self.laws {
            ShownLaws::Tokens => Ok(LawsAt::Nowhere),
            ShownLaws::Top(laws) => {
                place(&|row, position| laws.index(picked[row], position));
                Ok(LawsAt::Top { laws: laws.clone(), at })
            }
            ShownLaws::Live(served) => {
                let exchanges: Vec<&Exchange> = picked.iter().map(|&i| &self.exchanges[i]).collect();
                let (log_probs, starts) = whole_laws(served, &exchanges, self.vocab)?;
                place(&|row, position| starts[row] + position as u32);
                Ok(LawsAt::Whole { log_probs, vocab: self.vocab, at })
            }
        }
    }
}

impl BatchSource for DistillSource<'_> {
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        if step >= self.plan.steps {
            return Err(DistillError::Data(format!("step {step} lies beyond the plan's {} steps", self.plan.steps)));
        }
        let picked = self.rows(self.plan.shard_rows(step, shard));
        let rows: Vec<Vec<TokenId>> = picked
            .iter()
            .map(|&i| self.exchanges[i].query.prompt.iter().chain(&self.exchanges[i].answer).copied().collect())
            .collect();
        let inputs: Vec<&[TokenId]> = rows.iter().map(|r| &r[..r.len() - 1]).collect();
        let batch = pad_rows(&inputs);
        let mut next = vec![None; batch.rows * batch.time];
        for (row, &i) in picked.iter().enumerate() {
            let first = if self.loss.learns_prompts() { 1 } else { self.exchanges[i].query.prompt.len() };
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

fn check_readable(exchange: &Exchange, vocab: usize, context: usize) -> Result<(), String> {
    let tokens = || exchange.query.prompt.iter().chain(&exchange.answer);
    if exchange.query.prompt.is_empty() {
        return Err("the prompt is empty; put the beginning-of-text token before it".into());
    }
    if let Some(token) = tokens().find(|&&t| t as usize >= vocab) {
        return Err(format!(
            "token {token} is outside the student's vocabulary of {vocab}; teacher and student must share a tokenizer"
        ));
    }
    if tokens().count() > context + 1 {
        return Err(format!("{} tokens do not fit the student's context of {context}", tokens().count()));
    }
    Ok(())
}

fn check_laws(laws: &ShownLaws, exchanges: &[Exchange], vocab: usize) -> Result<(), DistillError> {
    use oracle::Oracle;
    match laws {
        ShownLaws::Tokens => Ok(()),
        ShownLaws::Top(laws) => {
            let fits = |(i, e): (usize, &Exchange)| laws.n_laws_of(i) == e.answer.len();
            if laws.n_exchanges() >= exchanges.len() && exchanges.iter().enumerate().all(fits) {
                return Ok(());
            }
            Err(DistillError::Data("the teacher's laws belong to another transcript".into()))
        }
        ShownLaws::Live(served) if served.vocab_size() == vocab => Ok(()),
        ShownLaws::Live(served) => Err(DistillError::Data(format!(
            "the teacher's laws have {} tokens and the student's {vocab}; teacher and student must share a tokenizer",
            served.vocab_size()
        ))),
    }
}

/// Exchange of each of `rows` rows: one permutation of `0..n` after the other.
fn order(n: usize, rows: u64, seed: u64) -> Vec<u32> {
    let rows = usize::try_from(rows).expect("a training whose rows cannot be counted cannot be run");
    let mut order = Vec::with_capacity(rows + n);
    let mut pass = 0;
    while order.len() < rows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(pass);
        let first = order.len();
        order.extend(0..n as u32);
        order[first..].shuffle(&mut rng);
        pass += 1;
    }
    order.truncate(rows);
    order
}

/// Whole laws at all answer positions, (laws, vocab), and the index of each exchange's first law.
fn whole_laws(served: &Served, exchanges: &[&Exchange], vocab: usize) -> Result<(Vec<f32>, Vec<u32>), DistillError> {
    let found: Vec<Mutex<Vec<f32>>> = exchanges.iter().map(|e| Mutex::new(vec![0.0; e.answer.len() * vocab])).collect();
    served.laws(exchanges, &|exchange, position, law| {
        if let ShownLaw::Whole(log_probs) = law {
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
