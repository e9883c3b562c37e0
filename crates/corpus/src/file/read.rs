//! The three file formats, each read into the texts it holds.

use super::FileError;
use crate::plain_file;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use std::path::Path;
use std::sync::Arc;

/// Texts in the order of the file, and how many blank ones were left out.
pub(super) struct Records {
    pub texts: Vec<String>,
    pub blank: usize,
}

impl Records {
    fn new() -> Records {
        Records { texts: Vec::new(), blank: 0 }
    }

    fn push(&mut self, text: &str) {
        match text.trim() {
            "" => self.blank += 1,
            text => self.texts.push(text.to_string()),
        }
    }
}

/// Reads `path` as what its name says.
pub(super) fn records(path: &Path, column: &str) -> Result<Records, FileError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Ok(paragraphs(&text(path)?)),
        Some("jsonl") => json_lines(path, &text(path)?, column),
        Some("parquet") => rows(path, column),
        _ => Err(FileError::UnknownKind { path: path.to_path_buf() }),
    }
}

fn text(path: &Path) -> Result<String, FileError> {
    plain_file::check(path).map_err(|source| FileError::Io { path: path.to_path_buf(), source })?;
    let bytes = std::fs::read(path).map_err(|source| FileError::Io { path: path.to_path_buf(), source })?;
    if bytes.is_empty() {
        return Err(FileError::Empty { path: path.to_path_buf() });
    }
    String::from_utf8(bytes)
        .map_err(|error| FileError::NotUtf8 { path: path.to_path_buf(), offset: error.utf8_error().valid_up_to() })
}

fn paragraphs(text: &str) -> Records {
    let mut records = Records::new();
    let mut paragraph = String::new();
    for line in text.trim_start_matches('\u{feff}').lines().chain([""]) {
        if !line.trim().is_empty() {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(line);
        } else if !paragraph.is_empty() {
            records.push(&paragraph); // runs of blank lines separate, they are no blank records
            paragraph.clear();
        }
    }
    records
}

fn json_lines(path: &Path, text: &str, column: &str) -> Result<Records, FileError> {
    let mut records = Records::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            records.blank += 1;
            continue;
        }
        let bad = |said: String| FileError::BadJson { path: path.to_path_buf(), line: at + 1, said };
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let serde_json::Value::Object(members) = value else {
            return Err(bad(format!("{}, not an object", kind_of(&value))));
        };
        match members.get(column) {
            Some(serde_json::Value::String(text)) => records.push(text),
            Some(serde_json::Value::Null) => records.blank += 1,
            Some(other) => {
                let (column, found) = (column.to_string(), kind_of(other).to_string());
                return Err(FileError::NotText { path: path.to_path_buf(), line: Some(at + 1), column, found });
            }
            None => {
                let present = members.keys().cloned().collect();
                return Err(FileError::NoColumn {
                    path: path.to_path_buf(),
                    line: Some(at + 1),
                    column: column.to_string(),
                    present,
                });
            }
        }
    }
    Ok(records)
}

fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a truth value",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::Object(_) => "an object",
    }
}

fn rows(path: &Path, column: &str) -> Result<Records, FileError> {
    let bad = |error: parquet::errors::ParquetError| FileError::BadParquet { path: path.to_path_buf(), said: error.to_string() };
    plain_file::check(path).map_err(|source| FileError::Io { path: path.to_path_buf(), source })?;
    let file = std::fs::File::open(path).map_err(|source| FileError::Io { path: path.to_path_buf(), source })?;
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Err(FileError::Empty { path: path.to_path_buf() });
    }
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let schema = reader.metadata().file_metadata().schema();
    let Some(field) = schema.get_fields().iter().find(|field| field.name() == column) else {
        let present = schema.get_fields().iter().map(|field| field.name().to_string()).collect();
        return Err(FileError::NoColumn { path: path.to_path_buf(), line: None, column: column.to_string(), present });
    };
    if !is_string(field) {
        let found = if field.is_primitive() { field.get_physical_type().to_string() } else { "nested values".to_string() };
        return Err(FileError::NotText { path: path.to_path_buf(), line: None, column: column.to_string(), found });
    }
    let only = Type::group_type_builder(schema.name()).with_fields(vec![Arc::clone(field)]).build().map_err(bad)?;
    let mut records = Records::new();
    for row in reader.get_row_iter(Some(only)).map_err(bad)? {
        match row.map_err(bad)?.get_column_iter().next() {
            Some((_, Field::Str(text))) => records.push(text),
            _ => records.blank += 1, // null: the column was checked to hold strings
        }
    }
    Ok(records)
}

fn is_string(field: &Type) -> bool {
    let info = field.get_basic_info();
    let named = info.converted_type() == ConvertedType::UTF8 || info.logical_type_ref() == Some(&LogicalType::String);
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY && named
}
