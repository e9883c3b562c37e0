use distill::{Counts, ExchangeStream, TranscriptFiles};
use oracle::Exchange;
use store::Hash;

/// The answers of one server to a whole stream of queries.
pub struct Transcript {
    /// Names the stream, however long: a budget of it is the same in every longer one.
    pub hash: Hash,
    /// Names the model that answered.
    pub teacher: Hash,
    /// The shards, on disk.
    pub files: TranscriptFiles,
    /// Directories of the artifacts that hold them, in the order of the stream: one for each shard, or one for all.
    places: Vec<String>,
    counts: Vec<Counts>,
}

impl Transcript {
    /// The transcript called `hash` that `teacher` answered, kept in `places`, with what each of its shards holds.
    pub fn new(hash: Hash, teacher: Hash, files: TranscriptFiles, places: Vec<String>, counts: Vec<Counts>) -> Self {
        Self { hash, teacher, files, places, counts }
    }

    /// Directories of the artifacts that hold its first `budget` exchanges.
    pub fn places(&self, budget: u64) -> &[String] {
        let shards = usize::try_from(budget.div_ceil(self.files.shard_len())).unwrap_or(usize::MAX);
        &self.places[..self.places.len().min(shards)]
    }

    /// The first `n` exchanges, or all where there are fewer.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn first(&self, n: u64) -> anyhow::Result<Vec<Exchange>> {
        let n = usize::try_from(n.min(self.files.len()))?;
        let mut exchanges = Vec::with_capacity(n);
        for shard in 0.. {
            if exchanges.len() >= n {
                break;
            }
            let shard = self.files.shard(shard)?;
            exchanges.extend(shard.iter().take(n - exchanges.len()).cloned());
        }
        Ok(exchanges)
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
