//! `birthmark run`: the main job.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::output::Output;
use super::{FileArgs, ThreadArgs};
use crate::exit::Signals;
use crate::load;
use crate::pipeline::{self, Outcome, RunOptions};
use crate::progress::Progress;
use crate::resolve::{Resolved, resolve};
use crate::shapes::Shapes;

/// What to run, where to put it, how to show it.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Results go to DIR/<experiment>/<hash>/.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Models and transcripts by hash, shared by all experiments.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Make no artifact: one that is missing, damaged or of another version ends the run with a line that names it.
    #[arg(long)]
    offline_artifacts: bool,
    /// Keep a checkpoint of a training under way this often, from which the same command goes on after a crash or a kill; 0
    /// keeps one after every step.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    checkpoint_every: u32,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Answers a worker samples together [default: a number that keeps its core busy]. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    decode_rows: Option<u16>,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
    /// Print one JSON object per line instead of the table; progress stays on standard error.
    #[arg(long)]
    json: bool,
}

/// Runs an experiment and prints what survived.
pub fn run(args: &RunArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let (experiment, _) = prepare(&args.file)?;
    let options = RunOptions {
        results: args.results.clone(),
        artifacts: args.artifacts.clone(),
        offline_artifacts: args.offline_artifacts,
        checkpoint_every: Duration::from_secs(args.checkpoint_every.into()),
        threads: args.threads.count(),
        decode_rows: args.decode_rows.map(usize::from),
    };
    let outcome = pipeline::run(&experiment, &options, &Progress::new(args.quiet), &signals.cancelled)?;
    print(&outcome, args.json, out)
}

/// Reads, validates and looks up an experiment file, shapes of its models included.
pub fn prepare(args: &FileArgs) -> anyhow::Result<(Resolved, Shapes)> {
    let loaded = load::experiment(&args.file, &args.sets)?;
    let experiment = resolve(&loaded)?;
    let shapes = Shapes::of(&experiment.world).map_err(|error| {
        let path = crate::document::steps(error.key).unwrap_or_default();
        loaded.errors(vec![loaded.problem(&path, error.what, error.mend)])
    })?;
    Ok((experiment, shapes))
}

/// Prints what came of a run or a report.
pub fn print(outcome: &Outcome, json: bool, out: &mut Output) -> anyhow::Result<()> {
    if json {
        return outcome.lines.iter().try_for_each(|line| out.json(line));
    }
    out.line(&outcome.table)?;
    out.line(&format!("\nresults: {}", outcome.directory.display()))
}
