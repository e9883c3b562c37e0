//! Files of texts: three formats read alike, splits that share no record, and bad input named with its place and what to do.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers as well")]

use corpus::{FileError, FileTexts, OTHER_CLASSES, Split, TaskKind, Texts, from_file, from_file_unless};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

fn stories(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("Story {i} began on a day when nothing much was going on. Then cat {i} came in. It left at once, of course, because that is what cats do when nobody looks.")).collect()
}

fn write(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn jsonl(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{}\n", serde_json::json!({"id": 1, "text": text}))).collect()
}

/// Leaves of a Parquet file: values with definition and repetition levels.
enum Leaf {
    Numbers(Vec<i64>),
    Texts(Vec<ByteArray>, Vec<i16>, Vec<i16>),
}

fn texts(values: impl IntoIterator<Item = impl AsRef<str>>) -> Leaf {
    Leaf::Texts(values.into_iter().map(|value| ByteArray::from(value.as_ref())).collect(), Vec::new(), Vec::new())
}

/// A file with the fields of a schema and what its leaves hold, in order.
fn parquet(name: &str, fields: &str, leaves: Vec<Leaf>, compression: Compression) -> (TempDir, PathBuf) {
    let (dir, path) = write(name, "");
    let schema = parse_message_type(&format!("message table {{ {fields} }}")).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for leaf in leaves {
        let mut column = group.next_column().unwrap().unwrap();
        match leaf {
            Leaf::Numbers(values) => column.typed::<Int64Type>().write_batch(&values, None, None),
            Leaf::Texts(values, definitions, repetitions) => {
                let levels = |levels: Vec<i16>| Some(levels).filter(|levels| !levels.is_empty());
                let (definitions, repetitions) = (levels(definitions), levels(repetitions));
                column.typed::<ByteArrayType>().write_batch(&values, definitions.as_deref(), repetitions.as_deref())
            }
        }
        .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    (dir, path)
}

const TEXT: &str = "required binary text (STRING);";

fn all_splits() -> impl Iterator<Item = Split> {
    let named = [Split::Train, Split::HeldOut, Split::Prompts, Split::Audit, Split::Tasks];
    named.into_iter().chain((0..OTHER_CLASSES).map(Split::Other))
}

fn whole(texts: &FileTexts, split: Split) -> Vec<String> {
    (0..texts.whole_records(split)).map(|index| texts.document(split, index)).collect()
}

#[test]
fn three_formats_give_the_same_texts() {
    let stories = stories(300);
    let (_a, text) = write("s.txt", stories.join("\n\n"));
    let (_b, lines) = write("s.jsonl", jsonl(&stories));
    let (_c, snappy) = parquet("s.parquet", TEXT, vec![texts(&stories)], Compression::SNAPPY);
    let (_d, zstd) = parquet("z.parquet", TEXT, vec![texts(&stories)], Compression::ZSTD(ZstdLevel::default()));
    let read: Vec<FileTexts> = [text, lines, snappy, zstd].iter().map(|path| from_file(path, "text", 9).unwrap()).collect();
    for split in all_splits() {
        let expected = whole(&read[0], split);
        assert!(read.iter().all(|texts| whole(texts, split) == expected && texts.len(split) == read[0].len(split)), "{split:?}");
    }
}

#[test]
fn every_record_is_in_exactly_one_split() {
    let (_dir, path) = write("s.jsonl", jsonl(&stories(1000)));
    let texts = from_file(&path, "text", 3).unwrap();
    let shared: Vec<String> = all_splits().flat_map(|split| whole(&texts, split)).collect();
    assert_eq!(shared.len(), 1000);
    assert_eq!(shared.iter().collect::<HashSet<_>>().len(), 1000);
    assert_eq!(texts.whole_records(Split::Train) / 10, 1000 * 5 / 16 / 10);
    let other = from_file(&path, "text", 4).unwrap();
    assert_ne!(whole(&texts, Split::Train), whole(&other, Split::Train));
    assert!(texts.task(TaskKind::Facts, Split::Tasks, 0).is_none());
}

#[test]
fn prompts_go_on_with_later_sentences_and_then_start_over() {
    let (_dir, path) = write("s.txt", stories(64).join("\n\n"));
    let texts = from_file(&path, "", 3).unwrap();
    let (records, len) = (texts.whole_records(Split::Prompts), texts.len(Split::Prompts).unwrap());
    assert_eq!(len, 3 * records);
    for index in 0..records {
        let whole = texts.document(Split::Prompts, index);
        let (second, third) =
            (texts.document(Split::Prompts, records + index), texts.document(Split::Prompts, 2 * records + index));
        assert!(whole.starts_with("Story") && second.starts_with("Then cat") && third.starts_with("It left"));
        assert!(whole.ends_with(&second) && second.ends_with(&third));
        assert_eq!(texts.document(Split::Prompts, len + index), whole);
    }
    assert_eq!(texts.len(Split::Train), Some(texts.whole_records(Split::Train)), "training texts have no windows");
}

#[test]
fn blank_and_repeated_records_are_skipped_and_counted() {
    let mut lines = jsonl(&stories(20));
    lines += "\n{\"text\": \"  \"}\n{\"text\": null}\n";
    lines += &jsonl(&stories(2));
    let (_dir, path) = write("s.jsonl", lines);
    let texts = from_file(&path, "text", 0).unwrap();
    assert_eq!(texts.skipped(), (3, 2));
    assert!(texts.describe().contains("20 records (3 blank and 2 repeated ones skipped)"), "{}", texts.describe());
    for split in [Split::Train, Split::HeldOut, Split::Prompts, Split::Audit, Split::Tasks] {
        assert!(texts.len(split) > Some(0), "{split:?}");
    }
}

#[test]
fn bad_files_are_named_with_place_and_remedy() {
    let check = |name: &str, bytes: &[u8], said: &[&str]| {
        let (_dir, path) = write(name, bytes);
        let error = from_file(&path, "text", 0).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        assert!(!error.contains('\n'), "one line: {error}");
        for said in said {
            assert!(error.contains(said), "{error}");
        }
    };
    check("s.txt", b"", &["empty"]);
    check("s.jsonl", b"", &["empty"]);
    check("s.parquet", b"", &["empty"]);
    check("s.parquet", b"PAR1 but not really PAR1", &["write it again as Parquet"]);
    check("s.csv", b"text", &[".txt, .jsonl or .parquet"]);
    check("s.txt", b"fine \xff not fine", &["not UTF-8 at byte 5"]);
    check("s.jsonl", b"{\"text\": \"\xc3\"}", &["not UTF-8 at byte 10"]);
    check("s.txt", b"only one line\n", &["1 usable records", "at least 16", "blank lines"]);
    check("s.txt", b" \n\n ", &["0 usable records"]);
    check("s.jsonl", b"{\"text\": \"one\"}\n", &["1 usable records", "one a line"]);
    check("s.jsonl", b"{\"text\": \"one\"}\n{\"text\": \n", &["line 2", "one JSON object a line"]);
    check("s.jsonl", b"[1]\n", &["line 1", "an array, not an object"]);
    check("s.jsonl", b"{\"text\": \"one\"}\n{\"b\": \"x\", \"a\": 1}\n", &["line 2", "no column `text`", "a, b"]);
    check("s.jsonl", b"{\"text\": 5}\n", &["line 1", "`text` holds a number"]);
    let missing = from_file(&PathBuf::from("/nowhere/s.txt"), "text", 0).unwrap_err();
    assert!(matches!(&missing, FileError::Io { .. }) && missing.to_string().contains("/nowhere/s.txt"), "{missing}");
}

#[test]
fn parquet_columns_are_checked() {
    let fields = "required int64 n; required binary story (STRING);";
    let (_dir, path) = parquet("s.parquet", fields, vec![Leaf::Numbers(vec![1; 20]), texts(stories(20))], Compression::SNAPPY);
    let error = from_file(&path, "text", 0).unwrap_err().to_string();
    assert!(error.contains("no column `text`") && error.contains("n, story"), "{error}");
    let error = from_file(&path, "n", 0).unwrap_err().to_string();
    assert!(error.contains("`n` holds INT64") && error.contains("column of strings"), "{error}");
    assert_eq!(whole(&from_file(&path, "story", 0).unwrap(), Split::HeldOut).len(), 2);
}

#[test]
fn real_stories_are_read() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/text/tinystories_recased.jsonl"));
    if !path.exists() {
        println!("skipped: {} is not here", path.display());
        return;
    }
    let texts = from_file(&path, "text", 1).unwrap();
    println!("{}", texts.describe());
    assert!(texts.whole_records(Split::Prompts) > 1000);
    assert!(texts.len(Split::Prompts).unwrap() > 10 * texts.whole_records(Split::Prompts));
    let error = from_file(&path, "story", 1).unwrap_err().to_string();
    assert!(error.contains("line 1: no column `story`; set column to one of: "), "{error}");
}

#[test]
fn a_byte_order_mark_and_null_are_no_text() {
    let stories = stories(40);
    let (_a, plain) = write("s.txt", stories.join("\n\n"));
    let (_b, marked) = write("s.txt", format!("\u{feff}{}", stories.join("\n\n")));
    let nulls = format!("\u{feff}{{\"text\": null}}\r\n{}{{\"text\": null}}\n", jsonl(&stories));
    let (_c, lines) = write("s.jsonl", nulls);
    let [plain, marked, lines] = [plain, marked, lines].map(|path| from_file(&path, "text", 9).unwrap());
    for split in all_splits() {
        assert_eq!(whole(&plain, split), whole(&marked, split));
        assert_eq!(whole(&plain, split), whole(&lines, split));
    }
    assert_eq!(lines.skipped(), (2, 0));
    // at the start alone: elsewhere it is a character of the text
    let (_d, twice) = write("s.txt", format!("\u{feff}\u{feff}{}", stories.join("\n\n")));
    let read = from_file(&twice, "text", 9).unwrap();
    assert!(all_splits().any(|split| whole(&read, split).iter().any(|text| text.starts_with('\u{feff}'))));
}

#[test]
fn endings_in_capitals_are_the_same_endings() {
    let stories = stories(20);
    let (_a, text) = write("S.TXT", stories.join("\n\n"));
    let (_b, lines) = write("S.JsonL", jsonl(&stories));
    let (_c, parquet) = parquet("S.PARQUET", TEXT, vec![texts(&stories)], Compression::SNAPPY);
    for path in [text, lines, parquet] {
        assert_eq!(whole(&from_file(&path, "text", 1).unwrap(), Split::HeldOut).len(), 2, "{}", path.display());
    }
}

#[test]
fn gzip_is_read_and_other_codecs_are_named() {
    let (_a, gzip) = parquet("s.parquet", TEXT, vec![texts(stories(20))], Compression::GZIP(GzipLevel::default()));
    assert_eq!(whole(&from_file(&gzip, "text", 1).unwrap(), Split::HeldOut).len(), 2);
    // no writer of these is built in: a file whose footer says so has the same first bytes of its chunks
    let (_b, plain) = parquet("s.parquet", TEXT, vec![texts(stories(20))], Compression::UNCOMPRESSED);
    for (codec, number) in [("LZO", 3_u8), ("BROTLI", 4), ("LZ4", 5), ("LZ4_RAW", 7)] {
        let mut bytes = std::fs::read(&plain).unwrap();
        // field 4 of a chunk's metadata, after the list of its path (one name of four letters)
        let name = bytes.windows(6).rposition(|window| window == b"\x18\x04text" || window == b"\x19\x18\x04tex").unwrap();
        let at = bytes[name..].windows(2).position(|window| window == [0x15, 0x00]).unwrap() + name;
        bytes[at + 1] = number << 1;
        let (_c, path) = write("s.parquet", bytes);
        let error = from_file(&path, "text", 1).map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("`text` is compressed with {codec}, which is not read")), "{error}");
        assert!(error.contains("zstd, snappy, gzip or no compression"), "{error}");
    }
}

/// Who speaks, and what; `None` a turn without text.
type Turn = (&'static str, Option<String>);

/// Fields and leaves of a column of lists of turns.
fn conversations(column: &str, names: [&str; 2], rows: &[Vec<Turn>]) -> (String, Vec<Leaf>) {
    let parts = names.map(|name| format!("optional binary {name} (STRING);")).concat();
    let fields = format!("required group {column} (LIST) {{ repeated group list {{ required group item {{ {parts} }} }} }}");
    let leaf = |of: &dyn Fn(&Turn) -> Option<String>| {
        let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            // 0 of an empty list, 1 of a turn without this part, 2 of one with it
            let places: Vec<Option<String>> = row.iter().map(of).collect();
            definitions.extend(places.iter().map(|place| if place.is_some() { 2 } else { 1 }));
            repetitions.extend((0..places.len().max(1)).map(|at| i16::from(at > 0)));
            if places.is_empty() {
                definitions.push(0);
            }
            values.extend(places.into_iter().flatten().map(|text| ByteArray::from(text.as_str())));
        }
        Leaf::Texts(values, definitions, repetitions)
    };
    (fields, vec![leaf(&|(who, _)| Some((*who).to_string())), leaf(&|(_, what)| what.clone())])
}

#[test]
fn the_first_turn_of_the_user_is_the_text_of_a_conversation() {
    let stories = stories(60);
    let talks = |user: &'static str, others: [&'static str; 2]| -> Vec<Vec<Turn>> {
        let talk = |(i, story): (usize, &String)| {
            let said = (user, Some(story.clone()));
            let more = (user, Some("And then?".to_string()));
            match i % 3 {
                0 => vec![said],
                1 => vec![(others[0], Some("Be brief.".into())), said, (others[1], None), more],
                _ => vec![said, (others[1], Some("Oh.".into())), more],
            }
        };
        let mut talks: Vec<_> = stories.iter().enumerate().map(talk).collect();
        // nothing said, nobody who says it, and nothing at all
        talks.extend([vec![(user, None)], vec![(others[1], Some("Hm.".into()))], Vec::new()]);
        talks
    };
    let (_a, plain) = write("s.txt", stories.join("\n\n"));
    let plain = from_file(&plain, "", 9).unwrap();
    for (column, names, user, others) in [
        ("messages", ["role", "content"], "user", ["system", "assistant"]),
        ("conversations", ["from", "value"], "human", ["system", "gpt"]),
    ] {
        let talks = talks(user, others);
        let turn = |(who, what): &Turn| serde_json::json!({ names[0]: who, names[1]: what });
        let line = |talk: &Vec<_>| format!("{}\n", serde_json::json!({ column: talk.iter().map(turn).collect::<Vec<_>>() }));
        let (_b, lines) = write("s.jsonl", talks.iter().map(line).collect::<String>());
        let (_c, parquet) = {
            let (fields, leaves) = conversations(column, names, &talks);
            parquet("s.parquet", &fields, leaves, Compression::SNAPPY)
        };
        for path in [lines, parquet] {
            let read = from_file(&path, column, 9).unwrap();
            assert_eq!(read.skipped(), (3, 0), "{}", path.display());
            for split in all_splits() {
                assert_eq!(whole(&read, split), whole(&plain, split), "{column} {split:?}");
            }
        }
    }
    let (_d, lists) = write("s.jsonl", "{\"text\": [\"a\", \"b\"]}\n");
    let error = from_file(&lists, "text", 0).map(drop).unwrap_err().to_string();
    assert!(error.contains("line 1: column `text` holds a list of other things than turns"), "{error}");
    let (fields, leaves) = conversations("text", ["a", "b"], &[vec![("x", None)]]);
    let (_e, nested) = parquet("s.parquet", &fields, leaves, Compression::SNAPPY);
    let error = from_file(&nested, "text", 0).map(drop).unwrap_err().to_string();
    assert!(error.contains("nested values that are no conversations"), "{error}");
}

#[test]
fn a_small_file_that_says_it_is_large_takes_no_memory() {
    // two hundred thousand rows that share one text of 10 kB, in a few kB
    let text = ByteArray::from("word ".repeat(2_000).as_str());
    let column = Leaf::Texts(vec![text; 200_000], Vec::new(), Vec::new());
    let (_dir, path) = parquet("s.parquet", TEXT, vec![column], Compression::ZSTD(ZstdLevel::default()));
    assert!(std::fs::metadata(&path).unwrap().len() < 20_000);
    let error = from_file(&path, "text", 0).map(drop).unwrap_err().to_string();
    assert!(error.contains("1 usable records (0 blank and 199999 repeated ones skipped)"), "{error}");
    // and it is given up when it is to be
    let error = from_file_unless(&path, "text", 0, &|| true).map(drop).unwrap_err();
    assert!(matches!(error, FileError::Stopped { .. }), "{error}");
}

#[test]
fn what_is_no_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("s.jsonl");
    std::fs::create_dir(&path).unwrap();
    let error = from_file(&path, "text", 0).map(drop).unwrap_err().to_string();
    assert!(error.contains("s.jsonl: it is a directory, not a file"), "{error}");
}
