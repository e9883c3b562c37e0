//! The inside of a model, for whoever may see it.

use std::sync::Arc;

use candle_core::Tensor;
use oracle::{Matrix, OpenModel, OracleError, Role, TokenId};
use rayon::prelude::*;

use crate::arch::Weights;
use crate::laws::{Block, GENERIC_TOKENS, Row, blocks, by_length};
use crate::model::Model;
use crate::runtime::{RunError, Runtime};

/// A model and where it is computed. States come from the generic path on any architecture: the fused kernels keep none.
///
/// [`Role::Embedding`] is the table as checkpoints hold it: a factor that an architecture puts on it (Gemma) shows in the states only.
#[derive(Clone)]
pub struct Opened {
    /// The model.
    pub model: Arc<Model>,
    /// Where and how it is computed.
    pub runtime: Arc<Runtime>,
}

impl OpenModel for Opened {
    fn layers(&self) -> usize {
        self.model.config().arch().decoder().blocks.len()
    }

    /// Bits do not depend on the other texts or the number of threads, as in [`for_each_law`](crate::for_each_law).
    fn hidden(&self, texts: &[Vec<TokenId>], layer: usize) -> Result<Matrix, OracleError> {
        Ok(hidden(&self.model, texts, layer, &self.runtime)?)
    }

    fn weight(&self, role: Role, layer: usize) -> Option<Matrix> {
        self.model.config().arch().decoder().weight(role, layer, self.model.layout(), self.model.weights())
    }
}

impl From<RunError> for OracleError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Cancelled => Self::Cancelled,
            other => Self::Model(other.to_string()),
        }
    }
}

fn hidden(model: &Model, texts: &[Vec<TokenId>], layer: usize, rt: &Runtime) -> Result<Matrix, RunError> {
    let decoder = model.config().arch().decoder();
    let (layers, width) = (decoder.blocks.len(), decoder.hidden_size);
    if layer > layers {
        return Err(RunError::Input(format!("layer {layer}: the model has {layers}; ask for the states of 0 to {layers}")));
    }
    let rows: Vec<Row<'_>> = texts.iter().map(|ids| Row { ids, laws: 1..ids.len() + 1 }).collect();
    let by_length = by_length(&[(model, "model")], &rows)?;
    let blocks = blocks(&rows, &by_length, GENERIC_TOKENS);
    let weights = Weights::constant(model.layout(), model.weights(), &rt.device)?;
    let states = |block: &Block<'_>| {
        let Block { count, time, .. } = *block;
        let _turn = rt.device.turn();
        rt.check_cancelled()?;
        let ids = Tensor::from_vec(block.ids(count), (count, time), weights.device())?;
        decoder.states(&weights, &ids, layer)?.flatten_all()?.to_vec1::<f32>().map_err(RunError::from)
    };
    let computed: Vec<Vec<f32>> = rt.pool.install(|| blocks.par_iter().map(states).collect::<Result<_, _>>())?;
    let mut starts = Vec::with_capacity(texts.len());
    let mut tokens = 0;
    for text in texts {
        starts.push(tokens * width);
        tokens += text.len();
    }
    let mut data = vec![0.0; tokens * width];
    for (block, states) in blocks.iter().zip(computed) {
        for (text, states) in block.members.iter().zip(states.chunks_exact(block.time * width)) {
            data[starts[*text]..][..states.len()].copy_from_slice(states);
        }
    }
    Ok(Matrix { rows: tokens, cols: width, data })
}
