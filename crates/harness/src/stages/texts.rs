use std::sync::Arc;

use corpus::{FileError, FileTexts, Opening, Split, Task, TaskKind, Texts, from_file_unless, grammar};
use lm::{RunError, Runtime};
use store::Hash;

use crate::exit::UsageError;
use crate::resolve::CorpusSource;
use crate::seeds::seed_for;

/// Where texts come from. A grammar gives every purpose a stream of its own; the rows of a file are shared out over the
/// splits once, the same way for every purpose and repetition, because they must not meet, and each reads them from a
/// place of its own.
pub struct Sources {
    source: CorpusSource,
    file: Option<Arc<FileTexts>>,
    identity: Hash,
}

impl Sources {
    /// Opens the corpus; a file is read whole.
    ///
    /// # Errors
    /// When the file is not what it should be, or the work is cancelled.
    pub fn open(source: &CorpusSource, rt: &Runtime) -> anyhow::Result<Self> {
        let file = match source {
            CorpusSource::Grammar(_) => None,
            CorpusSource::File { path, column, .. } => {
                let read = from_file_unless(path, column, seed_for(0, "rows"), &|| rt.check_cancelled().is_err());
                Some(Arc::new(match read {
                    Err(FileError::Stopped { .. }) => return Err(RunError::Cancelled.into()),
                    read => read?,
                }))
            }
        };
        let identity = store::hash_json(&(source, corpus::REVISION))?;
        Ok(Self { source: source.clone(), file, identity })
    }

    /// Names the corpus: what texts are made from it is decided by this and a seed.
    pub fn identity(&self) -> Hash {
        self.identity
    }

    /// One line in words.
    pub fn describe(&self) -> anyhow::Result<String> {
        Ok(self.of(0)?.describe())
    }

    /// Refuses a file that would give the same document twice where each counts once.
    ///
    /// # Errors
    /// Naming the key, how much is asked and how much there is.
    pub fn check(&self, held_out_documents: u64, largest_budget: u64) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        for (key, asked, split) in [
            ("measure.held_out_documents", held_out_documents, Split::HeldOut),
            ("queries.budgets", largest_budget, Split::Prompts),
        ] {
            let there = file.len(split).unwrap_or(u64::MAX);
            if asked > there {
                let problem = format!("{key}: {asked} texts are asked for and the corpus file has {there} for this");
                return Err(UsageError(format!("{problem}; lower it, or bring more text")).into());
            }
        }
        Ok(())
    }

    /// As [`of`](Self::of), without the kinds of text called `left_out`.
    ///
    /// # Errors
    /// As [`of`](Self::of); when there is no such kind.
    pub fn of_without(&self, seed: u64, left_out: &[String]) -> anyhow::Result<Arc<dyn Texts>> {
        match &self.source {
            CorpusSource::Grammar(spec) if !left_out.is_empty() => Ok(Arc::new(grammar(&spec.without(left_out)?, seed)?)),
            _ => self.of(seed),
        }
    }

    /// The texts of the purpose whose seed this is.
    ///
    /// # Errors
    /// When the grammar is not valid.
    pub fn of(&self, seed: u64) -> anyhow::Result<Arc<dyn Texts>> {
        match (&self.source, &self.file) {
            (_, Some(file)) => Ok(Arc::new(Turned { file: file.clone(), by: seed })),
            (CorpusSource::Grammar(spec), _) => Ok(Arc::new(grammar(spec, seed)?)),
            (CorpusSource::File { path, .. }, None) => anyhow::bail!("{} was not opened", path.display()),
        }
    }
}

/// A file read from a place of its own: purposes and repetitions share the splits, not the order.
struct Turned {
    file: Arc<FileTexts>,
    by: u64,
}

impl Texts for Turned {
    fn document(&self, split: Split, index: u64) -> String {
        let n = self.file.len(split).unwrap_or(1).max(1);
        self.file.document(split, (index % n + self.by % n) % n)
    }

    fn opening(&self, split: Split, index: u64, bytes: usize) -> Opening {
        let n = self.file.len(split).unwrap_or(1).max(1);
        self.file.opening(split, (index % n + self.by % n) % n, bytes)
    }

    fn len(&self, split: Split) -> Option<u64> {
        self.file.len(split)
    }

    fn task(&self, kind: TaskKind, split: Split, index: u64) -> Option<Task> {
        self.file.task(kind, split, index)
    }

    fn describe(&self) -> String {
        self.file.describe()
    }
}
