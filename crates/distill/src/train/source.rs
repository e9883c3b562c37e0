use kernels::RowLoss;
use lm::Batch;

use crate::error::DistillError;

/// One shard of one step: rows, the loss on them, and its share in the step's mean.
pub struct ShardBatch {
    /// Token ids, (rows, time); no rows is allowed.
    pub batch: Batch,
    /// The loss, as a sum over the shard's positions.
    pub loss: Box<dyn RowLoss + Send + Sync>,
    /// The step's loss is the sum of the shards' losses over the sum of their weights; normally the number of scored positions.
    pub weight: f64,
    /// Tokens fed, padding left out: what compute is counted in.
    pub tokens: u64,
}

/// Training data as a pure function of (step, shard): nothing is consumed, so a training can be resumed or branched anywhere.
pub trait BatchSource: Sync {
    /// Shard `shard` of step `step`, both from 0.
    ///
    /// # Errors
    /// When the data end before the step, or a live teacher fails.
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError>;
}

/// Training batch from rows of different lengths: padded on the right with token 0, which no scored position can see.
/// `inputs` holds each row's tokens; returns the batch, its `time` being the longest row's length.
pub(crate) fn pad_rows(inputs: &[&[u32]]) -> Batch {
    let time = inputs.iter().map(|r| r.len()).max().unwrap_or(0);
    let mut ids = vec![0; inputs.len() * time];
    for (row, tokens) in inputs.iter().enumerate() {
        ids[row * time..][..tokens.len()].copy_from_slice(tokens);
    }
    Batch { ids, rows: inputs.len(), time }
}

/// Number of whole steps of `batch_rows` rows before row `row` is reached: how far two trainings that differ only from that row
/// on can share a trunk.
pub fn first_steps(row: u64, batch_rows: usize) -> u64 {
    row / batch_rows as u64
}
