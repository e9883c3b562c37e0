//! Transcripts as Parquet, by Parquet's own columns: what Arrow would add is not needed, and takes a minute to build.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use oracle::{Codec, Exchange, Order, Query, Sampling, Stop, TokenId};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

use self::columns::{Group, Lists, Values, write};
use crate::error::DistillError;

mod columns;

/// Format number; raised when a column appears or changes its meaning.
const FORMAT: &str = "3";
/// Those before, which are still read.
const WITHOUT_MIN_P: &str = "2";
const WITHOUT_ACCOUNTS: &str = "1";
const FORMAT_KEY: &str = "birthmark.transcript.format";
const VOCAB_KEY: &str = "birthmark.transcript.vocab_size";
const TOKENIZER_KEY: &str = "birthmark.transcript.tokenizer";
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
/// `temperature` f32, `top_k` u32, `top_p` f32, `min_p` f32, `order` text, `seed` u64. Repeated texts are stored once (Parquet's dictionaries). The file's metadata
/// holds format, vocabulary size and tokenizer. Equal exchanges give equal bytes. pandas, DuckDB and polars open it.
///
/// # Errors
/// When a value does not fit its column, or the file cannot be written.
pub fn write_parquet(path: &Path, exchanges: &[Exchange], header: &TranscriptHeader<'_>) -> Result<(), DistillError> {
    let failed = |e: ParquetError| match e {
        ParquetError::External(e) => match e.downcast::<std::io::Error>() {
            Ok(io) => DistillError::io(path, "write the transcript", *io),
            Err(other) => DistillError::file(path, format!("cannot be written: {other}")),
        },
        other => DistillError::file(path, format!("cannot be written: {other}")),
    };
    let schema = schema(header).map_err(failed)?;
    let keys = [
        (FORMAT_KEY, FORMAT.to_string()),
        (VOCAB_KEY, header.vocab_size.to_string()),
        (TOKENIZER_KEY, header.tokenizer.to_string()),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(keys.into_iter().map(|(k, v)| KeyValue::new(k.to_string(), v)).collect()))
        .build();
    let file = File::create(path).map_err(|e| DistillError::io(path, "write the transcript", e))?;
    let mut writer = SerializedFileWriter::new(file, schema.clone(), Arc::new(properties)).map_err(failed)?;
    for group in exchanges.chunks(ROWS_PER_GROUP) {
        let values = |column: &Arc<Type>| {
            values(column.name(), group, header).map_err(|what| DistillError::file(path, format!("cannot be written: {what}")))
        };
        let mut row_group = writer.next_row_group().map_err(failed)?;
        for column in schema.get_fields() {
            write(&values(column)?, &mut row_group).map_err(failed)?;
        }
        row_group.close().map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Reads exchanges that [`write_parquet`] wrote, also those of format 1 (account 0) and 2 (no min-p). Names and texts are not decoded.
///
/// # Errors
/// When the file cannot be read, is not Parquet, was written by another format, lacks a column, or holds values out of range.
pub fn read_parquet(path: &Path) -> Result<Vec<Exchange>, DistillError> {
    let bad = |what: String| DistillError::file(path, format!("not a readable transcript ({what}); {REMEDY}"));
    let file = File::open(path).map_err(|e| DistillError::io(path, "read the transcript", e))?;
    let reader = SerializedFileReader::new(file).map_err(|e| bad(e.to_string()))?;
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    let value = |key: &str| metadata.and_then(|m| m.iter().find(|kv| kv.key == key)).and_then(|kv| kv.value.clone());
    let format = match value(FORMAT_KEY) {
        Some(format) if [FORMAT, WITHOUT_MIN_P, WITHOUT_ACCOUNTS].contains(&&*format) => format,
        found => {
            return Err(bad(format!("`{FORMAT_KEY}` is {found:?} instead of {FORMAT}, {WITHOUT_MIN_P} or {WITHOUT_ACCOUNTS}")));
        }
    };
    let vocab_size = value(VOCAB_KEY).and_then(|v| v.parse::<usize>().ok()).ok_or_else(|| bad(format!("no `{VOCAB_KEY}`")))?;
    let mut exchanges = Vec::new();
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(|e| bad(e.to_string()))?;
        append(&Group::new(&*group), vocab_size, &format, &mut exchanges).map_err(&bad)?;
    }
    Ok(exchanges)
}

/// Whether ids need 32 bits.
fn wide(vocab_size: usize) -> bool {
    vocab_size > usize::from(u16::MAX) + 1
}

fn schema(header: &TranscriptHeader<'_>) -> Result<Arc<Type>, ParquetError> {
    let bits = if wide(header.vocab_size) { 32 } else { 16 };
    let tokens = |name: &str| {
        format!("required group {name} (LIST) {{ repeated group list {{ required int32 item (INTEGER({bits}, false)); }} }}")
    };
    let texts =
        if header.codec.is_some() { "required binary prompt_text (STRING); required binary answer_text (STRING);" } else { "" };
    let message = format!(
        "message transcript {{
            required int64 index (INTEGER(64, false));
            required int32 account (INTEGER(32, false));
            required binary teacher (STRING);
            {prompt}
            {answer}
            {texts}
            required binary stop (STRING);
            required int32 max_new_tokens (INTEGER(32, false));
            required float temperature;
            required int32 top_k (INTEGER(32, false));
            required float top_p;
            required float min_p;
            required binary order (STRING);
            required int64 seed (INTEGER(64, false));
        }}",
        prompt = tokens("prompt"),
        answer = tokens("answer"),
    );
    parse_message_type(&message).map(Arc::new)
}

/// What a column of the schema holds for these exchanges.
fn values(column: &str, group: &[Exchange], header: &TranscriptHeader<'_>) -> Result<Values, String> {
    let long = |of: fn(&Exchange) -> u64| Values::Long(group.iter().map(|e| of(e).cast_signed()).collect());
    let number = |of: fn(&Exchange) -> f32| Values::Number(group.iter().map(of).collect());
    let count = |of: fn(&Exchange) -> usize| {
        let narrow = |e: &Exchange| u32::try_from(of(e)).map_err(|_| format!("`{column}` = {} is too large", of(e)));
        group.iter().map(|e| narrow(e).map(u32::cast_signed)).collect::<Result<_, _>>().map(Values::Count)
    };
    let tokens = |of: fn(&Exchange) -> &[TokenId]| {
        let outside = |token: &&TokenId| **token as usize >= header.vocab_size;
        match group.iter().flat_map(of).find(outside) {
            Some(token) => Err(format!("token {token} is outside the vocabulary of {}", header.vocab_size)),
            None => Ok(Values::Tokens(group.iter().map(of).collect::<Lists>())),
        }
    };
    let decoded = |of: fn((String, String)) -> String| {
        let codec = header.codec.ok_or("there is no codec for texts")?;
        Ok(Values::Text(group.iter().map(|e| of(texts(e, codec)).into_bytes().into()).collect()))
    };
    match column {
        "index" => Ok(long(|e| e.query.index)),
        "account" => Ok(Values::Count(group.iter().map(|e| e.query.account.cast_signed()).collect())),
        "teacher" => Ok(Values::Text(vec![header.teacher.as_bytes().to_vec().into(); group.len()])),
        "prompt" => tokens(|e| &e.query.prompt),
        "answer" => tokens(|e| &e.answer),
        "prompt_text" => decoded(|(prompt, _)| prompt),
        "answer_text" => decoded(|(_, answer)| answer),
        "stop" => Ok(Values::Text(group.iter().map(|e| stop_name(e.stop).into()).collect())),
        "max_new_tokens" => count(|e| e.query.max_new_tokens),
        "temperature" => Ok(number(|e| e.query.sampling.temperature)),
        "top_k" => count(|e| e.query.sampling.top_k),
        "top_p" => Ok(number(|e| e.query.sampling.top_p)),
        "min_p" => Ok(number(|e| e.query.sampling.min_p)),
        "order" => Ok(Values::Text(group.iter().map(|e| e.query.sampling.order.to_string().into_bytes().into()).collect())),
        "seed" => Ok(long(|e| e.query.seed)),
        other => Err(format!("nothing is known of a column `{other}`")),
    }
}

/// Prompt and answer as text; together they are the text of the whole, unless a character lies across both.
fn texts(exchange: &Exchange, codec: &dyn Codec) -> (String, String) {
    let prompt = codec.decode(&exchange.query.prompt);
    let whole = codec.decode(&[&exchange.query.prompt[..], &exchange.answer].concat());
    let answer = whole.strip_prefix(&prompt).map_or_else(|| codec.decode(&exchange.answer), str::to_string);
    (prompt, answer)
}

fn append(group: &Group<'_>, vocab_size: usize, format: &str, exchanges: &mut Vec<Exchange>) -> Result<(), String> {
    let (index, seed) = (group.longs("index")?, group.longs("seed")?);
    let account = if format == WITHOUT_ACCOUNTS { vec![0; index.len()] } else { group.counts("account")? };
    let (min_p, order) = if format == FORMAT {
        (group.numbers("min_p")?, orders(&group.texts("order")?)?)
    } else {
        (vec![0.0; index.len()], vec![Order::DEFAULT; index.len()])
    };
    let (max_new_tokens, top_k) = (group.counts("max_new_tokens")?, group.counts("top_k")?);
    let (temperature, top_p) = (group.numbers("temperature")?, group.numbers("top_p")?);
    let (mut prompts, mut answers) = (group.tokens("prompt")?.into_iter(), group.tokens("answer")?.into_iter());
    let stop = group.texts("stop")?;
    for row in 0..group.rows() {
        let tokens = |name: &str, lists: &mut std::vec::IntoIter<Vec<TokenId>>| {
            let ids = lists.next().unwrap_or_default();
            match ids.iter().find(|&&token| token as usize >= vocab_size) {
                Some(token) => Err(format!("row {row}, `{name}`: token {token} is outside the vocabulary of {vocab_size}")),
                None => Ok(ids),
            }
        };
        let query = Query {
            index: index[row],
            account: account[row],
            prompt: tokens("prompt", &mut prompts)?,
            max_new_tokens: max_new_tokens[row] as usize,
            sampling: Sampling {
                temperature: temperature[row],
                top_k: top_k[row] as usize,
                top_p: top_p[row],
                min_p: min_p[row],
                order: order[row],
            },
            seed: seed[row],
        };
        let answer = tokens("answer", &mut answers)?;
        let stop = [Stop::EndToken, Stop::Length].into_iter().find(|end| stop_name(*end).as_bytes() == stop[row].data());
        let stop = stop.ok_or_else(|| format!("row {row}, `stop` is neither \"end_token\" nor \"length\""))?;
        exchanges.push(Exchange { query, answer, stop });
    }
    Ok(())
}

/// The order that each text names.
fn orders(texts: &[ByteArray]) -> Result<Vec<Order>, String> {
    let order = |(row, text): (usize, &ByteArray)| {
        let text = text.as_utf8().map_err(|e| e.to_string()).and_then(|text| text.parse());
        text.map_err(|why| format!("row {row}, `order`: {why}"))
    };
    texts.iter().enumerate().map(order).collect()
}

fn stop_name(stop: Stop) -> &'static str {
    match stop {
        Stop::EndToken => "end_token",
        Stop::Length => "length",
    }
}

#[cfg(test)]
mod tests;
