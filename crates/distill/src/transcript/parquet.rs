use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, PrimitiveBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float32Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use oracle::{Codec, Exchange, Query, Sampling, Stop, TokenId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::error::DistillError;

/// Format number; raised when a column appears or changes its meaning.
const FORMAT: &str = "2";
/// The one before, without accounts, which is still read.
const WITHOUT_ACCOUNTS: &str = "1";
const FORMAT_KEY: &str = "birthmark.transcript.format";
const VOCAB_KEY: &str = "birthmark.transcript.vocab_size";
const TOKENIZER_KEY: &str = "birthmark.transcript.tokenizer";
/// Columns for readers from outside, which are written and never read back.
const UNREAD: [&str; 3] = ["teacher", "prompt_text", "answer_text"];
/// Exchanges encoded at a time; bounds memory, and fixes the file's row groups.
const ROWS_PER_GROUP: usize = 1 << 16;
const REMEDY: &str = "delete it, it is written again by the same command";

/// What a transcript's file says of all its exchanges.
#[derive(Clone, Copy)]
pub struct TranscriptHeader<'a> {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Names the tokenizer: its hash, or a public name.
    pub tokenizer: &'a str,
    /// Public name of the model that answered.
    pub teacher: &'a str,
    /// Puts prompts and answers as text beside their ids.
    pub codec: Option<&'a dyn Codec>,
}

/// Writes exchanges as Parquet (zstd), one row each: `index` u64, `account` u32, `teacher` text, `prompt` and `answer` list of u16
/// (u32 when `vocab_size` is above 65,536), with a codec `prompt_text` and `answer_text`, `stop` text, `max_new_tokens` u32,
/// `temperature` f32, `top_k` u32, `top_p` f32, `seed` u64. Repeated texts are stored once (Parquet's dictionaries). The file's metadata
/// holds format, vocabulary size and tokenizer. Equal exchanges give equal bytes. pandas, DuckDB and polars open it.
///
/// # Errors
/// When a value does not fit its column, or the file cannot be written.
pub fn write_parquet(path: &Path, exchanges: &[Exchange], header: &TranscriptHeader<'_>) -> Result<(), DistillError> {
    let schema = Arc::new(schema(header));
    let keys = [
        (FORMAT_KEY, FORMAT.to_string()),
        (VOCAB_KEY, header.vocab_size.to_string()),
        (TOKENIZER_KEY, header.tokenizer.to_string()),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_key_value_metadata(Some(keys.into_iter().map(|(k, v)| KeyValue::new(k.to_string(), v)).collect()))
        .build();
    let failed = |e: parquet::errors::ParquetError| match e {
        parquet::errors::ParquetError::External(e) => match e.downcast::<std::io::Error>() {
            Ok(io) => DistillError::io(path, "write the transcript", *io),
            Err(other) => DistillError::file(path, format!("cannot be written: {other}")),
        },
        other => DistillError::file(path, format!("cannot be written: {other}")),
    };
    let file = File::create(path).map_err(|e| DistillError::io(path, "write the transcript", e))?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(failed)?;
    for group in exchanges.chunks(ROWS_PER_GROUP) {
        let columns = columns(group, header).map_err(|what| DistillError::file(path, format!("cannot be written: {what}")))?;
        let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| failed(e.into()))?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Reads exchanges that [`write_parquet`] wrote, also those of format 1 (account 0). Names and texts are not decoded.
///
/// # Errors
/// When the file cannot be read, is not Parquet, was written by another format, lacks a column, or holds values out of range.
pub fn read_parquet(path: &Path) -> Result<Vec<Exchange>, DistillError> {
    let bad = |what: String| DistillError::file(path, format!("not a readable transcript ({what}); {REMEDY}"));
    let file = File::open(path).map_err(|e| DistillError::io(path, "read the transcript", e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| bad(e.to_string()))?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let value = |key: &str| metadata.and_then(|m| m.iter().find(|kv| kv.key == key)).and_then(|kv| kv.value.clone());
    let accounts = match value(FORMAT_KEY) {
        Some(format) if format == FORMAT => true,
        Some(format) if format == WITHOUT_ACCOUNTS => false,
        found => return Err(bad(format!("`{FORMAT_KEY}` is {found:?} instead of {FORMAT} or {WITHOUT_ACCOUNTS}"))),
    };
    let vocab_size = value(VOCAB_KEY).and_then(|v| v.parse::<usize>().ok()).ok_or_else(|| bad(format!("no `{VOCAB_KEY}`")))?;
    let read = builder.schema().fields().iter().enumerate().filter(|(_, field)| !UNREAD.contains(&field.name().as_str()));
    let read = ProjectionMask::roots(builder.parquet_schema(), read.map(|(at, _)| at).collect::<Vec<_>>());
    let reader = builder.with_projection(read).build().map_err(|e| bad(e.to_string()))?;
    let mut exchanges = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| bad(e.to_string()))?;
        append(&batch, vocab_size, accounts, &mut exchanges).map_err(&bad)?;
    }
    Ok(exchanges)
}

/// Whether ids need 32 bits.
fn wide(vocab_size: usize) -> bool {
    vocab_size > usize::from(u16::MAX) + 1
}

fn schema(header: &TranscriptHeader<'_>) -> Schema {
    let token = if wide(header.vocab_size) { DataType::UInt32 } else { DataType::UInt16 };
    let field = |name: &str, kind| Field::new(name, kind, false);
    let tokens = || DataType::List(Arc::new(Field::new("item", token.clone(), false)));
    let texts = ["prompt_text", "answer_text"].map(|name| field(name, DataType::Utf8));
    let mut fields = vec![
        field("index", DataType::UInt64),
        field("account", DataType::UInt32),
        field("teacher", DataType::Utf8),
        field("prompt", tokens()),
        field("answer", tokens()),
    ];
    fields.extend(texts.into_iter().filter(|_| header.codec.is_some()));
    fields.extend([
        field("stop", DataType::Utf8),
        field("max_new_tokens", DataType::UInt32),
        field("temperature", DataType::Float32),
        field("top_k", DataType::UInt32),
        field("top_p", DataType::Float32),
        field("seed", DataType::UInt64),
    ]);
    Schema::new(fields)
}

fn columns(group: &[Exchange], header: &TranscriptHeader<'_>) -> Result<Vec<ArrayRef>, String> {
    let vocab_size = header.vocab_size;
    let tokens = |of: &dyn Fn(&Exchange) -> &[TokenId]| {
        let narrow = !wide(vocab_size);
        if narrow { token_lists::<UInt16Type>(group, vocab_size, of) } else { token_lists::<UInt32Type>(group, vocab_size, of) }
    };
    let count = |key: &str, of: &dyn Fn(&Exchange) -> usize| {
        let values = group.iter().map(|e| u32::try_from(of(e)).map_err(|_| format!("`{key}` = {} is too large", of(e))));
        Ok::<ArrayRef, String>(Arc::new(PrimitiveArray::<UInt32Type>::from(values.collect::<Result<Vec<_>, _>>()?)))
    };
    let number = |of: &dyn Fn(&Exchange) -> f32| -> ArrayRef {
        Arc::new(PrimitiveArray::<Float32Type>::from(group.iter().map(of).collect::<Vec<_>>()))
    };
    let long = |of: &dyn Fn(&Exchange) -> u64| -> ArrayRef {
        Arc::new(PrimitiveArray::<UInt64Type>::from(group.iter().map(of).collect::<Vec<_>>()))
    };
    let accounts = PrimitiveArray::<UInt32Type>::from(group.iter().map(|e| e.query.account).collect::<Vec<_>>());
    let mut columns: Vec<ArrayRef> = vec![
        long(&|e| e.query.index),
        Arc::new(accounts),
        Arc::new(StringArray::from_iter_values(group.iter().map(|_| header.teacher))),
        tokens(&|e| &e.query.prompt)?,
        tokens(&|e| &e.answer)?,
    ];
    if let Some(codec) = header.codec {
        let (prompts, answers): (Vec<String>, Vec<String>) = group.iter().map(|e| texts(e, codec)).unzip();
        columns.extend([prompts, answers].map(|texts| Arc::new(StringArray::from(texts)) as ArrayRef));
    }
    columns.extend([
        Arc::new(StringArray::from_iter_values(group.iter().map(|e| stop_name(e.stop)))) as ArrayRef,
        count("max_new_tokens", &|e| e.query.max_new_tokens)?,
        number(&|e| e.query.sampling.temperature),
        count("top_k", &|e| e.query.sampling.top_k)?,
        number(&|e| e.query.sampling.top_p),
        long(&|e| e.query.seed),
    ]);
    Ok(columns)
}

/// Prompt and answer as text; together they are the text of the whole, unless a character lies across both.
fn texts(exchange: &Exchange, codec: &dyn Codec) -> (String, String) {
    let prompt = codec.decode(&exchange.query.prompt);
    let whole = codec.decode(&[&exchange.query.prompt[..], &exchange.answer].concat());
    let answer = whole.strip_prefix(&prompt).map_or_else(|| codec.decode(&exchange.answer), str::to_string);
    (prompt, answer)
}

fn token_lists<T: ArrowPrimitiveType>(
    group: &[Exchange],
    vocab_size: usize,
    of: &dyn Fn(&Exchange) -> &[TokenId],
) -> Result<ArrayRef, String>
where
    T::Native: TryFrom<TokenId>,
{
    let item = Arc::new(Field::new("item", T::DATA_TYPE, false));
    let mut lists = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(item);
    for exchange in group {
        for &token in of(exchange) {
            let narrow = T::Native::try_from(token).ok().filter(|_| (token as usize) < vocab_size);
            let narrow = narrow.ok_or_else(|| format!("token {token} is outside the vocabulary of {vocab_size}"))?;
            lists.values().append_value(narrow);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn append(batch: &RecordBatch, vocab_size: usize, accounts: bool, exchanges: &mut Vec<Exchange>) -> Result<(), String> {
    let long = |name: &str| column::<PrimitiveArray<UInt64Type>>(batch, name);
    let count = |name: &str| column::<PrimitiveArray<UInt32Type>>(batch, name);
    let number = |name: &str| column::<PrimitiveArray<Float32Type>>(batch, name);
    let (index, seed) = (long("index")?, long("seed")?);
    let account = accounts.then(|| count("account")).transpose()?;
    let (max_new_tokens, top_k) = (count("max_new_tokens")?, count("top_k")?);
    let (temperature, top_p) = (number("temperature")?, number("top_p")?);
    let (prompt, answer) = (column::<ListArray>(batch, "prompt")?, column::<ListArray>(batch, "answer")?);
    let stop = column::<StringArray>(batch, "stop")?;
    for row in 0..batch.num_rows() {
        let sampling =
            Sampling { temperature: temperature.value(row), top_k: top_k.value(row) as usize, top_p: top_p.value(row) };
        let query = Query {
            index: index.value(row),
            account: account.map_or(0, |account| account.value(row)),
            prompt: tokens(&prompt.value(row), vocab_size).map_err(|e| format!("row {row}, `prompt`: {e}"))?,
            max_new_tokens: max_new_tokens.value(row) as usize,
            sampling,
            seed: seed.value(row),
        };
        let answer = tokens(&answer.value(row), vocab_size).map_err(|e| format!("row {row}, `answer`: {e}"))?;
        let stop = match stop.value(row) {
            name if name == stop_name(Stop::EndToken) => Stop::EndToken,
            name if name == stop_name(Stop::Length) => Stop::Length,
            other => return Err(format!("row {row}, `stop` is \"{other}\"")),
        };
        exchanges.push(Exchange { query, answer, stop });
    }
    Ok(())
}

/// The column `name`, of the type it must have and without gaps.
fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column `{name}`"))?;
    if column.null_count() > 0 {
        return Err(format!("column `{name}` has gaps"));
    }
    column.as_any().downcast_ref().ok_or_else(|| format!("column `{name}` is {}", column.data_type()))
}

fn tokens(list: &ArrayRef, vocab_size: usize) -> Result<Vec<TokenId>, String> {
    if list.null_count() > 0 {
        return Err("a token is missing".into());
    }
    let any = list.as_any();
    let ids: Vec<TokenId> = if let Some(narrow) = any.downcast_ref::<PrimitiveArray<UInt16Type>>() {
        narrow.values().iter().map(|&t| TokenId::from(t)).collect()
    } else if let Some(wide) = any.downcast_ref::<PrimitiveArray<UInt32Type>>() {
        wide.values().to_vec()
    } else {
        return Err(format!("tokens are {}", list.data_type()));
    };
    match ids.iter().find(|&&t| t as usize >= vocab_size) {
        Some(token) => Err(format!("token {token} is outside the vocabulary of {vocab_size}")),
        None => Ok(ids),
    }
}

fn stop_name(stop: Stop) -> &'static str {
    match stop {
        Stop::EndToken => "end_token",
        Stop::Length => "length",
    }
}

#[cfg(test)]
mod tests;
