//! One model reading equally long rows, token by token or many at once, by the path that its architecture allows.

use candle_core::Tensor;
use kernels::llama::{Decoder, LlamaShape, PackedWeights};
use oracle::TokenId;

use crate::arch::{Arch, KvCache, Weights};
use crate::model::Model;
use crate::runtime::{RunError, Runtime};

/// A model's weights in the form that its path reads.
pub(super) enum Prepared<'a> {
    Fused(LlamaShape, Box<PackedWeights>),
    Generic(&'a dyn Arch, Weights),
}

impl<'a> Prepared<'a> {
    pub(super) fn new(model: &'a Model, rt: &Runtime) -> Result<Self, RunError> {
        let arch = model.config().arch();
        Ok(match rt.fused(arch) {
            Some(shape) => {
                let weights = Box::new(PackedWeights::new(&shape, model.weights()));
                Self::Fused(shape, weights)
            }
            None => Self::Generic(arch, Weights::constant(model.layout(), model.weights(), &rt.device)?),
        })
    }

    /// A reader of `rows` rows of at most `max_time` tokens.
    pub(super) fn reader(&self, rows: usize, max_time: usize) -> Reader<'_> {
        match self {
            Self::Fused(shape, weights) => {
                let decoder = Box::new(Decoder::new(shape, rows, max_time));
                Reader::Fused { decoder, weights, vocab: shape.vocab, rows }
            }
            Self::Generic(arch, weights) => Reader::Generic { arch: *arch, weights, cache: KvCache::new() },
        }
    }
}

/// What a model has read of some rows.
pub(super) enum Reader<'a> {
    Fused { decoder: Box<Decoder>, weights: &'a PackedWeights, vocab: usize, rows: usize },
    Generic { arch: &'a dyn Arch, weights: &'a Weights, cache: KvCache },
}

impl Reader<'_> {
    /// Reads `time` more tokens of every row, `ids` being (block, time) with at least as many rows as the reader has: raw logits
    /// (rows, vocab) after the last of them, possibly of more rows.
    pub(super) fn read(&mut self, ids: &[TokenId], time: usize) -> Result<Vec<f32>, RunError> {
        match self {
            Self::Fused { decoder, weights, vocab, rows } => {
                let tokens = || ids.chunks_exact(time).take(*rows);
                if time > 1 {
                    let starts: Vec<(usize, &[TokenId])> = tokens().map(|row| &row[..time - 1]).enumerate().collect();
                    decoder.prefill_batch(weights, &starts);
                }
                let slots: Vec<usize> = (0..*rows).collect();
                let last: Vec<TokenId> = tokens().map(|row| row[time - 1]).collect();
                let mut logits = vec![0.0; *rows * *vocab];
                decoder.step(weights, &slots, &last, &mut logits);
                Ok(logits)
            }
            Self::Generic { arch, weights, cache } => {
                let ids = Tensor::from_slice(ids, (ids.len() / time, time), weights.device())?;
                let hidden = arch.hidden(weights, &ids, Some(cache))?;
                let last = hidden.narrow(1, time - 1, 1)?.squeeze(1)?.contiguous()?;
                Ok(arch.logits(weights, &last)?.flatten_all()?.to_vec1::<f32>()?)
            }
        }
    }
}
