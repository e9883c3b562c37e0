//! Generation by `kernels::llama::Decoder`: each worker keeps a set of slots busy, refilled as answers end.

use std::ops::Range;

use kernels::llama::{Decoder, LlamaShape, PackedWeights};
use oracle::{Exchange, Query, TokenId};
use rayon::prelude::*;

use super::answer::{Answer, Job, most_read, shares};
use crate::draw::Drawer;
use crate::runtime::RunError;

/// Bytes of keys and values a worker may hold; larger models get fewer slots.
const CACHE_BYTES: usize = 512 << 20;

/// A model's shape and weights.
type Fused<'a> = (&'a LlamaShape, PackedWeights);

/// `shapes`: those of the model and its companions.
pub(super) fn answer(job: &Job<'_>, shapes: &[LlamaShape], queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let models: Vec<Fused<'_>> =
        shapes.iter().zip(job.models()).map(|(shape, model)| (shape, PackedWeights::new(shape, model.weights()))).collect();
    let answers: Vec<Vec<Exchange>> = job.rt.pool.install(|| {
        shares(queries.len(), job.rt.threads())
            .into_par_iter()
            .map(|share: Range<usize>| work(job, &models, &queries[share]))
            .collect::<Result<_, _>>()
    })?;
    Ok(answers.concat())
}

fn work(job: &Job<'_>, models: &[Fused<'_>], queries: &[Query]) -> Result<Vec<Exchange>, RunError> {
    let max_time = queries.iter().map(|query| most_read(job.model, query)).max().unwrap_or(0);
    let bytes = |shape: &LlamaShape| max_time * shape.layers * shape.kv_heads * shape.head_dim * 2 * size_of::<f32>();
    let bytes_per_row = models.iter().map(|(shape, _)| bytes(shape)).sum::<usize>();
    let advised = || models.iter().map(|(shape, _)| Decoder::advised_rows(shape, max_time)).min().unwrap_or(1);
    let rows = job.rt.decode_rows.unwrap_or_else(advised);
    let slots = (CACHE_BYTES / bytes_per_row.max(1)).clamp(1, rows).min(queries.len());
    let vocab = job.model.vocab_size();
    let mut decoders: Vec<Decoder> = models.iter().map(|(shape, _)| Decoder::new(shape, slots, max_time)).collect();
    let mut logits = vec![vec![0.0; slots * vocab]; models.len()];
    let mut finished: Vec<Option<Exchange>> = vec![None; queries.len()];
    let mut busy: Vec<Option<(usize, Answer<'_>)>> = (0..slots).map(|_| None).collect();
    let mut waiting = queries.iter().enumerate();
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
                decoders.iter_mut().for_each(|decoder| decoder.reset(slot));
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
        for (decoder, (_, weights)) in decoders.iter_mut().zip(models) {
            decoder.prefill_batch(weights, &prompts);
        }
        let rows: Vec<(usize, TokenId)> = busy
            .iter()
            .enumerate()
            .filter_map(|(slot, place)| place.as_ref().and_then(|(_, answer)| Some((slot, *answer.tokens.last()?))))
            .collect();
        if rows.is_empty() {
            break;
        }
        let (step_slots, tokens): (Vec<usize>, Vec<TokenId>) = rows.into_iter().unzip();
        for ((decoder, (_, weights)), logits) in decoders.iter_mut().zip(models).zip(&mut logits) {
            decoder.step(weights, &step_slots, &tokens, &mut logits[..tokens.len() * vocab]);
        }
        let Some((own, beside)) = logits.split_first_mut() else { break };
        for (row, (slot, logits)) in step_slots.iter().zip(own.chunks_exact_mut(vocab)).enumerate() {
            let Some((at, mut answer)) = busy[*slot].take() else { continue };
            let companions: Vec<&[f32]> = beside.iter().map(|law| &law[row * vocab..][..vocab]).collect();
            answer.push(job, logits, &companions, &mut drawer)?;
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
