//! False-positive rates of every registered mark, on text that nobody marked (methods 0.1 to 0.6).
//!
//! For every example of every mark: how often p is at most 0.1, 0.01 and 0.001 under keys that nobody planted, on each kind of unmarked
//! text. No rate may be larger than chance makes it, with an error rate of 1 % over all of these tests together. Marks that are ranks take
//! 99 decoys for each draw. `birthmark calibrate --marks` takes as many draws on each kind of text as it is told, and 999 decoys.
//! Seeds were fixed before the first run.

use std::time::Instant;

use marks::MarkEntry;
use marks::testing::{Lab, NullText, Strength};
use rayon::prelude::*;
use stats::tail::log10_binomial_sf;

/// Of each example, over all kinds of text together.
const DRAWS: u64 = 2_000;

/// Decoys of a rank: the smallest p is 0.01.
const DECOYS: usize = 99;

const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

/// Marked toy models of each mark.
const MARKED: u64 = 6;

#[test]
fn no_mark_fires_more_often_than_it_claims() {
    let labs: Vec<Lab> = MarkEntry::examples().iter().map(Lab::new).collect();
    let one = |(at, lab): (usize, &Lab)| {
        let begun = Instant::now();
        let texts = lab.null_texts().unwrap();
        let draws = DRAWS.div_ceil(texts.len() as u64);
        let of = |text: &NullText| (at, lab.name(), *text, draws, lab.null_draws(*text, 0..draws, DECOYS).unwrap());
        let found: Vec<_> = texts.iter().map(of).collect();
        println!("{:>28} {:8.1} s", lab.name(), begun.elapsed().as_secs_f64());
        found
    };
    let all: Vec<_> = labs.par_iter().enumerate().flat_map(one).collect();
    let tests = (all.len() * LEVELS.len()) as f64;
    let mut wrong = Vec::new();
    for (at, name, text, draws, p) in &all {
        assert!(p.len() as u64 >= *draws, "{name}: {} draws", p.len());
        for level in LEVELS {
            let hits = p.iter().filter(|p| **p <= libm::log10(level) + 1e-12).count() as u64;
            let log10_p = log10_binomial_sf(hits, p.len() as u64, level);
            if log10_p < libm::log10(0.01 / tests) {
                wrong.push(format!("{name} (example {at}), {} text: {hits} of {} at {level}", text.name(), p.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each of six models that carry a mark, under six keys, shows it; of a mark that takes more text to show, each of six with four times as much.
/// `birthmark calibrate --marks` counts more of them, at half strength too.
#[test]
fn every_mark_is_found_where_it_is() {
    let labs: Vec<Lab> = MarkEntry::examples().iter().map(Lab::new).collect();
    let one = |lab: &Lab| {
        let found = |times| lab.power(Strength::Full, times, MARKED).unwrap();
        let first = found(1)?;
        let last = if first.found < MARKED { found(4)? } else { first };
        println!("{:>28} {} of {MARKED}, {last:?}", lab.name(), first.found);
        (last.found < MARKED).then(|| format!("{}: {last:?}", lab.name()))
    };
    let wrong: Vec<String> = labs.par_iter().filter_map(one).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
