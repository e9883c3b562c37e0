//! The three file formats, each read into the texts it holds.

use std::path::Path;

use super::columns::rows;
use super::conversation::{kind_of, opening};
use super::lines::Lines;
use super::records::Records;
use super::{FileError, FileKind};

/// Reads `path` as what its name says.
pub(super) fn records<'a>(path: &'a Path, column: &str, stop: &'a dyn Fn() -> bool) -> Result<Records<'a>, FileError> {
    let mut records = Records::new(path, stop);
    match FileKind::of(path) {
        Some(FileKind::Text) => paragraphs(path, &mut records)?,
        Some(FileKind::JsonLines) => json_lines(path, column, &mut records)?,
        Some(FileKind::Parquet) => rows(path, column, &mut records)?,
        None => return Err(FileError::UnknownKind { path: path.to_path_buf() }),
    }
    Ok(records)
}

fn paragraphs(path: &Path, records: &mut Records<'_>) -> Result<(), FileError> {
    let mut lines = Lines::open(path)?;
    let mut paragraph = String::new();
    loop {
        let line = lines.next()?;
        match &line {
            Some(line) if !line.trim().is_empty() => {
                if !paragraph.is_empty() {
                    paragraph.push('\n');
                }
                paragraph.push_str(line);
            }
            // runs of blank lines separate, they are no blank records
            _ if !paragraph.is_empty() => {
                records.push(&paragraph)?;
                paragraph.clear();
            }
            _ => {}
        }
        if line.is_none() {
            return Ok(());
        }
    }
}

fn json_lines(path: &Path, column: &str, records: &mut Records<'_>) -> Result<(), FileError> {
    let mut lines = Lines::open(path)?;
    let mut at = 0;
    while let Some(line) = lines.next()? {
        at += 1;
        if line.trim().is_empty() {
            records.skip()?;
            continue;
        }
        let bad = |said: String| FileError::BadJson { path: path.to_path_buf(), line: at, said };
        let value: serde_json::Value = serde_json::from_str(&line).map_err(|error| bad(crate::json::said(&error)))?;
        let serde_json::Value::Object(members) = value else {
            return Err(bad(format!("{}, not an object", kind_of(&value))));
        };
        match members.get(column) {
            Some(serde_json::Value::String(text)) => records.push(text)?,
            Some(serde_json::Value::Null) => records.skip()?,
            Some(other) => match opening(other) {
                Ok(Some(text)) => records.push(&text)?,
                Ok(None) => records.skip()?,
                Err(found) => {
                    let column = column.to_string();
                    return Err(FileError::NotText { path: path.to_path_buf(), line: Some(at), column, found });
                }
            },
            None => {
                let present = members.keys().cloned().collect();
                return Err(FileError::NoColumn {
                    path: path.to_path_buf(),
                    line: Some(at),
                    column: column.to_string(),
                    present,
                });
            }
        }
    }
    Ok(())
}
