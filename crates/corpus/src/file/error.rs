use std::path::PathBuf;

use super::FileKind;

/// Fewest different records a file must have, so that every named split gets one.
pub const MIN_RECORDS: usize = 16;

/// Why a file cannot serve as a source of texts; each message names the file, the place and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("{}: {source}; name a readable file", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More than there is memory for.
    #[error(
        "{}: {} MB of memory more are needed to read it, and there are not so many; raise the limit on memory, or give a shorter file",
        path.display(), bytes.div_ceil(1_000_000)
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Bytes that could not be had.
        bytes: usize,
    },
    /// The work was to be given up.
    #[error("{}: reading it was stopped", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
    /// A column of Parquet in a compression that is not read.
    #[error(
        "{}: column `{column}` is compressed with {codec}, which is not read; write it again with zstd, snappy, gzip or no compression",
        path.display()
    )]
    Codec {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The codec as Parquet names it.
        codec: String,
    },
    /// The name ends in none of the known ways.
    #[error("{}: unknown kind of file; name one that ends in .txt, .jsonl or .parquet", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in it.
    #[error("{}: the file is empty; give one with texts", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are no UTF-8.
    #[error("{}: not UTF-8 at byte {offset}; convert the file to UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte.
        offset: usize,
    },
    /// A line of a JSON lines file that is no JSON object.
    #[error("{}, line {line}: {said}; write one JSON object a line", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        said: String,
    },
    /// The column asked for is not there.
    #[error("{}{}: no column `{column}`; set column to one of: {}", path.display(), at_line(*line), listed(present))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// Line, from 1, where the format has lines.
        line: Option<usize>,
        /// The column asked for.
        column: String,
        /// Columns that are there.
        present: Vec<String>,
    },
    /// The column holds something other than text.
    #[error("{}{}: column `{column}` holds {found}; name a column of strings or of conversations", path.display(), at_line(*line))]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line, from 1, where the format has lines.
        line: Option<usize>,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// A Parquet file that cannot be read.
    #[error("{}: {said}; write it again as Parquet with zstd, snappy, gzip or no compression", path.display())]
    BadParquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        said: String,
    },
    /// Not enough records to share out over the splits.
    #[error(
        "{}: {found} usable records ({blank} blank and {repeated} repeated ones skipped); give at least {}, {}",
        path.display(), MIN_RECORDS, separated(path)
    )]
    TooFew {
        /// The file.
        path: PathBuf,
        /// Different records that are not blank.
        found: usize,
        /// Blank ones.
        blank: u64,
        /// Ones that had occurred before.
        repeated: u64,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map_or(String::new(), |line| format!(", line {line}"))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "(there are none)".to_string() } else { names.join(", ") }
}

fn separated(path: &std::path::Path) -> &'static str {
    match FileKind::of(path) {
        Some(FileKind::Text) => "separated by blank lines",
        Some(FileKind::Parquet) => "one a row",
        _ => "one a line",
    }
}
