//! A column of a Parquet file: of texts, or of conversations.
//!
//! Values are read from the column itself and not row by row: a text that a thousand rows share is then one text, and only what is new
//! is copied. Before a chunk of a column is read its pages are looked at (see [`crate::pages`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::FileError;
use super::conversation::{SHAPES, is_user};
use super::lines::open;
use super::records::Records;
use crate::pages::{Lists, Unread, check};

/// Most turns of a conversation on average, and of a row group: a gigabyte of memory if one row has them all.
const TURNS: u64 = 64;
const MOST_TURNS: u64 = 1 << 24;
/// Rows read at a time.
const BATCH: usize = 1024;

/// Where the texts are: numbers of columns without columns in them.
enum Texts {
    Plain(usize),
    /// Of turns: who speaks, and what.
    Turns(usize, usize),
}

/// The texts in `column` of the Parquet file `path`.
pub(super) fn rows(path: &Path, column: &str, records: &mut Records<'_>) -> Result<(), FileError> {
    let bad = |error: ParquetError| FileError::BadParquet { path: path.to_path_buf(), said: error.to_string() };
    let file = open(path)?;
    let pages = file.try_clone().map_err(|source| FileError::Io { path: path.to_path_buf(), source })?;
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let descriptor = reader.metadata().file_metadata().schema_descr_ptr();
    let texts = find(path, column, &descriptor)?;
    for group in 0..reader.num_row_groups() {
        let row_group = reader.get_row_group(group).map_err(bad)?;
        let leaf = |at: usize| -> Result<Leaf, FileError> {
            let metadata = row_group.metadata();
            let lists = Lists { rows: metadata.num_rows(), mean: TURNS, most: MOST_TURNS, held: true };
            check(&pages, metadata.column(at), &lists).map_err(|flaw| {
                let path = path.to_path_buf();
                match flaw {
                    Unread::Codec(codec) => FileError::Codec { path, column: column.to_string(), codec },
                    Unread::Broken(said) => FileError::BadParquet { path, said: format!("column `{column}`: {said}") },
                    Unread::NoRoom(bytes) => FileError::NoRoom { path, bytes },
                    Unread::Io(source) => FileError::Io { path, source },
                }
            })?;
            match row_group.get_column_reader(at).map_err(bad)? {
                ColumnReader::ByteArrayColumnReader(reader) => {
                    let descriptor = descriptor.column(at);
                    Ok(Leaf::new(reader, descriptor.max_def_level()))
                }
                _ => Err(FileError::BadParquet { path: path.to_path_buf(), said: "a column of texts holds none".into() }),
            }
        };
        match texts {
            Texts::Plain(at) => {
                let mut leaf = leaf(at)?;
                while leaf.fill().map_err(bad)? {
                    let mut known = Known::default();
                    for place in 0..leaf.levels() {
                        known.push(leaf.value(place), records, &bad)?;
                    }
                }
            }
            Texts::Turns(speakers, said) => {
                let (mut speakers, mut said) = (leaf(speakers)?, leaf(said)?);
                while speakers.fill().map_err(bad)? & said.fill().map_err(bad)? {
                    if speakers.levels() != said.levels() {
                        let said = "its columns have rows of different lengths".to_string();
                        return Err(FileError::BadParquet { path: path.to_path_buf(), said });
                    }
                    turns(&speakers, &said, records, &bad)?;
                }
            }
        }
    }
    Ok(())
}

/// The first turn of the user of each row.
fn turns(
    speakers: &Leaf,
    said: &Leaf,
    records: &mut Records<'_>,
    bad: &dyn Fn(ParquetError) -> FileError,
) -> Result<(), FileError> {
    let (mut place, mut known) = (0, Known::default());
    while place < speakers.levels() {
        let end = speakers.row_end(place);
        let mut opening = None;
        for turn in place..end {
            if speakers.value(turn).and_then(|value| std::str::from_utf8(value.data()).ok()).is_some_and(is_user) {
                opening = said.value(turn);
                break;
            }
        }
        known.push(opening, records, bad)?;
        place = end;
    }
    Ok(())
}

/// Texts of the rows that are held at one time, by where they lie, and whether they are blank: a page may give one long text to a
/// million rows, and it is looked at once.
#[derive(Default)]
struct Known(HashMap<(usize, usize), bool>);

impl Known {
    fn push(
        &mut self,
        value: Option<&ByteArray>,
        records: &mut Records<'_>,
        bad: &dyn Fn(ParquetError) -> FileError,
    ) -> Result<(), FileError> {
        let Some(value) = value else { return records.skip() };
        match self.0.entry((value.data().as_ptr() as usize, value.len())) {
            Entry::Occupied(known) => records.again(*known.get()),
            Entry::Vacant(new) => {
                let text = value.as_utf8().map_err(bad)?;
                new.insert(text.trim().is_empty());
                records.push(text)
            }
        }
    }
}

/// A column without columns in it, some rows of it at a time.
struct Leaf {
    reader: ColumnReaderImpl<ByteArrayType>,
    /// How a place that holds a value is marked.
    full: i16,
    values: Vec<ByteArray>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    /// By place: where its value is, if it has one.
    at: Vec<Option<u32>>,
}

impl Leaf {
    fn new(reader: ColumnReaderImpl<ByteArrayType>, full: i16) -> Self {
        let (values, definitions, repetitions, at) = Default::default();
        Self { reader, full, values, definitions, repetitions, at }
    }

    /// Reads the next rows; false after the last.
    fn fill(&mut self) -> Result<bool, ParquetError> {
        self.values.clear();
        self.definitions.clear();
        self.repetitions.clear();
        let (records, values, _) =
            self.reader.read_records(BATCH, Some(&mut self.definitions), Some(&mut self.repetitions), &mut self.values)?;
        // a column in which every place holds a value has no marks
        let mut next = 0;
        let places = if self.full == 0 { values } else { self.definitions.len() };
        self.at.clear();
        self.at.extend((0..places).map(|place| {
            let holds = self.full == 0 || self.definitions[place] == self.full;
            next += u32::from(holds);
            holds.then(|| next - 1)
        }));
        Ok(records > 0)
    }

    fn levels(&self) -> usize {
        self.at.len()
    }

    fn value(&self, place: usize) -> Option<&ByteArray> {
        self.at[place].and_then(|at| self.values.get(at as usize))
    }

    /// The place behind the row that `place` begins.
    fn row_end(&self, place: usize) -> usize {
        let next = self.repetitions.iter().skip(place + 1).position(|level| *level == 0);
        next.map_or(self.levels(), |n| place + 1 + n)
    }
}

fn find(path: &Path, column: &str, schema: &SchemaDescriptor) -> Result<Texts, FileError> {
    let fields = schema.root_schema().get_fields();
    let Some(field) = fields.iter().find(|field| field.name() == column) else {
        let present = fields.iter().map(|field| field.name().to_string()).collect();
        return Err(FileError::NoColumn { path: path.to_path_buf(), line: None, column: column.to_string(), present });
    };
    let leaves: Vec<usize> = (0..schema.num_columns()).filter(|at| schema.get_column_root(*at).name() == column).collect();
    if field.is_primitive() && is_string(field) {
        return Ok(Texts::Plain(leaves[0]));
    }
    // one list of turns, whatever the levels between are called
    let named = |name: &str| {
        leaves.iter().copied().find(|at| {
            let leaf = schema.column(*at);
            leaf.name() == name && leaf.max_rep_level() == 1 && leaf.path().parts().len() <= 4 && is_string(leaf.self_type())
        })
    };
    let turns = SHAPES.iter().find_map(|(speaker, said)| Some(Texts::Turns(named(speaker)?, named(said)?)));
    turns.ok_or_else(|| {
        let found = match field.is_primitive() {
            true => field.get_physical_type().to_string(),
            false => {
                "nested values that are no conversations (lists of `role` and `content`, or of `from` and `value`)".to_string()
            }
        };
        FileError::NotText { path: path.to_path_buf(), line: None, column: column.to_string(), found }
    })
}

fn is_string(field: &Type) -> bool {
    let info = field.get_basic_info();
    let named = info.converted_type() == ConvertedType::UTF8 || info.logical_type_ref() == Some(&LogicalType::String);
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY && named
}
