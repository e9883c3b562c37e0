//! Rows of a file as exchanges.

use std::path::Path;

use super::parse::{Flaw, READ, row};
use super::rows::{Rows, Wanted};
use super::{ExchangeError, ExchangeRow, Place};

/// What is read of a file of exchanges.
const WANTED: Wanted = Wanted {
    columns: &READ,
    needed: &["prompt", "prompt_ids", "messages"],
    holds: "a prompt",
    remedy: "call the columns `prompt` and `answer`, or give `messages`",
    give: "exchanges",
};

/// The rows of a file as they are read.
pub struct Exchanges {
    rows: Rows,
    /// Rows that were read.
    read: u64,
    /// How the first row was put.
    form: Option<&'static str>,
}

/// Opens a `.jsonl` or `.parquet` file of exchanges.
///
/// # Errors
/// When it is neither, cannot be read, or is empty.
pub fn exchanges(path: &Path) -> Result<Exchanges, ExchangeError> {
    Ok(Exchanges { rows: Rows::open(path, WANTED)?, read: 0, form: None })
}

impl Exchanges {
    /// Columns that are not read, as the file's head or its first row names them.
    pub fn unread(&self) -> &[String] {
        &self.rows.unread
    }

    fn advance(&mut self) -> Result<Option<(Place, ExchangeRow)>, ExchangeError> {
        let Some((place, members)) = self.rows.next()? else {
            let none = self.read == 0;
            return if none { Err(ExchangeError::file(self.rows.path(), "it has no rows", "give exchanges")) } else { Ok(None) };
        };
        let path = self.rows.path();
        let at = |Flaw(what, remedy): Flaw| ExchangeError::row(path, place, what, remedy);
        let row = row(&members).map_err(at)?;
        let form = *self.form.get_or_insert(row.prompt.form());
        if form != row.prompt.form() {
            let what = format!("the prompt is {}, and {form} in rows before", row.prompt.form());
            return Err(ExchangeError::row(path, place, what, "write all rows the same way"));
        }
        if self.read == 0 && self.rows.names_in_rows() {
            self.rows.unread = members.keys().filter(|name| !READ.contains(&name.as_str())).cloned().collect();
        }
        self.read += 1;
        Ok(Some((place, row)))
    }
}

impl Iterator for Exchanges {
    type Item = Result<(Place, ExchangeRow), ExchangeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
