use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Permutations held in memory: of the shards, and within the shards that the rows of one step touch, over two passes.
const HELD: usize = 8;

/// In which order a training visits the exchanges of its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitOrder {
    /// As they were asked, once: what a step reads does not depend on how long the stream is.
    Stream,
    /// Pass after pass. Each visits the shards in an order of its own and, within a shard, the exchanges in one of its own, drawn
    /// from ChaCha8 (seed; stream = pass and shard): every exchange once a pass, and a shard is read once a pass.
    Shuffled {
        /// Draws all orders.
        seed: u64,
    },
}

/// Which exchange each row of a training reads: a pure function of the row, in constant memory.
#[derive(Debug)]
pub(super) struct Visits {
    order: VisitOrder,
    len: u64,
    shard_len: u64,
    /// By stream of the generator.
    held: Mutex<VecDeque<(u64, Arc<Vec<u32>>)>>,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: u64,
    /// Index within the shard.
    pub(super) at: usize,
}

impl Visits {
    /// Visits to a stream of `len` exchanges (at least 1) in shards of `shard_len` (at least 1, below 2^32).
    pub(super) fn new(order: VisitOrder, len: u64, shard_len: u64) -> Self {
        Self { order, len, shard_len, held: Mutex::default() }
    }

    /// The exchange that row `row` of the training reads. In stream order rows end where the stream does.
    pub(super) fn place(&self, row: u64) -> Place {
        let VisitOrder::Shuffled { seed } = self.order else {
            return Place { shard: row / self.shard_len, at: (row % self.shard_len) as usize };
        };
        let (pass, row) = (row / self.len, row % self.len);
        let shards = self.shards_of(seed, pass);
        // all shards are equally long but the last of the stream, which stands anywhere
        let last = self.len.div_ceil(self.shard_len) - 1;
        let last_len = self.len - last * self.shard_len;
        let before = shards.iter().position(|&shard| u64::from(shard) == last).unwrap_or(0) as u64 * self.shard_len;
        let (shard, at) = if row < before {
            (u64::from(shards[(row / self.shard_len) as usize]), row % self.shard_len)
        } else if row < before + last_len {
            (last, row - before)
        } else {
            let row = row - last_len;
            (u64::from(shards[1 + (row / self.shard_len) as usize]), row % self.shard_len)
        };
        let length = if shard == last { last_len } else { self.shard_len };
        let within = self.permutation(seed, pass << 32 | (shard + 1), length);
        Place { shard, at: within[at as usize] as usize }
    }

    /// The shard that is visited after the one of row `row`.
    pub(super) fn next_shard(&self, row: u64) -> u64 {
        let here = self.place(row).shard;
        let VisitOrder::Shuffled { seed } = self.order else { return here + 1 };
        let pass = row / self.len;
        let shards = self.shards_of(seed, pass);
        let after = shards.iter().position(|&shard| u64::from(shard) == here).map_or(0, |position| position + 1);
        shards.get(after).map_or_else(|| u64::from(self.shards_of(seed, pass + 1)[0]), |&shard| u64::from(shard))
    }

    fn shards_of(&self, seed: u64, pass: u64) -> Arc<Vec<u32>> {
        self.permutation(seed, pass << 32, self.len.div_ceil(self.shard_len))
    }

    fn permutation(&self, seed: u64, stream: u64, length: u64) -> Arc<Vec<u32>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = held.iter().find(|(key, _)| *key == stream) {
            return found.clone();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let mut permutation: Vec<u32> = (0..length as u32).collect();
        permutation.shuffle(&mut rng);
        let permutation = Arc::new(permutation);
        held.push_back((stream, permutation.clone()));
        if held.len() > HELD {
            held.pop_front();
        }
        permutation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(visits: &Visits, rows: std::ops::Range<u64>) -> Vec<u64> {
        let index = |place: Place| place.shard * visits.shard_len + place.at as u64;
        rows.map(|row| index(visits.place(row))).collect()
    }

    #[test]
    fn every_pass_visits_every_exchange_once_in_an_order_of_its_own() {
        // one shard; shards of equal length; a shorter last shard that stands first, last and in the middle of some pass
        for (len, shard_len) in [(10, 10), (10, 100), (12, 4), (13, 4), (9, 4), (1, 1), (7, 1)] {
            let visits = Visits::new(VisitOrder::Shuffled { seed: 4 }, len, shard_len);
            let passes: Vec<Vec<u64>> = (0..12).map(|pass| visited(&visits, pass * len..(pass + 1) * len)).collect();
            for pass in &passes {
                let mut sorted = pass.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..len).collect::<Vec<_>>(), "{len} in shards of {shard_len}");
                // a shard is left only when all of it was visited
                let shards: Vec<u64> = pass.iter().map(|i| i / shard_len).collect();
                let changes = shards.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
                assert_eq!(changes + 1, len.div_ceil(shard_len));
            }
            if len > 3 {
                assert!((1..12).any(|i| passes[0] != passes[i]), "orders differ between passes");
                let other = Visits::new(VisitOrder::Shuffled { seed: 5 }, len, shard_len);
                assert_ne!(visited(&visits, 0..3 * len), visited(&other, 0..3 * len));
            }
            // a pure function, asked backwards too
            let again = Visits::new(VisitOrder::Shuffled { seed: 4 }, len, shard_len);
            let mut backward: Vec<u64> = (0..12 * len).rev().flat_map(|row| visited(&again, row..row + 1)).collect();
            backward.reverse();
            assert_eq!(backward, passes.concat());
        }
    }

    #[test]
    fn the_stream_is_read_as_it_was_asked_and_ahead() {
        let visits = Visits::new(VisitOrder::Stream, 13, 4);
        assert_eq!(visited(&visits, 0..13), (0..13).collect::<Vec<_>>());
        assert_eq!((visits.next_shard(3), visits.next_shard(4)), (1, 2));
        let visits = Visits::new(VisitOrder::Shuffled { seed: 1 }, 13, 4);
        for row in 0..26 {
            let here = visits.place(row).shard;
            let next = (row..40).map(|r| visits.place(r)).find(|place| place.shard != here);
            let crossed = (row / 13..3).map(|pass| visits.place((pass + 1) * 13)).next();
            let expected = next.or(crossed).map(|place| place.shard);
            // between two passes the same shard may come twice in a row
            let told = visits.next_shard(row);
            assert!(Some(told) == expected || told == here, "row {row}: {told} instead of {expected:?}");
        }
    }
}
