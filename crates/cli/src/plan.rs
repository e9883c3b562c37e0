//! The points of a grid, and what they have in common, before anything is run.

use std::collections::BTreeMap;
use std::path::Path;

use harness::exit::NotHereYet;
use harness::pipeline::{in_words, records_there, results_directory};
use harness::resolve::Grid;
use harness::sharing::{Counts, Made, Sharing, sharing};
use serde_json::json;

use crate::output::Output;

/// Most points that are listed for people; the others are counted.
const LISTED: usize = 100;

/// `run --dry-run`: which points would be run, and what is there of them.
pub fn dry_run(grid: &Grid, chosen: &[usize], results: &Path, as_json: bool, out: &mut Output) -> anyhow::Result<()> {
    let there = records_there(results, grid)?;
    if as_json {
        for &number in chosen {
            let point = &grid.points[number];
            let suspects = point.resolved.runs().len();
            out.json(&json!({ "point": number + 1, "axes": point.axes, "suspects": suspects, "records_there": there[number] }))?;
        }
        return Ok(());
    }
    out.pair("results in", results_directory(results, grid)?.display())?;
    for &number in chosen.iter().take(LISTED) {
        let point = &grid.points[number];
        let records = match there[number] {
            0 => "no records yet".to_string(),
            n => format!("{n} records there"),
        };
        let suspects = format!("{} suspects, {records}", point.resolved.runs().len());
        match grid.is_grid() {
            true => out.pair(&format!("  point {}", number + 1), format!("{}: {suspects}", in_words(&point.axes)))?,
            false => out.pair("  would run", suspects)?,
        }
    }
    more(chosen.len(), out)?;
    shared(&sharing(grid, chosen)?, out)?;
    out.line("nothing was run; a run finds what its artifacts hold already, whatever records say")
}

/// What is said of an experiment in which nothing is wrong as far as it can be told before its models are here.
pub fn will_be_fetched(file: &Path, as_json: bool, waiting: NotHereYet, out: &mut Output) -> anyhow::Result<()> {
    if as_json {
        let models: BTreeMap<&String, &String> = waiting.models.iter().map(|(key, said)| (key, said)).collect();
        return out.json(&json!({ "name": waiting.name, "will_be_fetched": models }));
    }
    out.line(&format!("{} is valid as far as it can be told before its models are here", file.display()))?;
    for (key, said) in &waiting.models {
        out.pair(key, said)?;
    }
    out.pair("estimate", "none before they are: shapes, tokenizers and costs follow from their files")
}

/// The points by number, for `check`.
pub fn points(grid: &Grid, chosen: &[usize], out: &mut Output) -> anyhow::Result<()> {
    let part = if chosen.len() < grid.points.len() { format!(", {} of them chosen", chosen.len()) } else { String::new() };
    out.pair("grid", format!("{} points{part}", grid.points.len()))?;
    for &number in chosen.iter().take(LISTED) {
        out.pair(&format!("  point {}", number + 1), in_words(&grid.points[number].axes))?;
    }
    more(chosen.len(), out)
}

fn more(n_chosen: usize, out: &mut Output) -> anyhow::Result<()> {
    if n_chosen > LISTED { out.line(&format!("  and {} more", n_chosen - LISTED)) } else { Ok(()) }
}

/// How much of their work points have in common.
pub fn shared(sharing: &Sharing, out: &mut Output) -> anyhow::Result<()> {
    let said = Made::ALL.into_iter().filter_map(|made| {
        let Counts { alone, distinct } = sharing.counts.get(&made)?;
        Some(format!("{} {distinct} of {alone}", made.words()))
    });
    out.pair("distinct stages", said.collect::<Vec<_>>().join(", "))
}
