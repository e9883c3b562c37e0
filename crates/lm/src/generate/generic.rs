//! Generation by candle operations, for any architecture: rows with equally long prompts advance together.

use std::collections::BTreeMap;

use candle_core::Tensor;
use oracle::{Exchange, Query, TokenId};
use rayon::prelude::*;

use super::answer::{Answer, Job};
use crate::arch::{KvCache, Weights};
use crate::draw::Drawer;
use crate::runtime::RunError;

/// Rows of every block; blocks with fewer answers are filled up, because the matrix products of candle choose their kernel,
/// and with it the bits of a row, by the number of rows.
const ROWS: usize = 16;

pub(super) fn answer(job: &Job<'_>, queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let weights = Weights::constant(job.model.layout(), job.model.weights(), &job.rt.device)?;
    let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        by_length.entry(query.prompt.len()).or_default().push(at);
    }
    let blocks: Vec<&[usize]> = by_length.values().flat_map(|list| list.chunks(ROWS)).collect();
    let answered: Vec<Vec<Exchange>> =
        job.rt.pool.install(|| blocks.par_iter().map(|block| work(job, &weights, queries, block)).collect::<Result<_, _>>())?;
    let mut answers: Vec<(usize, Exchange)> = blocks.into_iter().flatten().copied().zip(answered.into_iter().flatten()).collect();
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, exchange)| exchange).collect())
}

/// Answers the queries at `block`, whose prompts are equally long.
fn work(job: &Job<'_>, weights: &Weights, queries: &[Query], block: &[usize]) -> Result<Vec<Exchange>, RunError> {
    let _turn = job.rt.device.turn();
    let arch = job.model.config().arch();
    let mut answers: Vec<Answer<'_>> = block.iter().map(|at| Answer::new(&queries[*at])).collect();
    let mut cache = KvCache::new();
    let mut drawer = Drawer::default();
    while answers.iter().any(|answer| answer.stop.is_none()) {
        job.rt.check_cancelled()?;
        // Rows beyond the answers repeat the first; rows that have ended go on with token 0, unread.
        let seen = cache.seen();
        let time = if seen == 0 { answers[0].tokens.len() } else { 1 };
        let ids: Vec<TokenId> = (0..ROWS)
            .flat_map(|row| {
                let tokens = &answers.get(row).unwrap_or(&answers[0]).tokens;
                (seen..seen + time).map(move |t| tokens.get(t).copied().unwrap_or(0))
            })
            .collect();
        let ids = Tensor::from_vec(ids, (ROWS, time), weights.device())?;
        let hidden = arch.hidden(weights, &ids, Some(&mut cache))?;
        let last = hidden.narrow(1, time - 1, 1)?.squeeze(1)?.contiguous()?;
        let mut logits = arch.logits(weights, &last)?.flatten_all()?.to_vec1::<f32>()?;
        let mut made = 0;
        for (answer, row) in answers.iter_mut().zip(logits.chunks_exact_mut(arch.vocab_size())) {
            if answer.stop.is_none() {
                answer.push(job, row, &mut drawer)?;
                made += 1;
            }
        }
        (job.progress)(made);
    }
    Ok(answers.into_iter().map(Answer::finish).collect())
}
