use std::fmt;
use std::path::{Path, PathBuf};

/// Where in a file a row stands, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What is counted: `line` or `row`.
    pub unit: &'static str,
    /// Which one.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.unit, self.number)
    }
}

/// Why a file cannot serve as a transcript; names the file, the place, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {what}; {remedy}", path.display(), place.map_or(String::new(), |place| format!(", {place}")))]
pub struct ExchangeError {
    /// The file.
    pub path: PathBuf,
    /// The row, where it is one row's fault.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl ExchangeError {
    /// What is wrong with the file as a whole.
    pub fn file(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), place: None, what: what.into(), remedy: remedy.into() }
    }

    /// What is wrong with the row at `place`.
    pub fn row(path: &Path, place: Place, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::file(path, what, remedy) }
    }
}
