use super::*;
use crate::testing::exchange;

fn exchanges(n: u32, vocab: u32) -> Vec<Exchange> {
    (0..n)
        .map(|i| {
            let mut exchange =
                exchange(&[1, i % vocab, vocab - 1], &(0..i % 5).map(|j| (i * 31 + j) % vocab).collect::<Vec<_>>());
            exchange.query.index = u64::from(i);
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
            write_parquet(&path, &written, vocab as usize).unwrap();
            assert_eq!(read_parquet(&path).unwrap(), written);
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let stored = reader.schema().field_with_name("prompt").unwrap().data_type().to_string();
            assert!(stored.contains(&format!("UInt{bits}")), "{vocab} tokens are stored as {stored}");
        }
    }
}

#[test]
fn equal_transcripts_are_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = dir.path().join(name);
        write_parquet(&path, &exchanges(200, 1024), 1024).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(bytes("a") == bytes("b"));
}

#[test]
fn a_token_outside_the_vocabulary_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("transcript.parquet");
    let error = write_parquet(&path, &exchanges(9, 50), 49).unwrap_err().to_string();
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
    write_parquet(&path, &exchanges(100, 50), 50).unwrap();
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
        (vec![index()], keys("2"), "instead of 1"),
        (vec![index()], keys("1")[..1].to_vec(), "birthmark.transcript.vocab_size"),
        (vec![index()], keys("1"), "no column `seed`"),
        (vec![text()], keys("1"), "column `index` is Utf8"),
        (vec![gap()], keys("1"), "column `index` has gaps"),
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
    let keys = || vec![KeyValue::new(FORMAT_KEY.into(), "1".to_string()), KeyValue::new(VOCAB_KEY.into(), "40".to_string())];
    let names: Vec<String> = schema(false).fields().iter().map(|f| f.name().clone()).collect();
    let table = |change: &dyn Fn(&str, ArrayRef) -> ArrayRef| {
        let columns = columns(&exchanges(3, 45), 45, false).unwrap();
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
