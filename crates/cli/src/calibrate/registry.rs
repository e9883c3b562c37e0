//! `birthmark calibrate --marks`: whether our own marks keep the levels that they claim (methods 0.1 to 0.6).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use marks::MarkEntry;
use marks::testing::{Lab, NullText};
use rayon::prelude::*;
use results::{PValueSeries, calibration_figure};
use serde_json::json;
use stats::tail::log10_binomial_sf;

use super::parts::{AT_A_TIME, Parts};
use super::power;
use crate::exit::{DEVIATES, Found, UsageError};
use crate::output::{Output, complain};

/// Levels at which false positives are counted.
const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

/// Decoys of a mark that is a rank among them: the smallest p is the smallest level.
const DECOYS: usize = 999;

/// Such a mark is tested once where others are tested so often: each of its tests judges a thousand keys.
const RANKED_SELDOM: u64 = 10;

/// One mark on one kind of text.
struct Row {
    mark: &'static str,
    /// Its parameters, as a file gives them.
    parameters: String,
    text: NullText,
    /// log10 p of each test.
    log10_p: Vec<f64>,
}

impl Row {
    fn hits(&self, level: f64) -> u64 {
        // a p of 0.1 is at most 0.1, whatever its logarithm rounds to
        self.log10_p.iter().filter(|p| **p <= libm::log10(level) + 1e-12).count() as u64
    }

    /// Chance of so many hits or more where the level is kept.
    fn chance(&self, level: f64) -> f64 {
        libm::pow(10.0, log10_binomial_sf(self.hits(level), self.log10_p.len() as u64, level))
    }
}

/// What is asked of the marks.
pub struct Wanted<'a> {
    /// Tests of each mark on each kind of text; of ranks among decoys a tenth.
    pub draws: u64,
    /// Kinds of marks; all where none is named.
    pub kinds: &'a [String],
    /// Worker threads.
    pub threads: usize,
    /// Models that carry each mark; none are tried with 0.
    pub marked: u64,
    /// The chance of refuting anything where all claims are true, at most.
    pub error: f64,
    /// Where the table and the figure go.
    pub directory: Option<&'a Path>,
    /// Whether lines are JSON.
    pub json: bool,
}

/// Draws, counts, and says which claims are refuted; exit code 100 where one is.
pub fn calibrate(wanted: &Wanted<'_>, out: &mut Output) -> anyhow::Result<()> {
    let entries = chosen(wanted.kinds)?;
    let parts = Parts::of(wanted.directory)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(wanted.threads).build()?;
    let (rows, found) = pool.install(|| drawn(&entries, wanted, &parts))?;
    // one chance of refuting anything where all is as claimed, shared evenly
    let least = wanted.error / (rows.len() * LEVELS.len()) as f64;
    let is_refuted = |row: &Row| LEVELS.iter().any(|level| row.chance(*level) < least);
    let refuted: Vec<&Row> = rows.iter().filter(|row| is_refuted(row)).collect();
    if let Some(directory) = wanted.directory {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["mark", "parameters", "text", "draws", "at_0.1", "at_0.01", "at_0.001", "refuted"])?;
        for row in &rows {
            let [tenth, hundredth, thousandth] = LEVELS.map(|level| row.hits(level).to_string());
            let (draws, refuted) = (row.log10_p.len().to_string(), is_refuted(row).to_string());
            csv.write_record([row.mark, &row.parameters, row.text.name(), &draws, &tenth, &hundredth, &thousandth, &refuted])?;
        }
        store::write_atomic(&directory.join("marks.csv"), &csv.into_inner().map_err(|error| error.into_error())?)?;
        figure(&rows)?.write(directory, "calibration")?;
        if !found.is_empty() {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(power::Found::COLUMNS)?;
            for one in &found {
                csv.write_record(one.row())?;
            }
            store::write_atomic(&directory.join("power.csv"), &csv.into_inner().map_err(|error| error.into_error())?)?;
        }
    }
    parts.remove()?;
    for row in &rows {
        if wanted.json {
            let rates = LEVELS.map(|level| json!({ "level": level, "hits": row.hits(level), "chance": row.chance(level) }));
            let (draws, refuted) = (row.log10_p.len(), is_refuted(row));
            let parameters: serde_json::Value = serde_json::from_str(&row.parameters)?;
            out.json(&json!({
                "mark": row.mark, "parameters": parameters, "text": row.text.name(), "draws": draws, "rates": rates, "refuted": refuted,
            }))?;
            continue;
        }
        let rate = |level: f64| format!("{:.4}", row.hits(level) as f64 / row.log10_p.len() as f64);
        let [tenth, hundredth, thousandth] = LEVELS.map(rate);
        let sign = if is_refuted(row) { "REFUTED" } else { "" };
        out.line(&format!(
            "{:<24} {:<11} {:>8} tests   at 0.1 {tenth}   at 0.01 {hundredth}   at 0.001 {thousandth}   {sign}",
            row.mark,
            row.text.name(),
            row.log10_p.len()
        ))?;
    }
    if !wanted.json && !found.is_empty() {
        out.line("")?;
    }
    for one in &found {
        if wanted.json {
            out.json(&one.json(&serde_json::from_str(one.parameters())?))?;
        } else {
            out.line(&one.words())?;
        }
    }
    let all = rows.len() * LEVELS.len();
    let said = match refuted.len() {
        0 => format!("no claim is refuted: {all} rates, chance of refuting any of them where all hold at most {}", wanted.error),
        n => format!("{n} of {} are refuted: they fire more often than they claim", rows.len()),
    };
    if wanted.json {
        out.json(&json!({ "rates": all, "error": wanted.error, "refuted": refuted.len() }))?;
    } else {
        out.line(&format!("\n{said}"))?;
    }
    out.flush()?;
    if refuted.is_empty() { Ok(()) } else { Err(Found { code: DEVIATES, text: String::new() }.into()) }
}

/// Examples of the marks of these kinds; of all where none is named.
fn chosen(kinds: &[String]) -> anyhow::Result<Vec<MarkEntry>> {
    let all: Vec<(&str, MarkEntry)> = MarkEntry::examples().into_iter().map(|entry| (Lab::new(&entry).name(), entry)).collect();
    if let Some(kind) = kinds.iter().find(|kind| all.iter().all(|(name, _)| *name != kind.as_str())) {
        let known: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(UsageError(format!("--kind {kind}: no such mark; use one of {known}")).into());
    }
    let chosen = all.into_iter().filter(|(name, _)| kinds.is_empty() || kinds.iter().any(|kind| kind == name));
    Ok(chosen.map(|(_, entry)| entry).collect())
}

/// What is drawn of each of `entries`, in their order.
fn drawn(entries: &[MarkEntry], wanted: &Wanted<'_>, parts: &Parts) -> anyhow::Result<(Vec<Row>, Vec<power::Found>)> {
    let of_text = |entry: &MarkEntry, text, seldom: u64| -> anyhow::Result<Vec<f64>> {
        let (draws, at_a_time) = (wanted.draws.div_ceil(seldom), AT_A_TIME / seldom);
        let ranges: Vec<Range<u64>> =
            (0..draws).step_by(at_a_time as usize).map(|from| from..draws.min(from + at_a_time)).collect();
        let drawn =
            ranges.into_par_iter().map(|range| parts.draws(entry, text, range, DECOYS)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(drawn.concat())
    };
    let one = |entry: &MarkEntry| -> anyhow::Result<(Vec<Row>, Option<power::Found>)> {
        let lab = Lab::new(entry);
        let parameters = serde_json::to_value(entry)?[lab.name()].to_string();
        let seldom = if lab.is_ranked()? { RANKED_SELDOM } else { 1 };
        let mut rows = Vec::new();
        for &text in lab.null_texts()? {
            let log10_p = of_text(entry, text, seldom)?;
            rows.push(Row { mark: lab.name(), parameters: parameters.clone(), text, log10_p });
        }
        let found = if wanted.marked > 0 { power::Found::of(&lab, &parameters, wanted.marked)? } else { None };
        complain(&format!("{}: {} tests", lab.name(), rows.iter().map(|row| row.log10_p.len()).sum::<usize>()));
        Ok((rows, found))
    };
    let (rows, found): (Vec<_>, Vec<_>) = entries.par_iter().map(one).collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
    Ok((rows.into_iter().flatten().collect(), found.into_iter().flatten().collect()))
}

/// All marks in grey, and all of them together on each kind of text.
fn figure(rows: &[Row]) -> anyhow::Result<results::Figure> {
    let p = |row: &Row| row.log10_p.iter().map(|p| libm::pow(10.0, *p)).collect::<Vec<_>>();
    let mut together: BTreeMap<NullText, Vec<f64>> = BTreeMap::new();
    let mut series: Vec<PValueSeries> = Vec::new();
    for row in rows {
        series.push(PValueSeries { name: String::new(), p: p(row) });
        together.entry(row.text).or_default().extend(p(row));
    }
    let named = |(text, p): (NullText, Vec<f64>)| PValueSeries { name: format!("all marks, {} text", text.name()), p };
    series.extend(together.into_iter().map(named));
    let most = rows.iter().map(|row| row.log10_p.len()).max().unwrap_or_default();
    let subtitle = format!("{} marks and texts, up to {most} keys each; grey: one mark on one text", rows.len());
    calibration_figure(&series, "Every mark under keys that nobody planted", &subtitle)
}
