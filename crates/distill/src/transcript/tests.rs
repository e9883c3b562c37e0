use oracle::Exchange;

use super::*;
use crate::testing::{exchanges, header};

fn written(dir: &std::path::Path, exchanges: &[Exchange], shard_len: usize) -> TranscriptFiles {
    let paths = exchanges.chunks(shard_len).enumerate().map(|(i, shard)| {
        let path = dir.join(format!("{i}.parquet"));
        write_parquet(&path, shard, &header(50)).unwrap();
        path
    });
    TranscriptFiles::new(paths.collect(), shard_len as u64, exchanges.len() as u64)
}

#[test]
fn shards_cover_a_stream() {
    assert_eq!(shards(10, 4).collect::<Vec<_>>(), [0..4, 4..8, 8..10]);
    assert_eq!(shards(8, 4).collect::<Vec<_>>(), [0..4, 4..8]);
    assert!(shards(3, 4).eq(std::iter::once(0..3)));
    assert_eq!(shards(0, 4).count(), 0);
}

#[test]
fn files_and_memory_hold_the_same_stream_from_several_threads() {
    let dir = tempfile::tempdir().unwrap();
    let exchanges = exchanges(90);
    let (files, memory) = (written(dir.path(), &exchanges, 8), ExchangesInMemory::new(exchanges.clone(), 8));
    assert_eq!((files.len(), files.shard_len()), (memory.len(), memory.shard_len()));
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (files, memory) = (&files, &memory);
            scope.spawn(move || {
                for i in 0..36 {
                    let index = (start * 5 + i * 7) % 12;
                    files.prefetch((index + 1) % 13);
                    assert_eq!(files.shard(index).unwrap(), memory.shard(index).unwrap());
                }
            });
        }
    });
    assert!(files.shard(12).is_err() && memory.shard(12).is_err());
    let few = files.prefix(20);
    assert_eq!((few.len(), few.prefix(99).len()), (20, 20));
    assert_eq!(few.shard(2).unwrap()[..4], exchanges[16..20]);
}

#[test]
fn a_shard_in_the_wrong_place_or_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let files = written(dir.path(), &exchanges(20), 8);
    std::fs::copy(dir.path().join("0.parquet"), dir.path().join("1.parquet")).unwrap();
    let error = files.shard(1).unwrap_err().to_string();
    assert!(error.contains("1.parquet") && error.contains("query 8"), "{error}");
    std::fs::remove_file(dir.path().join("2.parquet")).unwrap();
    assert!(files.shard(2).unwrap_err().to_string().contains("2.parquet"));
    // what could not be read is tried again
    write_parquet(&dir.path().join("2.parquet"), &exchanges(20)[16..], &header(50)).unwrap();
    assert_eq!(files.shard(2).unwrap().len(), 4);
}

#[test]
fn counts_add_up() {
    let exchanges = exchanges(10);
    let mut sum = Counts::of(&exchanges[..3]);
    sum += Counts::of(&exchanges[3..]);
    assert_eq!(sum, Counts::of(&exchanges));
    let answers = exchanges.iter().map(|e| e.answer.len() as u64).sum();
    assert_eq!(sum, Counts { queries: 10, prompt_tokens: 20, answer_tokens: answers });
}
