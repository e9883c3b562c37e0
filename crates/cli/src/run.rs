//! `birthmark run`: the main job.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use harness::estimate::{Means, estimate, sum};
use harness::hub::Models;
use harness::look::{Warning, warnings};
use harness::pipeline::{self, Failure, Job, Outcome, RunOptions, in_words};
use harness::progress::Progress;
use harness::resolve::Grid;
use harness::sharing::sharing;

use crate::args::{DeviceArgs, FileArgs, PartArgs, ThreadArgs};
use crate::exit::{DEVIATES, FALSE_POSITIVE, Found, NoRoom, PointsFailed, Signals};
use crate::output::{Output, complain_in_json, in_one_line};
use crate::{plan, version};

/// What to run, where to put it, how to show it.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    part: PartArgs,
    /// Say which points would be run, and what is there of them already; run nothing.
    #[arg(long)]
    dry_run: bool,
    /// End with the first point of a grid that fails; without it the others go on.
    #[arg(long)]
    fail_fast: bool,
    /// Results go to DIR/<experiment>/<hash>/.
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    results: PathBuf,
    /// Models and transcripts by hash, shared by all experiments.
    #[arg(long, value_name = "DIR", default_value = ARTIFACTS)]
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
    /// How progress is shown on standard error: bars on a terminal and lines elsewhere (auto), lines, one JSON object a line (json), or
    /// not at all (none).
    #[arg(long, value_name = "HOW", default_value = "auto")]
    progress: Shown,
    /// Show no progress: --progress none.
    #[arg(long, conflicts_with = "progress")]
    quiet: bool,
    /// Print one JSON object per line instead of the table; progress stays on standard error.
    #[arg(long)]
    json: bool,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    Auto,
    Lines,
    Json,
    None,
}

const RESULTS: &str = "results";
const ARTIFACTS: &str = "artifacts";

/// Runs an experiment and prints what survived.
pub fn run(args: &RunArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let progress = match args.progress {
        _ if args.quiet => Progress::new(true),
        Shown::Auto => Progress::new(false),
        Shown::Lines => Progress::lines(),
        Shown::Json => {
            complain_in_json();
            Progress::json()
        }
        Shown::None => Progress::new(true),
    };
    let models = if args.dry_run { Models::cached() } else { Models::fetching(&progress, &signals.cancelled) };
    let grid = match args.file.grid(&args.device.open()?, &models) {
        Err(error) if args.dry_run => return plan::will_be_fetched(&args.file.file, args.json, error.downcast()?, out),
        grid => grid?,
    };
    let chosen = args.part.chosen(&grid)?;
    if args.dry_run {
        return plan::dry_run(&grid, &chosen, &args.results, args.json, out);
    }
    let mut warned = BTreeSet::new();
    if !args.no_disk_check && !args.offline_artifacts {
        refuse_without_room(&grid, &chosen, args)?;
    }
    for &number in &chosen {
        for Warning { key, what } in warnings(&grid.points[number].resolved, None) {
            let text = format!("warning: `{key}`: {what}");
            if warned.insert(text.clone()) {
                progress.note(&text);
            }
        }
    }
    let options = RunOptions {
        results: args.results.clone(),
        artifacts: args.artifacts.clone(),
        offline_artifacts: args.offline_artifacts,
        checkpoint_every: Duration::from_secs(args.checkpoint_every.into()),
        threads: args.threads.count(),
        decode_rows: args.decode_rows.map(usize::from),
        revision: version::REVISION,
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        sets: args.file.sets.clone(),
    };
    let job = Job { grid: &grid, chosen: &chosen, fail_fast: args.fail_fast };
    let mut outcome = pipeline::run(&job, &options, &progress, &signals.cancelled)?;
    let failures = std::mem::take(&mut outcome.failures);
    if !outcome.lines.is_empty() {
        print(&outcome, args.json, out)?;
    }
    args.failed(&grid, chosen.len(), failures)?;
    judged(&outcome, args.json, out)
}

impl RunArgs {
    /// The error that says which points failed, if any did, each with the command that runs it again.
    fn failed(&self, grid: &Grid, n_chosen: usize, failures: Vec<Failure>) -> anyhow::Result<()> {
        if failures.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} of {n_chosen} points failed; what the others found is kept", failures.len());
        for failure in &failures {
            let axes = &grid.points[failure.number].axes;
            let (place, why) = (in_words(axes), in_one_line(&failure.error));
            let again = self.again(axes.iter().map(|(key, label)| format!("{key}={label}")));
            text.push_str(&format!("\n  {place}: {why}\n    {again}"));
        }
        match failures.into_iter().next() {
            Some(first) => Err(PointsFailed { text, first: first.error }.into()),
            None => Ok(()),
        }
    }

    /// The command that runs one point again, where this one would have put it.
    fn again(&self, point: impl Iterator<Item = String>) -> String {
        let path = |path: &Path| path.display().to_string();
        let mut words = vec!["birthmark".to_string(), "run".into(), path(&self.file.file)];
        let mut flag = |name: &str, value: String| words.extend([name.to_string(), value]);
        point.for_each(|pair| flag("--only", pair));
        self.file.sets.iter().for_each(|set| flag("--set", set.clone()));
        for (name, place, usual) in [("--results", &self.results, RESULTS), ("--artifacts", &self.artifacts, ARTIFACTS)] {
            if place != Path::new(usual) {
                flag(name, path(place));
            }
        }
        if self.device.device != lm::DeviceName::default() {
            flag("--device", self.device.device.to_string());
        }
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Refuses an experiment that was never started when its artifacts would not fit: better now than in the last hour. Of one that
/// was started, nobody knows how much is there already.
fn refuse_without_room(grid: &Grid, chosen: &[usize], args: &RunArgs) -> anyhow::Result<()> {
    let begun = pipeline::results_directory(&args.results, grid)?.join("timings.jsonl");
    let existing = args.artifacts.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(place) = existing.into_iter().find(|path| path.exists()).filter(|_| !begun.exists()) else { return Ok(()) };
    // a system that does not say is no reason to stop
    let Ok(free) = fs4::available_space(place) else { return Ok(()) };
    let threads = args.threads.count();
    let new = sharing(grid, chosen)?.new;
    let parts = chosen.iter().zip(new).map(|(&number, new)| {
        let point = &grid.points[number];
        estimate(&point.resolved, &point.shapes, &Means { threads, rehearsal: None, new })
    });
    let needed = sum(&parts.collect::<Vec<_>>()).disk_bytes as u64;
    if free < needed {
        return Err(NoRoom { place: args.artifacts.clone(), needed, free }.into());
    }
    Ok(())
}

/// Prints what came of a run or a report.
pub fn print(outcome: &Outcome, json: bool, out: &mut Output) -> anyhow::Result<()> {
    if json {
        return outcome.lines.iter().try_for_each(|line| out.json(line));
    }
    out.line(&outcome.table)?;
    out.line(&format!("\nresults: {}", outcome.directory.display()))
}

/// What a run or a report has found, where that has an exit code of its own. A key that fires where it must not voids every verdict
/// beside it, so it goes before conditions that rest on verdicts.
pub fn judged(outcome: &Outcome, json: bool, out: &mut Output) -> anyhow::Result<()> {
    let (fired, broken) = (&outcome.false_positives, &outcome.broken);
    let mut lines = Vec::new();
    // the table has named them
    if json {
        lines.extend(fired.iter().chain(broken).cloned());
    }
    let counted = |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    if !fired.is_empty() {
        let n = counted(fired.len(), "false positive");
        lines.push(format!("{n}: a true key fires in a model that must not show it, so nothing is proven by that mark"));
    }
    if !broken.is_empty() {
        lines.push(format!("{} of [expect] broken", counted(broken.len(), "condition")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    // what was found is said before what is wrong with it
    out.flush()?;
    let code = if fired.is_empty() { DEVIATES } else { FALSE_POSITIVE };
    Err(Found { code, text: lines.join("\n") }.into())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        for (word, want) in [("a.b=1e-3", "a.b=1e-3"), ("a=[1, 2]", "'a=[1, 2]'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(word), want);
        }
    }
}
