//! How many different prompts a training meets.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oracle::Exchange;

use super::order::{VisitOrder, Visits};
use crate::error::DistillError;
use crate::transcript::ExchangeStream;

/// Prompts whose hashes are compared at a time: memory does not grow with the budget.
const AT_A_TIME: u64 = 1 << 20;

/// Different prompts among those that the first `rows` rows of a training on `stream` read in `order`, told apart by 64-bit hashes. Many
/// prompts are sorted into files of `scratch` first, which are removed again.
///
/// # Errors
/// When a shard cannot be read or `scratch` not be written.
pub fn distinct_prompts(stream: &dyn ExchangeStream, order: VisitOrder, rows: u64, scratch: &Path) -> Result<u64, DistillError> {
    distinct(stream, order, rows, scratch, AT_A_TIME)
}

fn distinct(
    stream: &dyn ExchangeStream,
    order: VisitOrder,
    rows: u64,
    scratch: &Path,
    at_a_time: u64,
) -> Result<u64, DistillError> {
    // a pass visits every exchange once
    let rows = rows.min(stream.len());
    let visits = Visits::new(order, stream.len(), stream.shard_len());
    let mut shard: Option<(u64, Arc<Vec<Exchange>>)> = None;
    let mut hashes = (0..rows).map(|row| -> Result<u64, DistillError> {
        let place = visits.place(row);
        let here = match shard.take().filter(|(index, _)| *index == place.shard) {
            Some((_, here)) => here,
            None => stream.shard(place.shard)?,
        };
        let too_short = || DistillError::Data(format!("shard {} of the transcript is too short", place.shard));
        let mut hasher = DefaultHasher::new();
        here.get(place.at).ok_or_else(too_short)?.query.prompt.hash(&mut hasher);
        shard = Some((place.shard, here));
        Ok(hasher.finish())
    });
    let parts = rows.div_ceil(at_a_time);
    if parts <= 1 {
        return Ok(different(hashes.collect::<Result<_, _>>()?));
    }
    let places: Vec<PathBuf> = (0..parts).map(|part| scratch.join(format!("prompts-{part}"))).collect();
    let open = |path: &PathBuf| File::create(path).map(BufWriter::new).map_err(|error| DistillError::io(path, "write", error));
    let mut files = places.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    hashes.try_for_each(|hash| {
        let hash = hash?;
        let part = ((u128::from(hash) * u128::from(parts)) >> 64) as usize;
        files[part].write_all(&hash.to_le_bytes()).map_err(|error| DistillError::io(&places[part], "write", error))
    })?;
    let mut sum = 0;
    for (path, file) in places.iter().zip(files) {
        let failed = |error: std::io::Error| DistillError::io(path, "write", error);
        file.into_inner().map_err(|error| failed(error.into_error()))?;
        let bytes = fs::read(path).map_err(failed)?;
        sum += different(bytes.as_chunks().0.iter().map(|hash| u64::from_le_bytes(*hash)).collect());
        fs::remove_file(path).map_err(failed)?;
    }
    Ok(sum)
}

fn different(mut hashes: Vec<u64>) -> u64 {
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use crate::transcript::ExchangesInMemory;

    #[test]
    fn prompts_that_stand_twice_count_once() {
        // prompts 0 .. 12, five of which stand twice
        let exchanges: Vec<Exchange> = (0..18).map(|i| exchange(&[1, i % 13], &[i])).collect();
        let stream = ExchangesInMemory::new(exchanges, 4);
        let scratch = tempfile::tempdir().unwrap();
        for order in [VisitOrder::Stream, VisitOrder::Shuffled { seed: 3 }] {
            for at_a_time in [3, 100] {
                let count = |rows| distinct(&stream, order, rows, scratch.path(), at_a_time).unwrap();
                assert_eq!((count(0), count(1), count(18), count(180)), (0, 1, 13, 13));
                // a part of a pass, as it is visited
                let visits = Visits::new(order, 18, 4);
                let mut met: Vec<u64> = (0..9).map(|row| visits.place(row)).map(|p| (p.shard * 4 + p.at as u64) % 13).collect();
                met.sort_unstable();
                met.dedup();
                assert_eq!(count(9), met.len() as u64);
                assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
            }
        }
    }
}
