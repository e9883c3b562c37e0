mod distinct;
mod order;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lm::Model;
use oracle::{Exchange, Law, Oracle, TokenId};

use crate::error::DistillError;
use crate::loss::{LawsAt, Loss, RowTargets};
use crate::served::Served;
use crate::shown::ShownLaws;
use crate::train::{BatchSource, ShardBatch, TrainPlan, pad_rows};
use crate::transcript::ExchangeStream;
pub use distinct::distinct_prompts;
pub use order::VisitOrder;
use order::Visits;

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
