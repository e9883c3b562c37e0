//! Standard output without panics: a reader that goes away is an error like any other.

use std::io::{self, BufWriter, Write};

/// Results on standard output.
pub struct Output {
    to: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// To standard output.
    pub fn stdout() -> Self {
        Self { to: BufWriter::new(Box::new(io::stdout())) }
    }

    /// Writes `text` and a line end, unless it ends with one.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.to.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            self.to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// One JSON object on one line.
    pub fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// Name and value in two columns.
    pub fn pair(&mut self, name: &str, value: impl std::fmt::Display) -> anyhow::Result<()> {
        self.line(&format!("{name:<22} {value}"))
    }

    /// Writes what is still held back.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.to.flush()?)
    }

    /// Writes what is still held back, at the end.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.flush()
    }
}

/// An error and its causes on one line; a cause that its error has already quoted is not said again.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A message on standard error; when that is closed there is nobody to tell.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
