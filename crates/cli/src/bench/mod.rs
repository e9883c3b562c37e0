//! `birthmark bench`: how fast this machine multiplies matrices, and how near to that training, sampling and detection come.
//!
//! Everything is measured in one sitting, through the code that experiments run, on fixed shapes and batches, so that lines
//! can be compared with each other and with other tools run just before or after.

mod ceiling;
mod detect;
mod generate;
mod line;
mod marked;
mod median;
mod shapes;
mod sitting;
mod train;

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use lm::{ComputePath, Runtime};
use marks::MarkEntry;

use crate::args::ThreadArgs;
use crate::exit::{Signals, UsageError};
use crate::output::Output;
use ceiling::Ceiling;
use line::{Line, What, row};
use shapes::Shape;
use sitting::Sitting;

/// What to measure.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the model; repeatable [default: all].
    #[arg(long = "shape", value_name = "SHAPE")]
    shapes: Vec<Shape>,
    /// What to measure; repeatable [default: all].
    #[arg(long = "what", value_name = "WHAT")]
    whats: Vec<What>,
    /// Kind of a mark whose sampling or detection is measured; repeatable [default: all].
    #[arg(long = "kind", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(MarkEntry::KINDS))]
    kinds: Vec<String>,
    /// Least time spent repeating each measurement after a warm-up; the median is reported. 0 measures once, cold.
    #[arg(long, value_name = "S", default_value_t = 1.5, value_parser = seconds, allow_hyphen_values = true)]
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
    text.parse().ok().filter(|s| (0.0..=3600.0).contains(s)).ok_or_else(|| "write a number of seconds, 0 to 3600".to_string())
}

/// Measures and prints, line by line.
pub fn bench(args: &BenchArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let known: BTreeSet<&str> = marked::timed(1024, &[])?.iter().map(|timed| timed.kind).collect();
    if let Some(kind) = args.kinds.iter().find(|kind| !known.contains(kind.as_str())) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(UsageError(format!(
            "--kind {kind}: not timed, as only marks that change the drawn law and nothing else are; use one of {known}"
        ))
        .into());
    }
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
        if asked(What::Generate) || asked(What::GenerateMarked) {
            let lines = generate::generate(*shape, asked(What::GenerateMarked), &args.kinds, &sitting)?;
            lines.into_iter().filter(|line| asked(line.what)).try_for_each(&mut print)?;
        }
    }
    if asked(What::Detect) {
        detect::detect(&args.kinds, &sitting)?.into_iter().try_for_each(&mut print)?;
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
            out.line("what            shape  batch  threads     tokens/s   GFLOP/s  of ceiling  cost")?;
        }
        out.line(&row(&line))
    }
}
