use crate::{Split, Task, TaskKind};

/// A source of texts, each a pure function of the source, the split and the index.
pub trait Texts: Send + Sync {
    /// Document `index` of `split`. In a finite source an index from `len(split)` on starts over.
    ///
    /// # Panics
    /// When `len(split)` is `Some(0)`.
    fn document(&self, split: Split, index: u64) -> String;

    /// How many different documents `split` has; `None` when there is no end.
    fn len(&self, split: Split) -> Option<u64>;

    /// Checkable task `index` of `kind`, whose prompt belongs to `split`; `None` when the source has no such tasks.
    fn task(&self, kind: TaskKind, split: Split, index: u64) -> Option<Task>;

    /// One line in words: what this is and how much of it there is.
    fn describe(&self) -> String;
}
