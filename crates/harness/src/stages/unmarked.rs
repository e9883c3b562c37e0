use ::marks::ContextCounts;
use distill::{ExchangeStream, TranscriptFiles};
use serde_json::{Value, json};

use crate::stages::Context;
use crate::stages::answers::Transcript;

/// The clean twin's answers to the queries that were paid for: what an owner knows of a student's reading without knowing a key.
pub struct Unmarked {
    files: TranscriptFiles,
    identity: Value,
}

impl Unmarked {
    /// The first `budget` exchanges of `transcript`.
    pub fn new(transcript: &Transcript, budget: u64) -> Self {
        Self { files: transcript.files.prefix(budget), identity: json!([transcript.hash, budget]) }
    }

    /// Names them; the same in every longer transcript.
    pub fn identity(&self) -> &Value {
        &self.identity
    }

    /// Counts the contexts of `counts` in them, shard by shard.
    ///
    /// # Errors
    /// When a shard cannot be read, or the work is cancelled.
    pub fn count(&self, ctx: &Context<'_>, counts: &mut ContextCounts) -> anyhow::Result<()> {
        for (shard, range) in (0..).zip(distill::shards(self.files.len(), self.files.shard_len())) {
            ctx.rt.check_cancelled()?;
            let exchanges = self.files.shard(shard)?;
            if range.end < self.files.len() {
                self.files.prefetch(shard + 1);
            }
            let paid = usize::try_from(range.end - range.start)?;
            exchanges.iter().take(paid).for_each(|exchange| counts.add(&exchange.answer));
        }
        Ok(())
    }
}
