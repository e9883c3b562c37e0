use super::*;
use crate::testing::{exchange, header};

fn exchanges(n: u32, vocab: u32) -> Vec<Exchange> {
    (0..n)
        .map(|i| {
            let mut exchange =
                exchange(&[1, i % vocab, vocab - 1], &(0..i % 5).map(|j| (i * 31 + j) % vocab).collect::<Vec<_>>());
            exchange.query.index = u64::from(i);
            exchange.query.account = i % 3;
            exchange.query.seed = u64::MAX - u64::from(i);
            exchange.query.sampling = Sampling { temperature: 0.1 * i as f32, top_k: i as usize, top_p: 0.9 };
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
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let stored = reader.schema().field_with_name("prompt").unwrap().data_type().to_string();
            assert!(stored.contains(&format!("UInt{bits}")), "{vocab} tokens are stored as {stored}");
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
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let values = |batch: RecordBatch| -> Vec<String> {
        column::<StringArray>(&batch, name).unwrap().iter().flatten().map(str::to_string).collect()
    };
    reader.flat_map(|batch| values(batch.unwrap())).collect()
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

    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata().clone();
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
    assert_eq!(spoiled(&UNREAD).unwrap(), written);
    assert!(spoiled(&["answer"]).unwrap_err().to_string().contains("not a readable transcript"));
}

#[test]
fn a_file_without_accounts_is_read_as_that_of_account_0() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let written = exchanges(20, 50);
    let fields = schema(&header(50));
    let names = fields.fields().iter().map(|field| field.name().as_str());
    let old = names.zip(columns(&written, &header(50)).unwrap()).filter(|(name, _)| !["account", "teacher"].contains(name));
    let keys = [(FORMAT_KEY, "1"), (VOCAB_KEY, "50")].map(|(key, value)| KeyValue::new(key.into(), value.to_string()));
    write_table(&path, old.collect(), keys.to_vec());
    let expected = written.into_iter().map(|e| Exchange { query: Query { account: 0, ..e.query }, ..e });
    assert_eq!(read_parquet(&path).unwrap(), expected.collect::<Vec<_>>());
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

/// Writes a table of one `index` column, or any other, under this format's key.
fn write_table(path: &Path, columns: Vec<(&str, ArrayRef)>, keys: Vec<KeyValue>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(keys)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn tables_of_another_kind_are_refused_by_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let keys = |format: &str| {
        vec![KeyValue::new(FORMAT_KEY.into(), format.to_string()), KeyValue::new(VOCAB_KEY.into(), "50".to_string())]
    };
    let index = || ("index", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![0])) as ArrayRef);
    let text = || ("index", Arc::new(StringArray::from(vec!["0"])) as ArrayRef);
    let gap = || ("index", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![None])) as ArrayRef);
    let cases = [
        (vec![index()], vec![], "birthmark.transcript.format"),
        (vec![index()], keys("3"), "instead of 2 or 1"),
        (vec![index()], keys("2"), "no column `"),
        (vec![index()], keys("2")[..1].to_vec(), "birthmark.transcript.vocab_size"),
        (vec![index()], keys("1"), "no column `seed`"),
        (vec![text()], keys("2"), "column `index` is Utf8"),
        (vec![gap()], keys("2"), "column `index` has gaps"),
    ];
    for (columns, keys, expected) in cases {
        write_table(&path, columns, keys);
        let error = read_parquet(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}

#[test]
fn values_out_of_range_are_refused_with_their_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.parquet");
    let keys = || vec![KeyValue::new(FORMAT_KEY.into(), "2".to_string()), KeyValue::new(VOCAB_KEY.into(), "40".to_string())];
    let names: Vec<String> = schema(&header(45)).fields().iter().map(|f| f.name().clone()).collect();
    let table = |change: &dyn Fn(&str, ArrayRef) -> ArrayRef| {
        let columns = columns(&exchanges(3, 45), &header(45)).unwrap();
        let changed: Vec<(&str, ArrayRef)> = names.iter().zip(columns).map(|(n, c)| (n.as_str(), change(n, c))).collect();
        write_table(&path, changed, keys());
        read_parquet(&path).unwrap_err().to_string()
    };
    let error = table(&|_, column| column);
    assert!(error.contains("row 0, `prompt`: token 44 is outside the vocabulary of 40"), "{error}");
    let stops = |name: &str, column: ArrayRef| match name {
        "stop" => Arc::new(StringArray::from(vec!["maybe"; 3])) as ArrayRef,
        "prompt" | "answer" => Arc::new({
            let mut lists = ListBuilder::new(PrimitiveBuilder::<UInt16Type>::new());
            (0..3).for_each(|_| lists.append(true));
            lists.finish()
        }),
        _ => column,
    };
    let error = table(&stops);
    assert!(error.contains("row 0, `stop` is \"maybe\""), "{error}");
}
