use std::sync::{Mutex, PoisonError};

use kernels::vecmath;
use lm::{Model, Row, Runtime};
use oracle::{Exchange, TokenId};
use serde::{Deserialize, Serialize};

use crate::error::DistillError;

/// Bytes of teacher laws held at a time while two models are compared.
const BUFFER_BYTES: usize = 64 << 20;

/// Comparison of two models on one row of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RowFidelity {
    /// Positions compared.
    pub positions: u64,
    /// Sum over positions of KL(teacher || student), nats.
    pub kl_nats: f64,
    /// Positions where both find the same token most probable (ties: the lowest id).
    pub agreed: u64,
}

/// How near a student is to its teacher, row by row; the rows are the units for an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// One entry per row, in order.
    pub rows: Vec<RowFidelity>,
}

impl Fidelity {
    /// Mean KL(teacher || student) over all positions, nats.
    pub fn mean_kl(&self) -> f64 {
        self.rows.iter().map(|r| r.kl_nats).sum::<f64>() / self.positions()
    }

    /// Share of positions where both find the same token most probable.
    pub fn agreement(&self) -> f64 {
        self.rows.iter().map(|r| r.agreed).sum::<u64>() as f64 / self.positions()
    }

    fn positions(&self) -> f64 {
        self.rows.iter().map(|r| r.positions).sum::<u64>() as f64
    }
}

/// Compares the models' own laws (temperature 1, no processors) of every token but the first of each row.
///
/// # Errors
/// When the vocabularies differ, a row does not fit either model, or the work is cancelled.
pub fn fidelity(teacher: &Model, student: &Model, rows: &[Vec<TokenId>], rt: &Runtime) -> Result<Fidelity, DistillError> {
    let vocab = teacher.vocab_size();
    if vocab != student.vocab_size() {
        return Err(DistillError::Data(format!(
            "laws over {vocab} and {} tokens cannot be compared; teacher and student must share a tokenizer",
            student.vocab_size()
        )));
    }
    let mut found = Vec::with_capacity(rows.len());
    let mut rest = rows;
    while !rest.is_empty() {
        let mut laws = 0;
        let fits = |row: &&Vec<TokenId>| {
            laws += row.len().saturating_sub(1);
            laws * vocab * size_of::<f32>() <= BUFFER_BYTES
        };
        let (chunk, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        found.extend(compare(teacher, student, chunk, rt)?);
        rest = later;
    }
    Ok(Fidelity { rows: found })
}

fn compare(teacher: &Model, student: &Model, rows: &[Vec<TokenId>], rt: &Runtime) -> Result<Vec<RowFidelity>, DistillError> {
    let vocab = teacher.vocab_size();
    let asked: Vec<Row<'_>> = rows.iter().map(|ids| all_laws(ids)).collect();
    let laws: Vec<Mutex<Vec<f32>>> = asked.iter().map(|r| Mutex::new(vec![0.0; r.laws.len() * vocab])).collect();
    lm::for_each_law(teacher, &asked, rt, &|row, i, logits| {
        vecmath::log_softmax_in_place(logits);
        locked(&laws[row])[(i - 1) * vocab..][..vocab].copy_from_slice(logits);
    })?;
    let terms: Vec<Mutex<Vec<(f64, bool)>>> = asked.iter().map(|r| Mutex::new(vec![(0.0, false); r.laws.len()])).collect();
    lm::for_each_law(student, &asked, rt, &|row, i, logits| {
        vecmath::log_softmax_in_place(logits);
        let laws = locked(&laws[row]);
        let teacher = &laws[(i - 1) * vocab..][..vocab];
        locked(&terms[row])[i - 1] = (kl(teacher, logits), argmax(teacher) == argmax(logits));
    })?;
    let sum = |terms: Mutex<Vec<(f64, bool)>>| {
        let terms = terms.into_inner().unwrap_or_else(PoisonError::into_inner);
        RowFidelity {
            positions: terms.len() as u64,
            kl_nats: terms.iter().map(|t| t.0).sum(),
            agreed: terms.iter().filter(|t| t.1).count() as u64,
        }
    };
    Ok(terms.into_iter().map(sum).collect())
}

/// How well one row of text is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RowLikelihood {
    /// Tokens predicted: all but the first.
    pub tokens: u64,
    /// Their negative natural-log probability, summed.
    pub nats: f64,
}

/// Held-out loss, row by row; the rows are the units for an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// One entry per document, in order.
    pub rows: Vec<RowLikelihood>,
}

impl HeldOut {
    /// Mean over all predicted tokens.
    pub fn nats_per_token(&self) -> f64 {
        self.rows.iter().map(|r| r.nats).sum::<f64>() / self.rows.iter().map(|r| r.tokens).sum::<u64>() as f64
    }
}

/// Loss of `model` on documents (each with its beginning token, if the model has one), cut to the model's context.
///
/// # Errors
/// When a document does not fit the model or the work is cancelled.
pub fn held_out(model: &Model, documents: &[Vec<TokenId>], rt: &Runtime) -> Result<HeldOut, DistillError> {
    let rows: Vec<Row<'_>> = documents.iter().map(|d| all_laws(&d[..d.len().min(model.context_length())])).collect();
    losses(model, &rows, rt)
}

/// Loss of `model` on the answers of `exchanges`, each after its prompt.
///
/// # Errors
/// When an exchange does not fit the model or the work is cancelled.
pub fn answers(model: &Model, exchanges: &[Exchange], rt: &Runtime) -> Result<HeldOut, DistillError> {
    let texts: Vec<Vec<TokenId>> = exchanges.iter().map(|e| [&e.query.prompt[..], &e.answer].concat()).collect();
    let rows = texts.iter().zip(exchanges).map(|(text, e)| Row { ids: text, laws: e.query.prompt.len()..text.len() });
    losses(model, &rows.collect::<Vec<_>>(), rt)
}

/// Loss of `model` on the tokens that `rows` ask laws of.
fn losses(model: &Model, rows: &[Row<'_>], rt: &Runtime) -> Result<HeldOut, DistillError> {
    let losses: Vec<Mutex<Vec<f64>>> = rows.iter().map(|r| Mutex::new(vec![0.0; r.laws.len()])).collect();
    lm::for_each_law(model, rows, rt, &|row, i, logits| {
        let token = rows[row].ids[i] as usize;
        locked(&losses[row])[i - rows[row].laws.start] = f64::from(vecmath::log_sum_exp(logits)) - f64::from(logits[token]);
    })?;
    let sum = |losses: Mutex<Vec<f64>>| {
        let losses = losses.into_inner().unwrap_or_else(PoisonError::into_inner);
        RowLikelihood { tokens: losses.len() as u64, nats: losses.iter().sum() }
    };
    Ok(HeldOut { rows: losses.into_iter().map(sum).collect() })
}

/// All laws of a row but that of its first token.
fn all_laws(ids: &[TokenId]) -> Row<'_> {
    Row { ids, laws: 1..ids.len().max(1) }
}

/// The rows' threads never panic while they hold a lock, so a poisoned one cannot be half written.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// KL(q || p) of two rows of log-probabilities, nats.
fn kl(log_q: &[f32], log_p: &[f32]) -> f64 {
    let mut q = log_q.to_vec();
    vecmath::exp_in_place(&mut q);
    let terms = q.iter().zip(log_q).zip(log_p).filter(|((q, _), _)| **q > 0.0);
    terms.map(|((&q, &log_q), &log_p)| f64::from(q) * (f64::from(log_q) - f64::from(log_p))).sum()
}

/// Index of the largest value, the first of equal ones.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests;
