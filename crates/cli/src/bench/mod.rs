//! `birthmark bench`: how fast this machine multiplies matrices, and how near to that training, sampling and detection come.
//!
//! Everything is measured in one sitting, through the code that experiments run, on fixed shapes and batches, so that lines
//! can be held against each other and against other tools run just before or after.

mod ceiling;
mod detect;
mod generate;
mod shapes;
mod train;

use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use lm::{ComputePath, Runtime};
use serde::Serialize;

use crate::args::ThreadArgs;
use crate::exit::Signals;
use crate::output::Output;
use ceiling::Ceiling;
use shapes::Shape;

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the model; repeatable [default: all].
    #[arg(long = "shape", value_name = "SHAPE")]
    shapes: Vec<Shape>,
    /// What to measure; repeatable [default: all].
    #[arg(long = "what", value_name = "WHAT")]
    whats: Vec<What>,
    /// Least time spent repeating each measurement after a warm-up; the median is reported. 0 measures once, cold.
    #[arg(long, value_name = "S", default_value_t = 1.5, value_parser = seconds)]
    seconds: f64,
    /// Most answers a worker advances together; answers do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    decode_rows: Option<u16>,
    #[command(flatten)]
    threads: ThreadArgs,
    /// One JSON object per line instead of the table.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s| (0.0..=3600.0).contains(s)).ok_or_else(|| "a number of seconds, 0 to 3600".to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum What {
    /// Independent single-threaded matrix products, one per worker.
    Ceiling,
    /// Training steps: forward, KL to a full teacher distribution, backward, AdamW; on the fused path and the generic one.
    Train,
    /// Batched sampling with a key/value cache.
    Generate,
    /// The same with the KGW watermark, for every context width.
    GenerateKgw,
    /// Detection of KGW, with one key and with 999 decoy keys.
    DetectKgw,
}

/// One measurement; empty where a number means nothing.
#[derive(Debug, Clone, Serialize)]
struct Line {
    what: What,
    shape: Option<Shape>,
    /// Rows trained or answered together; answers searched.
    batch: Option<usize>,
    /// Tokens trained, drawn or searched.
    tokens_per_s: Option<f64>,
    /// 6 N per trained, 2 N per drawn token, for N parameters.
    gflops: Option<f64>,
    /// `gflops` over those of the ceiling, both measured in turns.
    ceiling_share: Option<f64>,
    threads: usize,
    /// Which implementation trains.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    /// Of the watermark.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_width: Option<usize>,
    /// Keys tried in one detection.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<usize>,
}

impl Line {
    fn new(what: What, threads: usize) -> Self {
        let (shape, batch, path) = (None, None, None);
        let (tokens_per_s, gflops, ceiling_share) = (None, None, None);
        Self { what, shape, batch, tokens_per_s, gflops, ceiling_share, threads, path, context_width: None, keys: None }
    }

    /// Tokens through a model of a shape: `gflops`, and the share they are of the ceiling.
    fn of_model(self, shape: Shape, batch: usize, tokens_per_s: f64, gflops: f64, share: f64) -> Self {
        Self {
            shape: Some(shape),
            batch: Some(batch),
            tokens_per_s: Some(tokens_per_s),
            gflops: Some(gflops),
            ceiling_share: Some(share),
            ..self
        }
    }
}

/// What all measurements share.
struct Sitting {
    rt: Runtime,
    seconds: f64,
    ceiling: Ceiling,
}

/// Measures and prints, line by line.
pub fn bench(args: &BenchArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let mut rt = Runtime::new(args.threads.count(), ComputePath::Fused, Arc::clone(&signals.cancelled))?;
    if let Some(rows) = args.decode_rows {
        rt = rt.with_decode_rows(usize::from(rows));
    }
    let sitting = Sitting { ceiling: Ceiling::new(&rt), rt, seconds: args.seconds };
    let asked = |what| args.whats.is_empty() || args.whats.contains(&what);
    let mut print = printer(args.json, out);
    if asked(What::Ceiling) {
        let mut products = || {
            sitting.ceiling.products(&sitting.rt);
            Ok(())
        };
        let [seconds] = sitting.medians([&mut products])?;
        let line = Line::new(What::Ceiling, sitting.rt.threads());
        print(Line { gflops: Some(sitting.ceiling.gflops(seconds)), ceiling_share: Some(1.0), ..line })?;
    }
    for shape in Shape::value_variants().iter().filter(|shape| args.shapes.is_empty() || args.shapes.contains(shape)) {
        if asked(What::Train) {
            train::train(*shape, &sitting)?.into_iter().try_for_each(&mut print)?;
        }
        if asked(What::Generate) || asked(What::GenerateKgw) {
            let lines = generate::generate(*shape, asked(What::GenerateKgw), &sitting)?;
            lines.into_iter().filter(|line| asked(line.what)).try_for_each(&mut print)?;
        }
    }
    if asked(What::DetectKgw) {
        detect::detect(&sitting)?.into_iter().try_for_each(&mut print)?;
    }
    Ok(())
}

fn printer(json: bool, out: &mut Output) -> impl FnMut(Line) -> anyhow::Result<()> {
    let mut headed = json;
    move |line| {
        if json {
            return out.json(&line);
        }
        if !headed {
            headed = true;
            out.line("what          shape  batch  threads     tokens/s   GFLOP/s  of ceiling")?;
        }
        out.line(&row(&line))
    }
}

fn row(line: &Line) -> String {
    let name = |value: &dyn ValueName| value.name();
    let shape = line.shape.map(|shape| name(&shape)).unwrap_or_default();
    let batch = line.batch.map(|batch| batch.to_string()).unwrap_or_default();
    let tokens = line.tokens_per_s.map(|tokens| format!("{tokens:.0}")).unwrap_or_default();
    let gflops = line.gflops.map(|gflops| format!("{gflops:.1}")).unwrap_or_default();
    let share = line.ceiling_share.map(|share| format!("{:.0} %", 100.0 * share)).unwrap_or_default();
    let notes = [
        line.path.map(|path| format!("{path} path")),
        line.context_width.map(|width| format!("context of {width}")),
        line.keys.map(|keys| format!("{keys} keys")),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    let text = format!(
        "{:<13} {shape:<6} {batch:>5}  {:>7} {tokens:>12} {gflops:>9} {share:>11}   {}",
        name(&line.what),
        line.threads,
        notes.join(", ")
    );
    text.trim_end().to_string()
}

/// The name by which the command line and JSON know a value.
trait ValueName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ValueName for T {
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}

/// Repeats of a measurement, at least, unless once is enough.
const REPEATS: usize = 3;

impl Sitting {
    /// Median seconds of each of `runs`, after a warm-up, taken in turns so that what disturbs the machine disturbs all.
    fn medians<const N: usize>(&self, mut runs: [&mut dyn FnMut() -> anyhow::Result<()>; N]) -> anyhow::Result<[f64; N]> {
        let mut times = [const { Vec::new() }; N];
        let once = self.seconds == 0.0;
        for run in runs.iter_mut().filter(|_| !once) {
            self.rt.check_cancelled()?;
            run()?;
        }
        let start = Instant::now();
        while times[0].len() < if once { 1 } else { REPEATS } || start.elapsed().as_secs_f64() < self.seconds * N as f64 {
            for (run, times) in runs.iter_mut().zip(&mut times) {
                self.rt.check_cancelled()?;
                let start = Instant::now();
                run()?;
                times.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(times.map(median))
    }
}

/// The middle of some times or rates.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
