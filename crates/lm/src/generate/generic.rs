//! Generation for any architecture: rows with equally long prompts advance together, by candle operations or, where a fused model
//! has a companion that is not, by the fused kernels.

use std::collections::BTreeMap;

use oracle::{Exchange, Query, TokenId};
use rayon::prelude::*;

use super::answer::{Answer, Job, most_read};
use super::reader::Prepared;
use crate::draw::Drawer;
use crate::runtime::RunError;

/// Rows of every block; blocks with fewer answers are filled up, because the matrix products of candle choose their kernel,
/// and with it the bits of a row, by the number of rows.
const ROWS: usize = 16;

pub(super) fn answer(job: &Job<'_>, queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let models: Vec<Prepared<'_>> = job.models().map(|model| Prepared::new(model, job.rt)).collect::<Result<_, _>>()?;
    let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, query) in queries.iter().enumerate() {
        by_length.entry(query.prompt.len()).or_default().push(at);
    }
    let blocks: Vec<&[usize]> = by_length.values().flat_map(|list| list.chunks(ROWS)).collect();
    let answered: Vec<Vec<Exchange>> =
        job.rt.pool.install(|| blocks.par_iter().map(|block| work(job, &models, queries, block)).collect::<Result<_, _>>())?;
    let mut answers: Vec<(usize, Exchange)> = blocks.into_iter().flatten().copied().zip(answered.into_iter().flatten()).collect();
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, exchange)| exchange).collect())
}

/// Answers the queries at `block`, whose prompts are equally long.
fn work(job: &Job<'_>, models: &[Prepared<'_>], queries: &[Query], block: &[usize]) -> Result<Vec<Exchange>, RunError> {
    let _turn = job.rt.device.turn();
    let vocab = job.model.vocab_size();
    let longest = block.iter().map(|at| most_read(job.model, &queries[*at])).max().unwrap_or(0);
    let mut answers: Vec<Answer<'_>> = block.iter().map(|at| Answer::new(&queries[*at])).collect();
    let mut readers: Vec<_> = models.iter().map(|model| model.reader(block.len(), longest)).collect();
    let mut drawer = Drawer::default();
    let mut seen = 0;
    while answers.iter().any(|answer| answer.stop.is_none()) {
        job.rt.check_cancelled()?;
        // Rows beyond the answers repeat the first; rows that have ended go on with token 0, unread.
        let time = if seen == 0 { answers[0].tokens.len() } else { 1 };
        let ids: Vec<TokenId> = (0..ROWS)
            .flat_map(|row| {
                let tokens = &answers.get(row).unwrap_or(&answers[0]).tokens;
                (seen..seen + time).map(move |t| tokens.get(t).copied().unwrap_or(0))
            })
            .collect();
        seen += time;
        let mut laws = Vec::with_capacity(readers.len());
        for reader in &mut readers {
            laws.push(reader.read(&ids, time)?);
        }
        let Some((own, beside)) = laws.split_first_mut() else { break };
        let mut made = 0;
        for (row, (answer, logits)) in answers.iter_mut().zip(own.chunks_exact_mut(vocab)).enumerate() {
            if answer.stop.is_none() {
                let companions: Vec<&[f32]> = beside.iter().map(|law| &law[row * vocab..][..vocab]).collect();
                answer.push(job, logits, &companions, &mut drawer)?;
                made += 1;
            }
        }
        (job.progress)(made);
    }
    Ok(answers.into_iter().map(Answer::finish).collect())
}
