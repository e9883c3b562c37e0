//! `birthmark run`: the main job.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::args::{DeviceArgs, FileArgs, ThreadArgs};
use crate::exit::{NoRoom, Signals};
use crate::output::Output;
use harness::estimate::estimate;
use harness::hub::Models;
use harness::load;
use harness::pipeline::{self, Outcome, RunOptions};
use harness::progress::Progress;
use harness::resolve::{Resolved, resolve};
use harness::shapes::Shapes;

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
    #[command(flatten)]
    device: DeviceArgs,
    /// Begin although the disk seems too small.
    #[arg(long)]
    no_disk_check: bool,
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
    let progress = Progress::new(args.quiet);
    let (experiment, shapes) = prepare(&args.file, &args.device, &Models::fetching(&progress, &signals.cancelled))?;
    if !args.no_disk_check && !args.offline_artifacts {
        refuse_without_room(&experiment, &shapes, args)?;
    }
    let options = RunOptions {
        results: args.results.clone(),
        artifacts: args.artifacts.clone(),
        offline_artifacts: args.offline_artifacts,
        checkpoint_every: Duration::from_secs(args.checkpoint_every.into()),
        threads: args.threads.count(),
        decode_rows: args.decode_rows.map(usize::from),
        revision: option_env!("BIRTHMARK_REVISION").unwrap_or("unknown"),
    };
    let outcome = pipeline::run(&experiment, &options, &progress, &signals.cancelled)?;
    print(&outcome, args.json, out)
}

/// Refuses an experiment that was never begun when its artifacts would not fit: better now than in the last hour. Of one that
/// was begun, nobody knows how much is there already.
fn refuse_without_room(experiment: &Resolved, shapes: &Shapes, args: &RunArgs) -> anyhow::Result<()> {
    let begun = args.results.join(&experiment.name).join(experiment.hash()?.short()).join("timings.jsonl");
    let existing = args.artifacts.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(place) = existing.into_iter().find(|path| path.exists()).filter(|_| !begun.exists()) else { return Ok(()) };
    // a system that does not say is no reason to stop
    let Ok(free) = fs4::available_space(place) else { return Ok(()) };
    let needed = estimate(experiment, shapes, args.threads.count(), None).disk_bytes as u64;
    if free < needed {
        return Err(NoRoom { place: args.artifacts.clone(), needed, free }.into());
    }
    Ok(())
}

/// Opens the device, then reads, validates and looks up an experiment file, shapes of its models included.
pub fn prepare(args: &FileArgs, device: &DeviceArgs, models: &Models<'_>) -> anyhow::Result<(Resolved, Shapes)> {
    let device = device.open()?;
    let loaded = load::experiment(&args.file, &args.sets)?;
    let experiment = resolve(&loaded, models)?.computed_on(device);
    let shapes = Shapes::of(&experiment.world, &experiment.channels)
        .map_err(|error| loaded.errors(vec![loaded.problem_with(error.key, error.what, error.mend)]))?;
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
