//! Generation by `kernels::llama::Decoder`: each worker keeps a set of slots busy, refilled as answers end.

use std::ops::Range;

use kernels::llama::{Decoder, LlamaShape, PackedWeights};
use oracle::{Exchange, Query, TokenId};
use rayon::prelude::*;

use super::answer::{Answer, Job, shares};
use crate::draw::Drawer;
use crate::runtime::RunError;

/// Bytes of keys and values a worker may hold; larger models get fewer slots.
const CACHE_BYTES: usize = 512 << 20;

pub(super) fn answer(job: &Job<'_>, shape: &LlamaShape, queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let weights = PackedWeights::new(shape, job.model.weights());
    let answers: Vec<Vec<Exchange>> = job.rt.pool.install(|| {
        shares(queries.len(), job.rt.threads())
            .into_par_iter()
            .map(|share: Range<usize>| work(job, shape, &weights, &queries[share]))
            .collect::<Result<_, _>>()
    })?;
    Ok(answers.concat())
}

fn work(job: &Job<'_>, shape: &LlamaShape, weights: &PackedWeights, queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let longest = queries.iter().map(|query| query.prompt.len().saturating_add(query.max_new_tokens)).max().unwrap_or(0);
    let max_time = longest.min(job.model.context_length());
    let bytes_per_row = max_time * shape.layers * shape.kv_heads * shape.head_dim * 2 * size_of::<f32>();
    let rows = job.rt.decode_rows.unwrap_or_else(|| Decoder::advised_rows(shape, max_time));
    let slots = (CACHE_BYTES / bytes_per_row.max(1)).clamp(1, rows).min(queries.len());
    let mut decoder = Decoder::new(shape, slots, max_time);
    let mut finished: Vec<Option<Exchange>> = vec![None; queries.len()];
    let mut busy: Vec<Option<(usize, Answer<'_>)>> = (0..slots).map(|_| None).collect();
    let mut waiting = queries.iter().enumerate();
    let mut logits = vec![0.0; slots * shape.vocab];
    let mut drawer = Drawer::default();
    loop {
        job.rt.check_cancelled()?;
        let mut prompts: Vec<(usize, &[TokenId])> = Vec::new();
        for (slot, place) in busy.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            for (at, query) in waiting.by_ref() {
                let answer = Answer::new(query);
                if answer.stop.is_some() {
                    finished[at] = Some(answer.finish());
                    continue;
                }
                decoder.reset(slot);
                // The last token of the prompt goes through `step`, which gives the first law.
                if let [start @ .., _] = query.prompt.as_slice()
                    && !start.is_empty()
                {
                    prompts.push((slot, start));
                }
                *place = Some((at, answer));
                break;
            }
        }
        decoder.prefill_batch(weights, &prompts);
        let rows: Vec<(usize, TokenId)> = busy
            .iter()
            .enumerate()
            .filter_map(|(slot, place)| place.as_ref().and_then(|(_, answer)| Some((slot, *answer.tokens.last()?))))
            .collect();
        if rows.is_empty() {
            break;
        }
        let (step_slots, tokens): (Vec<usize>, Vec<TokenId>) = rows.into_iter().unzip();
        let logits = &mut logits[..tokens.len() * shape.vocab];
        decoder.step(weights, &step_slots, &tokens, logits);
        for (slot, row) in step_slots.iter().zip(logits.chunks_exact_mut(shape.vocab)) {
            let Some((at, mut answer)) = busy[*slot].take() else { continue };
            answer.push(job, row, &mut drawer)?;
            if answer.stop.is_some() {
                finished[at] = Some(answer.finish());
            } else {
                busy[*slot] = Some((at, answer));
            }
        }
        (job.progress)(tokens.len() as u64);
    }
    Ok(finished.into_iter().flatten().collect())
}
