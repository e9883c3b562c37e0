//! Why a template cannot be rendered.

/// One line; `raised` when the template said it itself (`raise_exception`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What went wrong, in Python's words where Python would say it.
    pub what: String,
    /// Whether these are the template's own words.
    pub raised: bool,
    /// Line of the template, from 1.
    pub line: Option<usize>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.what.split_whitespace().collect::<Vec<_>>().join(" ");
        match self.line {
            Some(line) => write!(f, "{what} (line {line})"),
            None => write!(f, "{what}"),
        }
    }
}

/// What can fail in a template.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Something is wrong with the template, or with what it was told.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), raised: false, line: None }
    }

    /// The same in a known line.
    pub fn at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

/// An error as a result.
pub fn fail<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::new(what))
}
