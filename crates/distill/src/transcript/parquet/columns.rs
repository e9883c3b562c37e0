//! Columns of a Parquet file, written and read one by one.

use oracle::TokenId;
use parquet::basic::Type as Physical;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::SerializedRowGroupWriter;

/// Rows read at a time.
const BATCH: usize = 1 << 14;

/// Values of one column. Parquet keeps unsigned numbers in the bits of signed ones.
pub(super) enum Values {
    Long(Vec<i64>),
    Count(Vec<i32>),
    Number(Vec<f32>),
    Text(Vec<ByteArray>),
    Tokens(Lists),
}

/// Lists of ids without gaps, as Dremel writes them: a place for each id, and one for each empty list.
#[derive(Default)]
pub(super) struct Lists {
    ids: Vec<i32>,
    /// By place: 1 where it holds an id.
    definitions: Vec<i16>,
    /// By place: 0 where a list begins.
    repetitions: Vec<i16>,
}

impl<'e> FromIterator<&'e [TokenId]> for Lists {
    fn from_iter<I: IntoIterator<Item = &'e [TokenId]>>(lists: I) -> Self {
        let mut all = Self::default();
        for list in lists {
            let places = list.len().max(1);
            all.ids.extend(list.iter().map(|id| id.cast_signed()));
            all.definitions.extend(std::iter::repeat_n(i16::from(!list.is_empty()), places));
            all.repetitions.extend((0..places).map(|place| i16::from(place > 0)));
        }
        all
    }
}

/// Writes the next column of a row group.
pub(super) fn write<W: std::io::Write + Send>(
    values: &Values,
    to: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<(), ParquetError> {
    let Some(mut column) = to.next_column()? else {
        return Err(ParquetError::General("the schema has no further column".into()));
    };
    match values {
        Values::Long(values) => column.typed::<Int64Type>().write_batch(values, None, None)?,
        Values::Count(values) => column.typed::<Int32Type>().write_batch(values, None, None)?,
        Values::Number(values) => column.typed::<FloatType>().write_batch(values, None, None)?,
        Values::Text(values) => column.typed::<ByteArrayType>().write_batch(values, None, None)?,
        Values::Tokens(Lists { ids, definitions, repetitions }) => {
            column.typed::<Int32Type>().write_batch(ids, Some(definitions), Some(repetitions))?
        }
    };
    column.close()
}

/// A row group that is read by the names of its columns.
pub(super) struct Group<'r> {
    reader: &'r dyn RowGroupReader,
}

impl<'r> Group<'r> {
    pub(super) fn new(reader: &'r dyn RowGroupReader) -> Self {
        Self { reader }
    }

    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.reader.metadata().num_rows()).unwrap_or(0)
    }

    pub(super) fn longs(&self, name: &str) -> Result<Vec<u64>, String> {
        Ok(self.plain::<Int64Type>(name)?.into_iter().map(i64::cast_unsigned).collect())
    }

    pub(super) fn counts(&self, name: &str) -> Result<Vec<u32>, String> {
        Ok(self.plain::<Int32Type>(name)?.into_iter().map(i32::cast_unsigned).collect())
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f32>, String> {
        self.plain::<FloatType>(name)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<ByteArray>, String> {
        self.plain::<ByteArrayType>(name)
    }

    /// A list of ids for each row.
    pub(super) fn tokens(&self, name: &str) -> Result<Vec<Vec<TokenId>>, String> {
        let column = self.read::<Int32Type>(name, 1)?;
        let mut ids = column.values.into_iter();
        let mut lists: Vec<Vec<TokenId>> = Vec::new();
        for (definition, repetition) in column.definitions.into_iter().zip(column.repetitions) {
            if repetition == 0 {
                lists.push(Vec::new());
            }
            if definition == column.full {
                let (Some(list), Some(id)) = (lists.last_mut(), ids.next()) else {
                    return Err(format!("column `{name}` is not made of lists"));
                };
                list.push(id.cast_unsigned());
            } else if definition + 1 < column.full {
                return Err(format!("column `{name}` has gaps"));
            }
        }
        if lists.len() == self.rows() {
            Ok(lists)
        } else {
            Err(format!("column `{name}` has {} of {} rows", lists.len(), self.rows()))
        }
    }

    /// A value for each row.
    fn plain<T: DataType>(&self, name: &str) -> Result<Vec<T::T>, String> {
        let values = self.read::<T>(name, 0)?.values;
        if values.len() == self.rows() { Ok(values) } else { Err(format!("column `{name}` has gaps")) }
    }

    /// What the column `name` holds, of the type it must have, in lists of lists as deep as `depth`.
    fn read<T: DataType>(&self, name: &str, depth: i16) -> Result<Column<T>, String> {
        let schema = self.reader.metadata().schema_descr();
        let mut leaves = (0..schema.num_columns()).filter(|at| schema.get_column_root(*at).name() == name);
        let Some(at) = leaves.next() else { return Err(format!("no column `{name}`")) };
        let leaf = schema.column(at);
        let (found, expected): (Physical, Physical) = (leaf.physical_type(), T::get_physical_type());
        if leaves.next().is_some() || leaf.max_rep_level() != depth {
            return Err(format!("column `{name}` is {}", if depth == 0 { "nested" } else { "no list of numbers" }));
        }
        if found != expected {
            return Err(format!("column `{name}` is {found} instead of {expected}"));
        }
        let failed = |e: ParquetError| format!("column `{name}`: {e}");
        let mut reader = get_typed_column_reader::<T>(self.reader.get_column_reader(at).map_err(failed)?);
        let mut column =
            Column { full: leaf.max_def_level(), values: Vec::new(), definitions: Vec::new(), repetitions: Vec::new() };
        loop {
            let Column { values, definitions, repetitions, .. } = &mut column;
            let (records, ..) = reader.read_records(BATCH, Some(definitions), Some(repetitions), values).map_err(failed)?;
            if records == 0 {
                return Ok(column);
            }
        }
    }
}

/// A column as it lies in the file.
struct Column<T: DataType> {
    /// Definition level of a place that holds a value.
    full: i16,
    values: Vec<T::T>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}
