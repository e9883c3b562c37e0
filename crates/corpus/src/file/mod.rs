//! Texts from a file, one record a row: blank-line separated text, JSON lines, or a column of a Parquet file.
//!
//! Records are shuffled by the seed and shared out over the splits. Short files are made to last by windows: after all its
//! whole records a split of prompts serves the same records from their second sentence on, then from the third, and so on.

mod columns;
mod conversation;
mod error;
mod kind;
mod lines;
mod read;
mod records;

pub use error::{FileError, MIN_RECORDS};
pub use kind::FileKind;

use crate::split::{Class, NAMED, shuffle};
use crate::{OTHER_CLASSES, Opening, Split, Task, TaskKind, Texts};
use records::Records;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Fewest words of a window that does not begin at the beginning of its record; shorter rests ("The end.") prompt nothing.
const MIN_WINDOW_WORDS: usize = 12;

/// The records of a file, shared out over the splits by a seeded permutation, each record to one split. Equal records count
/// once, so no record occurs in two splits; beginnings of different records may of course be equal ("Once upon a time").
#[derive(Debug)]
pub struct FileTexts {
    path: PathBuf,
    records: Vec<String>,
    blank: u64,
    repeated: u64,
    /// The documents of each split: whole records, then windows.
    documents: Vec<(Split, Vec<Window>)>,
}

/// Part of a record.
#[derive(Debug, Clone)]
struct Window {
    record: usize,
    bytes: Range<usize>,
}

/// Reads the texts of a `.txt` file (records separated by blank lines), a `.jsonl` file or a `.parquet` file; `column` names
/// the member or column that holds the text, or a conversation, of which the first turn of the user is the text; it means nothing for
/// `.txt`. Blank records, null and records seen before are skipped and counted ([`Texts::describe`]), and a byte-order mark at the
/// start is passed over. All different records are held in memory.
///
/// # Errors
/// [`FileError`] when the file cannot be read as what its name says, lacks the column, takes more memory than there is, or has fewer
/// than [`MIN_RECORDS`] different records.
pub fn from_file(path: &Path, column: &str, seed: u64) -> Result<FileTexts, FileError> {
    from_file_unless(path, column, seed, &|| false)
}

/// As [`from_file`], given up as soon as `stop` says so.
///
/// # Errors
/// As [`from_file`]; [`FileError::Stopped`].
pub fn from_file_unless(path: &Path, column: &str, seed: u64, stop: &dyn Fn() -> bool) -> Result<FileTexts, FileError> {
    let Records { texts: records, blank, repeated, .. } = read::records(path, column, stop)?;
    if records.len() < MIN_RECORDS {
        return Err(FileError::TooFew { path: path.to_path_buf(), found: records.len(), blank, repeated });
    }
    let order = shuffle(records.len(), seed);
    let splits = NAMED.into_iter().chain((0..OTHER_CLASSES).map(Split::Other));
    let mut shared = Vec::new();
    for split in splits {
        if stop() {
            return Err(FileError::Stopped { path: path.to_path_buf() });
        }
        shared.push((split, documents(&records, &order, split)));
    }
    let documents = shared;
    Ok(FileTexts { path: path.to_path_buf(), records, blank, repeated, documents })
}

/// Documents of `split`, when `order` is the shuffled order of the records. Windows, where the split has them, are sorted by
/// the number of their first sentence and then by row, so that text is repeated as late as possible.
fn documents(records: &[String], order: &[usize], split: Split) -> Vec<Window> {
    let windowed = matches!(split, Split::Prompts | Split::Audit);
    let mut by_sentence: Vec<(usize, usize, Window)> = Vec::new();
    for (row, &record) in order.iter().enumerate().filter(|(row, _)| Class::of(*row as u64).belongs_to(split)) {
        let text = &records[record];
        let starts = if windowed { sentence_starts(text) } else { vec![0] };
        for (sentence, start) in starts.into_iter().enumerate() {
            if sentence == 0 || text[start..].split_whitespace().nth(MIN_WINDOW_WORDS - 1).is_some() {
                by_sentence.push((sentence, row, Window { record, bytes: start..text.len() }));
            }
        }
    }
    by_sentence.sort_by_key(|(sentence, row, _)| (*sentence, *row));
    by_sentence.into_iter().map(|(_, _, window)| window).collect()
}

impl FileTexts {
    /// Number of whole records of `split`. [`Texts::len`] is larger where windows are served: in [`Split::Prompts`] and
    /// [`Split::Audit`].
    pub fn whole_records(&self, split: Split) -> u64 {
        self.documents(split).iter().filter(|window| window.bytes.start == 0).count() as u64
    }

    /// Records skipped because they were blank, and because they had occurred before.
    pub fn skipped(&self) -> (u64, u64) {
        (self.blank, self.repeated)
    }

    fn documents(&self, split: Split) -> &[Window] {
        let split = match split {
            Split::Other(n) => Split::Other(n % OTHER_CLASSES),
            named => named,
        };
        self.documents.iter().find(|(other, _)| *other == split).map_or(&[], |(_, documents)| documents)
    }
}

/// Bytes at which sentences begin: after `.`, `!` or `?`, closing quotes and white space.
fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut ended = false;
    let mut spaced = false;
    for (at, c) in text.char_indices() {
        match c {
            '.' | '!' | '?' => (ended, spaced) = (true, false),
            '"' | '\'' | '”' | '’' | ')' if ended && !spaced => {}
            c if c.is_whitespace() => spaced = ended,
            _ => {
                if ended && spaced {
                    starts.push(at);
                }
                (ended, spaced) = (false, false);
            }
        }
    }
    starts
}

impl Texts for FileTexts {
    fn document(&self, split: Split, index: u64) -> String {
        let documents = self.documents(split);
        assert!(!documents.is_empty(), "{} has no record for {split:?}, as its len says", self.path.display());
        let Window { record, bytes } = &documents[(index % documents.len() as u64) as usize];
        self.records[*record][bytes.clone()].to_string()
    }

    fn opening(&self, split: Split, index: u64, bytes: usize) -> Opening {
        let documents = self.documents(split);
        assert!(!documents.is_empty(), "{} has no record for {split:?}, as its len says", self.path.display());
        let Window { record, bytes: window } = &documents[(index % documents.len() as u64) as usize];
        Opening::of(&self.records[*record][window.clone()], bytes)
    }

    fn len(&self, split: Split) -> Option<u64> {
        Some(self.documents(split).len() as u64)
    }

    fn task(&self, _: TaskKind, _: Split, _: u64) -> Option<Task> {
        None
    }

    fn describe(&self) -> String {
        format!(
            "file `{}`: {} records ({} blank and {} repeated ones skipped), {} prompts with windows",
            self.path.display(),
            self.records.len(),
            self.blank,
            self.repeated,
            self.documents(Split::Prompts).len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_begin_after_their_marks_and_quotes() {
        for (text, sentences) in [
            ("One two. Three!", vec!["One two. ", "Three!"]),
            ("\"Go!\" said Tom. \"No.\" He sat.", vec!["\"Go!\" ", "said Tom. ", "\"No.\" ", "He sat."]),
            ("It cost 3.50 coins... Then", vec!["It cost 3.50 coins... ", "Then"]),
            ("Wait?!\n\"Yes\"", vec!["Wait?!\n", "\"Yes\""]),
        ] {
            let starts = sentence_starts(text);
            let ends = starts.iter().skip(1).copied().chain([text.len()]);
            let found: Vec<&str> = starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect();
            assert_eq!(found, sentences);
        }
    }
}
