//! Texts and prompts by index: seeded generators, text, JSONL and Parquet readers, splits.
//!
//! Everything is asked by `(split, index)` and answered in constant time, so that a smaller budget is a prefix of a larger
//! one and no order of asking matters. Splits are disjoint by construction (see [`Split`]).

mod exchange;
mod file;
mod grammar;
mod json;
mod pages;
mod plain_file;
mod room;
mod split;
mod task;
mod texts;

pub use exchange::{ExchangeError, ExchangeRow, Exchanges, JudgedText, JudgedTexts, Place, Said, Turn, exchanges, judged_texts};
pub use file::{FileError, FileKind, FileTexts, MIN_RECORDS, from_file, from_file_unless};
pub use grammar::{Grammar, GrammarSpec, KindSpec, REVISION, SpecError, grammar};
pub use split::{OTHER_CLASSES, Split};
pub use task::{Task, TaskKind};
pub use texts::{Opening, Texts};
