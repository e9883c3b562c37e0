use oracle::{Exchange, Query, Sampling, Stop, TokenId};

use crate::distill_source::DistillSource;
use crate::error::DistillError;
use crate::loss::ScaledLoss;
use crate::train::{BatchSource, ShardBatch};

/// Shards of either kind of rows.
pub(crate) const SHARDS: usize = 2;

/// Two kinds of rows in every batch: the first in the first shards, the second in the others, each with its stated share of the
/// loss, whatever the number of its tokens. Either source is planned for [`SHARDS`] shards.
pub struct Mixture<'a> {
    pub(crate) first: DistillSource<'a>,
    pub(crate) second: DistillSource<'a>,
    /// The first kind's share of the loss.
    pub(crate) share: f64,
}

impl BatchSource for Mixture<'_> {
    fn shard(&self, step: u64, shard: usize) -> Result<ShardBatch, DistillError> {
        let (source, shard, share) =
            if shard < SHARDS { (&self.first, shard, self.share) } else { (&self.second, shard - SHARDS, 1.0 - self.share) };
        let batch = source.shard(step, shard)?;
        let factor = share / source.answer_positions(step)?.max(1) as f64;
        Ok(ShardBatch { weight: factor * batch.weight, loss: Box::new(ScaledLoss { inner: batch.loss, factor }), ..batch })
    }
}

/// `answer` to `prompt`, as the law itself would have drawn it.
pub(crate) fn as_exchange(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.to_vec(), answer.len()) };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

/// Rows of ordinary text as answers to their first token.
///
/// # Errors
/// When a row has fewer than two tokens.
pub(crate) fn ordinary_rows(rows: &[Vec<TokenId>]) -> Result<Vec<Exchange>, DistillError> {
    if let Some(short) = rows.iter().position(|row| row.len() < 2) {
        return Err(DistillError::Data(format!("ordinary row {short} has fewer than 2 tokens")));
    }
    Ok(rows.iter().map(|row| as_exchange(&row[..1], &row[1..])).collect())
}
