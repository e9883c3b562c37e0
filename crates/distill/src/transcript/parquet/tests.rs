use parquet::basic::LogicalType;

use super::*;
use crate::testing::{exchange, header};

fn exchanges(n: u32, vocab: u32) -> Vec<Exchange> {
    (0..n)
        .map(|i| {
            let order = if i % 2 == 0 { Order::DEFAULT } else { "temperature,min_p,top_k,top_p".parse().unwrap() };
            let mut exchange =
                exchange(&[1, i % vocab, vocab - 1], &(0..i % 5).map(|j| (i * 31 + j) % vocab).collect::<Vec<_>>());
            exchange.query.index = u64::from(i);
            exchange.query.account = i % 3;
            exchange.query.seed = u64::MAX - u64::from(i);
            exchange.query.sampling = Sampling { temperature: 0.1 * i as f32, top_k: i as usize, top_p: 0.9, min_p: 0.01, order };
            exchange.stop = if i % 2 == 0 { Stop::EndToken } else { Stop::Length };
            exchange
        })
        .collect()
}

#[test]
fn transcripts_read_back_as_written() {
    let dir = tempfile::tempdir().unwrap();
    // 65,536 ids are the most that fit 16 bits
    for (vocab, bits) in [(50, 16), (65_536, 16), (65_537, 32), (151_936, 32)] {
        for n in [0, 1, 300] {
            let path = dir.path().join("transcript.parquet");
            let written = exchanges(n, vocab);
            write_parquet(&path, &written, &header(vocab as usize)).unwrap();
            assert_eq!(read_parquet(&path).unwrap(), written);
            let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr_ptr();
            let prompt = (0..schema.num_columns()).find(|at| schema.get_column_root(*at).name() == "prompt").unwrap();
            let stored = schema.column(prompt).logical_type_ref().cloned();
            assert_eq!(stored, Some(LogicalType::integer(bits, false)), "{vocab} tokens");
        }
    }
}

/// A letter for each id; 1 is no text.
struct Letters;

impl Codec for Letters {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        text.bytes().map(|byte| TokenId::from(byte - b'A')).collect()
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().filter(|id| **id != 1).map(|id| char::from(b'A' + (*id % 26) as u8)).collect()
    }

    fn vocab_size(&self) -> usize {
        26
    }

    fn bos(&self) -> Option<TokenId> {
        Some(1)
    }

    fn eos(&self) -> Option<TokenId> {
        None
    }

    fn special_ids(&self) -> &[TokenId] {
        &[1]
    }
}

/// Values of a text column.
fn texts_in(path: &Path, name: &str) -> Vec<String> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let values = |number: usize| Group::new(&*reader.get_row_group(number).unwrap()).texts(name).unwrap();
    (0..reader.num_row_groups()).flat_map(values).map(|value| value.as_utf8().unwrap().to_string()).collect()
}

#[test]
fn teacher_and_texts_stand_beside_the_ids_and_are_not_decoded_for_training() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let written = exchanges(200, 26);
    let header = TranscriptHeader { vocab_size: 26, tokenizer: "abc123", teacher: "clean", codec: Some(&Letters) };
    write_parquet(&path, &written, &header).unwrap();
    assert_eq!(read_parquet(&path).unwrap(), written);
    assert_eq!(texts_in(&path, "teacher"), vec!["clean"; 200]);
    let decoded = |of: fn(&Exchange) -> &[TokenId]| written.iter().map(|e| Letters.decode(of(e))).collect::<Vec<_>>();
    assert_eq!(texts_in(&path, "prompt_text"), decoded(|e| &e.query.prompt));
    assert_eq!(texts_in(&path, "answer_text"), decoded(|e| &e.answer));

    let metadata = SerializedFileReader::new(File::open(&path).unwrap()).unwrap().metadata().clone();
    let keys = metadata.file_metadata().key_value_metadata().unwrap();
    assert!(keys.iter().any(|kv| kv.key == TOKENIZER_KEY && kv.value.as_deref() == Some("abc123")));
    // spoiled texts do not matter, as nobody looks at them; a spoiled answer does
    let whole = std::fs::read(&path).unwrap();
    let spoiled = |names: &[&str]| {
        let mut bytes = whole.clone();
        for chunk in metadata.row_group(0).columns() {
            if names.contains(&chunk.column_path().parts()[0].as_str()) {
                let (start, length) = chunk.byte_range();
                bytes[start as usize..][..length as usize].fill(0xff);
            }
        }
        std::fs::write(&path, bytes).unwrap();
        read_parquet(&path)
    };
    assert_eq!(spoiled(&["teacher", "prompt_text", "answer_text"]).unwrap(), written);
    assert!(spoiled(&["answer"]).unwrap_err().to_string().contains("not a readable transcript"));
}

#[test]
fn files_of_earlier_formats_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let written = exchanges(20, 50);
    for (format, missing) in [("1", &["account", "teacher", "min_p", "order"][..]), ("2", &["min_p", "order"])] {
        let keys = [(FORMAT_KEY, format), (VOCAB_KEY, "50")].map(|(key, value)| KeyValue::new(key.into(), value.to_string()));
        let mut old = table(&written, 50);
        old.retain(|(column, _)| !missing.contains(&name_of(column)));
        write_table(&path, &old, keys.to_vec());
        let expected = written.iter().cloned().map(|mut exchange| {
            let sampling = &mut exchange.query.sampling;
            (sampling.min_p, sampling.order) = (0.0, Order::DEFAULT);
            exchange.query.account *= u32::from(format != "1");
            exchange
        });
        assert_eq!(read_parquet(&path).unwrap(), expected.collect::<Vec<_>>(), "format {format}");
    }
}

#[test]
fn equal_transcripts_are_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = dir.path().join(name);
        write_parquet(&path, &exchanges(200, 1024), &header(1024)).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(bytes("a") == bytes("b"));
}

#[test]
fn a_token_outside_the_vocabulary_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let error = write_parquet(&path, &exchanges(9, 50), &header(49)).unwrap_err().to_string();
    assert!(error.contains("transcript.parquet") && error.contains("token 49 is outside the vocabulary of 49"), "{error}");
}

#[test]
fn damaged_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let check = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = read_parquet(&path).unwrap_err();
        assert!(matches!(error, DistillError::File { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("transcript.parquet") && text.contains("delete it"), "{text}");
    };
    write_parquet(&path, &exchanges(100, 50), &header(50)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        check(&whole[..cut]);
    }
    check(b"PAR1 this is not a table PAR1");
    let missing = read_parquet(&dir.path().join("nothing.parquet")).unwrap_err();
    assert!(matches!(missing, DistillError::Store(_)) && missing.to_string().contains("nothing.parquet"), "{missing:?}");
}

/// Columns, as a schema writes them, with what they hold.
type Table = Vec<(String, Values)>;

/// What [`write_parquet`] makes of exchanges.
fn table(exchanges: &[Exchange], vocab: usize) -> Table {
    let schema = schema(&header(vocab)).unwrap();
    let column = |field: &Arc<Type>| {
        let mut text = Vec::new();
        parquet::schema::printer::print_schema(&mut text, field);
        (String::from_utf8(text).unwrap(), values(field.name(), exchanges, &header(vocab)).unwrap())
    };
    schema.get_fields().iter().map(column).collect()
}

/// `index` of `REQUIRED INT64 index (INTEGER(64,false));`
fn name_of(column: &str) -> &str {
    column
        .split_whitespace()
        .find(|word| !["REQUIRED", "INT64", "INT32", "FLOAT", "BYTE_ARRAY", "group"].contains(word))
        .unwrap()
        .trim_end_matches(';')
}

/// Writes a table under these keys.
fn write_table(path: &Path, table: &[(String, Values)], keys: Vec<KeyValue>) {
    let fields: String = table.iter().map(|(column, _)| column.as_str()).collect();
    let schema = parse_message_type(&format!("message table {{ {fields} }}")).unwrap();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(keys)).build();
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in table {
        write(values, &mut group).unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn tables_of_another_kind_are_refused_by_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let keys = |format: &str| {
        vec![KeyValue::new(FORMAT_KEY.into(), format.to_string()), KeyValue::new(VOCAB_KEY.into(), "50".to_string())]
    };
    let index = || ("required int64 index;".to_string(), Values::Long(vec![0]));
    let text = || ("required binary index (STRING);".to_string(), Values::Text(vec![ByteArray::from("0")]));
    // a list of one id, and one whose only place holds none
    let list = || {
        let item = "repeated group list { required int32 item; }";
        (format!("required group index (LIST) {{ {item} }}"), Values::Tokens([&[7][..]].into_iter().collect()))
    };
    let gap = || {
        let item = "repeated group list { required int32 item; }";
        (format!("optional group prompt (LIST) {{ {item} }}"), Values::Tokens([&[][..]].into_iter().collect()))
    };
    let cases = [
        (vec![index()], vec![], "birthmark.transcript.format"),
        (vec![index()], keys("4"), "instead of 3, 2 or 1"),
        (vec![index()], keys("3"), "no column `"),
        (vec![index()], keys("3")[..1].to_vec(), "birthmark.transcript.vocab_size"),
        (vec![index()], keys("1"), "no column `seed`"),
        (vec![text()], keys("3"), "column `index` is BYTE_ARRAY instead of INT64"),
        (vec![list()], keys("3"), "column `index` is nested"),
    ];
    for (columns, keys, expected) in cases {
        write_table(&path, &columns, keys);
        let error = read_parquet(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
    let mut gaps = table(&exchanges(1, 50), 50);
    for column in &mut gaps {
        if name_of(&column.0) == "prompt" {
            *column = gap();
        }
    }
    write_table(&path, &gaps, keys("3"));
    let error = read_parquet(&path).unwrap_err().to_string();
    assert!(error.contains("column `prompt` has gaps"), "{error}");
}

#[test]
fn values_out_of_range_are_refused_with_their_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let keys = || vec![KeyValue::new(FORMAT_KEY.into(), "3".to_string()), KeyValue::new(VOCAB_KEY.into(), "40".to_string())];
    write_table(&path, &table(&exchanges(3, 45), 45), keys());
    let error = read_parquet(&path).unwrap_err().to_string();
    assert!(error.contains("row 0, `prompt`: token 44 is outside the vocabulary of 40"), "{error}");
    let mut stops = table(&exchanges(3, 40), 40);
    for (column, values) in &mut stops {
        if name_of(column) == "stop" {
            *values = Values::Text(vec![ByteArray::from("maybe"); 3]);
        }
    }
    write_table(&path, &stops, keys());
    let error = read_parquet(&path).unwrap_err().to_string();
    assert!(error.contains("row 0, `stop` is neither \"end_token\" nor \"length\""), "{error}");
}
