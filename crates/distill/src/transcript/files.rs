use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use oracle::Exchange;

use super::{ExchangeStream, read_parquet};
use crate::error::DistillError;

/// Shards held in memory: the one being read from, its neighbour when a batch lies across both, and the one read ahead.
const HELD: usize = 3;

/// A transcript on disk, one Parquet file a shard, of which a few are held in memory.
///
/// Clones share what is held.
#[derive(Debug, Clone)]
pub struct TranscriptFiles {
    files: Arc<Files>,
    len: u64,
}

#[derive(Debug)]
struct Files {
    paths: Vec<PathBuf>,
    shard_len: u64,
    /// Whether exchanges of the stream may be left out.
    gaps: bool,
    held: Mutex<VecDeque<(u64, Slot)>>,
}

/// A shard once it is there; whoever asks first reads it under the lock while the others wait.
type Slot = Arc<Mutex<Option<Arc<Vec<Exchange>>>>>;

impl TranscriptFiles {
    /// The transcript of `len` exchanges in `paths`, each of `shard_len` exchanges but the last.
    pub fn new(paths: Vec<PathBuf>, shard_len: u64, len: u64) -> Self {
        Self { files: Arc::new(Files { paths, shard_len: shard_len.max(1), gaps: false, held: Mutex::default() }), len }
    }

    /// The same with some exchanges of the stream left out: shards then begin with any query.
    pub fn with_gaps(paths: Vec<PathBuf>, shard_len: u64, len: u64) -> Self {
        let files = Files { paths, shard_len: shard_len.max(1), gaps: true, held: Mutex::default() };
        Self { files: Arc::new(files), len }
    }

    /// The first `budget` exchanges of it.
    #[must_use]
    pub fn prefix(&self, budget: u64) -> Self {
        Self { files: self.files.clone(), len: budget.min(self.len) }
    }
}

impl Files {
    fn holds(&self, index: u64) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(i, _)| *i == index)
    }

    fn slot(&self, index: u64) -> Slot {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().position(|(i, _)| *i == index).and_then(|at| held.remove(at));
        let entry = found.unwrap_or_else(|| (index, Slot::default()));
        let slot = entry.1.clone();
        held.push_back(entry);
        while held.len() > HELD {
            held.pop_front();
        }
        slot
    }

    fn shard(&self, index: u64) -> Result<Arc<Vec<Exchange>>, DistillError> {
        let slot = self.slot(index);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = &*slot {
            return Ok(shard.clone());
        }
        let shard = Arc::new(self.read(index)?);
        *slot = Some(shard.clone());
        Ok(shard)
    }

    fn read(&self, index: u64) -> Result<Vec<Exchange>, DistillError> {
        let path = usize::try_from(index).ok().and_then(|i| self.paths.get(i));
        let path = path.ok_or_else(|| DistillError::Data(format!("there is no shard {index}")))?;
        let exchanges = read_parquet(path)?;
        let first = index * self.shard_len;
        if !self.gaps && exchanges.first().is_some_and(|exchange| exchange.query.index != first) {
            return Err(DistillError::file(path, format!("does not begin with query {first}; delete it, it is written again")));
        }
        Ok(exchanges)
    }
}

impl ExchangeStream for TranscriptFiles {
    fn len(&self) -> u64 {
        self.len
    }

    fn shard_len(&self) -> u64 {
        self.files.shard_len
    }

    fn shard(&self, index: u64) -> Result<Arc<Vec<Exchange>>, DistillError> {
        self.files.shard(index)
    }

    fn prefetch(&self, index: u64) {
        if index >= self.files.paths.len() as u64 || self.files.holds(index) {
            return;
        }
        let files = self.files.clone();
        // a thread of its own, as the workers are busy; an error is met again by whoever needs the shard
        std::thread::spawn(move || files.shard(index).map(drop));
    }
}
