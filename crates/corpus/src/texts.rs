use crate::{Split, Task, TaskKind};

/// The beginning of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Whole words, or the whole text.
    pub text: String,
    /// Whether the text ends with it.
    pub is_whole: bool,
}

impl Opening {
    /// The whole words that begin `text` and reach its byte `bytes`, or all of it.
    pub fn of(text: &str, bytes: usize) -> Self {
        let from = (bytes..text.len().saturating_add(1)).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let end = text[from..].find(char::is_whitespace).map_or(text.len(), |at| from + at);
        Self { text: text[..end].to_string(), is_whole: end == text.len() }
    }
}

/// A source of texts, each a pure function of the source, the split and the index.
pub trait Texts: Send + Sync {
    /// Document `index` of `split`. In a finite source an index from `len(split)` on starts over.
    ///
    /// # Panics
    /// When `len(split)` is `Some(0)`.
    fn document(&self, split: Split, index: u64) -> String;

    /// The beginning of a document, at least `bytes` long unless it is shorter: what is not needed of a long one is not copied.
    ///
    /// # Panics
    /// As [`document`](Self::document).
    fn opening(&self, split: Split, index: u64, bytes: usize) -> Opening {
        Opening::of(&self.document(split, index), bytes)
    }

    /// How many different documents `split` has; `None` when there is no end.
    fn len(&self, split: Split) -> Option<u64>;

    /// Checkable task `index` of `kind`, whose prompt belongs to `split`; `None` when the source has no such tasks.
    fn task(&self, kind: TaskKind, split: Split, index: u64) -> Option<Task>;

    /// One line in words: what this is and how much of it there is.
    fn describe(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_ends_with_a_word() {
        for (text, bytes, opening, is_whole) in [
            ("äää bc d", 3, "äää", false),
            ("äää bc d", 7, "äää bc", false),
            ("one two", 0, "one", false),
            ("one two", 4, "one two", true),
            ("one", 99, "one", true),
            ("", 5, "", true),
        ] {
            assert_eq!(Opening::of(text, bytes), Opening { text: opening.into(), is_whole }, "{text} {bytes}");
        }
    }
}
