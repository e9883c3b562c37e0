//! Rows of a file as names and values: JSON lines or Parquet, whatever is read of them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::parse::{Flaw, kind_of};
use super::{ExchangeError, Place};
use crate::FileKind;
use crate::pages::{Lists, Unread, check};
use crate::plain_file;

/// Most tokens of a prompt or an answer on average.
const TOKENS: u64 = 1 << 16;

/// A row as names and values.
pub(super) type Members = (Place, Map<String, Value>);

/// What of a file is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Columns that are read where they are there.
    pub columns: &'static [&'static str],
    /// Columns of which there must be one.
    pub needed: &'static [&'static str],
    /// What such a column holds, with its article.
    pub holds: &'static str,
    /// What to do where there is none.
    pub remedy: &'static str,
    /// What to give where nothing is there.
    pub give: &'static str,
}

/// The rows of a file as they are read.
pub(super) struct Rows {
    path: PathBuf,
    form: Form,
    /// Columns that are not read, as the head of the file names them.
    pub unread: Vec<String>,
}

enum Form {
    Lines { file: BufReader<File>, line: u64 },
    Parquet { rows: Box<RowIter<'static>>, row: u64 },
}

impl Rows {
    /// Opens a `.jsonl` or `.parquet` file.
    ///
    /// # Errors
    /// When it is neither, cannot be read, is empty, or is Parquet without a needed column.
    pub fn open(path: &Path, wanted: Wanted) -> Result<Self, ExchangeError> {
        let unreadable = |error: std::io::Error| ExchangeError::file(path, error.to_string(), "name a readable file");
        let kind = FileKind::of(path);
        if !matches!(kind, Some(FileKind::JsonLines | FileKind::Parquet)) {
            return Err(ExchangeError::file(path, "unknown kind of file", "name one that ends in .jsonl or .parquet"));
        }
        // looked at before it is opened: to open a pipe would wait for whoever writes to it
        plain_file::check(path).map_err(unreadable)?;
        if std::fs::metadata(path).map_err(unreadable)?.len() == 0 {
            return Err(ExchangeError::file(path, "the file is empty", format!("give one with {}", wanted.give)));
        }
        let file = File::open(path).map_err(unreadable)?;
        let mut unread = Vec::new();
        let form = match kind {
            Some(FileKind::JsonLines) => Form::Lines { file: BufReader::new(file), line: 0 },
            _ => {
                let bad = |error: parquet::errors::ParquetError| bad_parquet(path, &error);
                let pages = file.try_clone().map_err(unreadable)?;
                let reader = SerializedFileReader::new(file).map_err(bad)?;
                let groups = reader.metadata().row_groups().iter();
                for (rows, column) in groups.flat_map(|group| group.columns().iter().map(|column| (group.num_rows(), column))) {
                    let path_in_file = column.column_path();
                    let name = path_in_file.parts().first().map_or("", String::as_str);
                    if wanted.columns.contains(&name) {
                        let lists = Lists { rows, mean: TOKENS, most: u64::MAX, held: false };
                        check(&pages, column, &lists).map_err(|flaw| refused(path, name, flaw))?;
                    }
                }
                let schema = reader.metadata().file_metadata().schema();
                let (read, others): (Vec<_>, Vec<_>) =
                    schema.get_fields().iter().cloned().partition(|field| wanted.columns.contains(&field.name()));
                unread = others.iter().map(|field| field.name().to_string()).collect();
                if !read.iter().any(|field| wanted.needed.contains(&field.name())) {
                    let what = format!("no column that holds {} (there are {})", wanted.holds, unread.join(", "));
                    return Err(ExchangeError::file(path, what, wanted.remedy));
                }
                let only = Type::group_type_builder(schema.name()).with_fields(read.iter().map(Arc::clone).collect());
                let only = only.build().map_err(bad)?;
                let rows = RowIter::from_file_into(Box::new(reader)).project(Some(only)).map_err(bad)?;
                Form::Parquet { rows: Box::new(rows), row: 0 }
            }
        };
        Ok(Self { path: path.to_path_buf(), form, unread })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether columns are known by their names in each row, and not from the head of the file.
    pub fn names_in_rows(&self) -> bool {
        matches!(self.form, Form::Lines { .. })
    }

    /// The members of the next row, and its place; `None` after the last.
    ///
    /// # Errors
    /// When the row cannot be read as an object.
    pub fn next(&mut self) -> Result<Option<Members>, ExchangeError> {
        match &mut self.form {
            Form::Parquet { rows, row } => {
                let Some(next) = rows.next() else { return Ok(None) };
                *row += 1;
                let place = Place { unit: "row", number: *row };
                let members = next.map_err(|error| bad_parquet(&self.path, &error))?;
                let members =
                    object(&members).map_err(|Flaw(what, remedy)| ExchangeError::row(&self.path, place, what, remedy))?;
                Ok(Some((place, members)))
            }
            Form::Lines { file, line } => loop {
                let mut bytes = Vec::new();
                let read = file.read_until(b'\n', &mut bytes);
                if read.map_err(|error| ExchangeError::file(&self.path, error.to_string(), "name a readable file"))? == 0 {
                    return Ok(None);
                }
                *line += 1;
                let place = Place { unit: "line", number: *line };
                let bad = |what: String| ExchangeError::row(&self.path, place, what, "write one JSON object a line, in UTF-8");
                let text = std::str::from_utf8(&bytes).map_err(|error| bad(error.to_string()))?;
                // a byte-order mark, which some programs put at the start
                let text = if *line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
                if text.trim().is_empty() {
                    continue;
                }
                return match serde_json::from_str(text).map_err(|error| bad(crate::json::said(&error)))? {
                    Value::Object(members) => Ok(Some((place, members))),
                    other => Err(bad(format!("{}, not an object", kind_of(&other)))),
                };
            },
        }
    }
}

/// What is said of a column that is not read.
fn refused(path: &Path, column: &str, flaw: Unread) -> ExchangeError {
    let again = "write it again as Parquet with zstd, snappy, gzip or no compression";
    match flaw {
        Unread::Codec(codec) => {
            ExchangeError::file(path, format!("column `{column}` is compressed with {codec}, which is not read"), again)
        }
        Unread::Broken(said) => ExchangeError::file(path, format!("column `{column}`: {said}"), again),
        Unread::NoRoom(bytes) => {
            let what =
                format!("{} MB of memory more are needed to read it, and there are not so many", bytes.div_ceil(1_000_000));
            ExchangeError::file(path, what, "raise the limit on memory, or write it with smaller pages")
        }
        Unread::Io(error) => ExchangeError::file(path, error.to_string(), "name a readable file"),
    }
}

fn bad_parquet(path: &Path, error: &parquet::errors::ParquetError) -> ExchangeError {
    ExchangeError::file(path, error.to_string(), "write it again as Parquet with zstd, snappy, gzip or no compression")
}

/// A row of Parquet as names and values.
fn object(row: &Row) -> Result<Map<String, Value>, Flaw> {
    row.get_column_iter().map(|(name, field)| Ok((name.clone(), value(name, field)?))).collect()
}

fn value(name: &str, field: &Field) -> Result<Value, Flaw> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(*truth),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        Field::Float(n) => Value::from(*n),
        Field::Double(n) => Value::from(*n),
        Field::Str(text) => Value::String(text.clone()),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().map(|element| value(name, element)).collect::<Result<_, _>>()?)
        }
        Field::Group(row) => Value::Object(object(row)?),
        _ => {
            let what = format!("column `{name}` holds something else than text, numbers and lists");
            return Err(Flaw(what, "write text as strings and ids as lists of whole numbers".into()));
        }
    })
}
