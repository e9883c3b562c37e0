//! Standard output without panics: a reader that goes away is an error like any other.

use std::io::{self, BufWriter, Write};
use std::sync::OnceLock;
use std::time::Instant;

use store::{is_unshowable, plain};

/// Results on standard output.
pub struct Output {
    to: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// To standard output.
    pub fn stdout() -> Self {
        Self { to: BufWriter::new(Box::new(io::stdout())) }
    }

    /// Writes `text` and a line end, unless it ends with one. Whatever a terminal would obey, the words of models and files included, is
    /// written out.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.to.write_all(plain(text).as_bytes())?;
        if !text.ends_with('\n') {
            self.to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// One JSON object on one line.
    pub fn json(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(&without_controls(&serde_json::to_string(value)?))
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

/// JSON whose strings hold no control character: `serde_json` escapes those below the space and leaves the others, which stand in strings
/// only, as they are.
fn without_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unshowable(c) { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    out
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

/// When messages became JSON lines; unset while they are words.
static IN_JSON: OnceLock<Instant> = OnceLock::new();

/// Has what is said of a failure put as a line of the progress that programs read.
pub fn complain_in_json() {
    let _ = IN_JSON.set(Instant::now());
}

/// The last words of a command that ends with `code`.
pub fn complain_at_the_end(text: &str, code: u8) {
    match IN_JSON.get() {
        Some(began) => complain(&harness::progress::error_line(text, code, began.elapsed().as_secs_f64())),
        None => complain(text),
    }
}

/// A message on standard error; when that is closed there is nobody to tell.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_control_characters() {
        let words = "a\u{1b}[31m\u{7f}\u{9b}2J\u{ffff}\u{e9}\n";
        let json = without_controls(&serde_json::to_string(words).unwrap());
        assert_eq!(json, "\"a\\u001b[31m\\u007f\\u009b2J\\uffff\u{e9}\\n\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), words);
    }
}
