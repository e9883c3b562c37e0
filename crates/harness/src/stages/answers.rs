use distill::{Counts, ExchangeStream, TranscriptFiles};
use store::Hash;

/// The answers of one server to a whole stream of queries.
pub struct Transcript {
    /// Names the stream, however long: a budget of it is the same in every longer one.
    pub hash: Hash,
    /// Names the model that answered.
    pub teacher: Hash,
    /// The shards, on disk.
    pub files: TranscriptFiles,
    counts: Vec<Counts>,
}

impl Transcript {
    /// The transcript called `hash` that `teacher` answered, with what each of its shards holds.
    pub fn new(hash: Hash, teacher: Hash, files: TranscriptFiles, counts: Vec<Counts>) -> Self {
        Self { hash, teacher, files, counts }
    }

    /// What the first `budget` exchanges hold.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn counts(&self, budget: u64) -> anyhow::Result<Counts> {
        let mut sum = Counts::default();
        for (i, (range, counts)) in distill::shards(self.files.len(), self.files.shard_len()).zip(&self.counts).enumerate() {
            if range.end <= budget {
                sum += *counts;
            } else if range.start < budget {
                let shard = self.files.shard(i as u64)?;
                sum += Counts::of(shard.iter().take(usize::try_from(budget - range.start)?));
            }
        }
        Ok(sum)
    }
}
