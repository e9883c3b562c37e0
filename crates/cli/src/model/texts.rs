//! Texts for the `model` commands, read in the order of the file.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use clap::Args;

use crate::args::count_above_0;
use crate::exit::{Signals, UsageError};

/// A file of texts.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "source")]
pub struct TextSource {
    /// Plain text; records are separated by blank lines.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// JSON Lines.
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
}

/// Which texts.
#[derive(Debug, Args)]
pub struct TextArgs {
    #[command(flatten)]
    source: TextSource,
    /// The key of each JSON line that holds the text.
    #[arg(long, default_value = "text")]
    column: String,
    /// Only the first N texts.
    #[arg(long, value_name = "N", value_parser = count_above_0::<usize>)]
    rows: Option<usize>,
}

impl TextArgs {
    /// The texts, empty ones left out.
    pub fn read(&self, signals: &Signals) -> anyhow::Result<Vec<String>> {
        let rows = self.rows.unwrap_or(usize::MAX);
        let (path, is_jsonl) = match (&self.source.text, &self.source.jsonl) {
            (Some(path), _) => (path, false),
            (None, Some(path)) => (path, true),
            (None, None) => return Err(UsageError("name a file with --text or --jsonl".into()).into()),
        };
        let content = utf8(path, signals)?;
        let texts = if is_jsonl { self.jsonl(path, &content, rows)? } else { records(&content, rows) };
        if texts.is_empty() {
            return Err(UsageError(format!("{}: no text in it", path.display())).into());
        }
        Ok(texts)
    }

    fn jsonl(&self, path: &Path, content: &str, rows: usize) -> Result<Vec<String>, UsageError> {
        let mut texts = Vec::new();
        for (index, line) in unmarked(content).lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if texts.len() >= rows {
                break;
            }
            let place = format!("{}:{}", path.display(), index + 1);
            let value: serde_json::Value =
                serde_json::from_str(line).map_err(|error| UsageError(format!("{place}: not a JSON object: {error}")))?;
            match value.get(&self.column) {
                Some(serde_json::Value::Null) => {}
                Some(serde_json::Value::String(text)) if text.is_empty() => {}
                Some(serde_json::Value::String(text)) => texts.push(text.clone()),
                Some(other) => return Err(UsageError(format!("{place}: `{}` is not a text but {other}", self.column))),
                None => {
                    let keys: Vec<&str> = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                    let remedy = format!("name one of its keys with --column: {}", keys.join(", "));
                    return Err(UsageError(format!("{place}: no key `{}`; {remedy}", self.column)));
                }
            }
        }
        Ok(texts)
    }
}

/// The texts of a file of plain text, separated by blank lines; at least one.
pub fn plain_texts(path: &Path, signals: &Signals) -> anyhow::Result<Vec<String>> {
    let texts = records(&utf8(path, signals)?, usize::MAX);
    if texts.is_empty() {
        return Err(UsageError(format!("{}: no text in it", path.display())).into());
    }
    Ok(texts)
}

/// The bytes of a file, which may be a pipe whose writer lets us wait: a signal is heard all the same.
fn bytes(path: &Path, signals: &Signals) -> anyhow::Result<std::io::Result<Vec<u8>>> {
    let (send, receive) = std::sync::mpsc::channel();
    let owned = path.to_path_buf();
    std::thread::Builder::new().name("reading texts".into()).spawn(move || send.send(std::fs::read(owned)))?;
    loop {
        match receive.recv_timeout(Duration::from_millis(50)) {
            Ok(read) => return Ok(read),
            Err(RecvTimeoutError::Timeout) if !signals.cancelled.load(Ordering::Relaxed) => {}
            Err(RecvTimeoutError::Timeout) => return Err(lm::RunError::Cancelled.into()),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("{}: reading it stopped", path.display()),
        }
    }
}

fn utf8(path: &Path, signals: &Signals) -> anyhow::Result<String> {
    let shown = path.display();
    // what a shell hands over as a file is a pipe that somebody writes to
    let handed_over = ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place));
    if let Some(why) = store::not_a_file(path).filter(|_| !handed_over) {
        return Err(UsageError(format!("{shown}: {why}; check the path")).into());
    }
    let bytes = match bytes(path, signals)? {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(UsageError(format!("{shown}: no such file; check the path")).into());
        }
        Err(error) => return Err(anyhow::Error::new(error).context(format!("{shown}: cannot be read"))),
    };
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        UsageError(format!("{shown}: not UTF-8 text (byte {place}); convert it first")).into()
    })
}

/// Without the byte-order mark with which some programs begin a text.
fn unmarked(content: &str) -> &str {
    content.strip_prefix('\u{feff}').unwrap_or(content)
}

fn records(content: &str, rows: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    for line in unmarked(content).lines() {
        if line.trim().is_empty() {
            texts.push(String::new());
        } else if let Some(text) = texts.last_mut() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
    }
    texts.into_iter().filter(|text| !text.is_empty()).take(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(column: &str, rows: Option<usize>) -> TextArgs {
        TextArgs { source: TextSource { text: None, jsonl: None }, column: column.into(), rows }
    }

    #[test]
    fn records_are_separated_by_blank_lines() {
        assert_eq!(records("a\nb\n\n\n c\n", usize::MAX), ["a\nb", " c"]);
        assert_eq!(records("a\n\nb", 1), ["a"]);
        assert!(records("\n \n", 5).is_empty());
        assert_eq!(records("\u{feff}a\n\n\u{feff}b", 5), ["a", "\u{feff}b"], "a mark at the start is none of the text");
    }

    #[test]
    fn json_lines_are_read_or_refused_by_line() {
        let path = Path::new("t.jsonl");
        let content = "{\"text\": \"a\"}\n\n{\"text\": \"b\", \"n\": 1}\n";
        assert_eq!(args("text", None).jsonl(path, content, 9).unwrap(), ["a", "b"]);
        let content = "\u{feff}{\"text\": \"a\"}\n{\"text\": null}\n{\"text\": \"\"}\n{\"text\": \"b\"}\n";
        assert_eq!(args("text", None).jsonl(path, content, 9).unwrap(), ["a", "b"], "null is no text");
        let error = args("story", None).jsonl(path, content, 9).unwrap_err().to_string();
        assert_eq!(error, "t.jsonl:1: no key `story`; name one of its keys with --column: text");
        let error = args("n", None).jsonl(path, "{\"n\": 1}", 9).unwrap_err().to_string();
        assert_eq!(error, "t.jsonl:1: `n` is not a text but 1");
        assert!(args("text", None).jsonl(path, "{", 9).unwrap_err().to_string().starts_with("t.jsonl:1: not a JSON object"));
    }

    #[test]
    fn bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.txt");
        std::fs::write(&path, b"ab\xff").unwrap();
        let signals = Signals::catch().unwrap();
        assert!(utf8(&path, &signals).unwrap_err().to_string().contains("not UTF-8 text (byte 2)"));
        assert!(utf8(&dir.path().join("none"), &signals).unwrap_err().to_string().contains("no such file"));
    }
}
