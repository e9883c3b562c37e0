//! Exchanges from a file that somebody else wrote: one row a question and its answer, as JSON lines or Parquet.
//!
//! A row has `prompt` and `answer` as text or as lists of token ids, or `prompt_ids` and `answer_ids`, or `messages`; and where they
//! are known `account`, `key` and `stop` (`finish_reason`). All rows of a file are written the same way. Other columns are not read.

mod error;
mod judged;
mod parse;
mod read;
mod rows;

pub use error::{ExchangeError, Place};
pub use judged::{JudgedText, JudgedTexts, judged_texts};
pub use parse::{ExchangeRow, Said, Turn};
pub use read::{Exchanges, exchanges};
