//! `birthmark audit`: the marks of an experiment in a model from outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use harness::hub::Models;
use harness::pipeline::{self, AuditJob, RunOptions};
use harness::progress::Progress;
use harness::resolve::{Grid, from_outside};
use harness::stages::Brought;
use harness::written;
use results::{Arm, AuditOutcome};

use crate::args::{DeviceArgs, PartArgs, ThreadArgs};
use crate::exit::{Found, INCONCLUSIVE, PROVEN, Signals, UsageError};
use crate::output::Output;
use crate::version;

/// Whom to look at, and for whose marks.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The model under suspicion: a directory, a GGUF file, a LoRA adapter, or org/name[@revision] on the hub.
    #[arg(long, value_name = "MODEL")]
    suspect: String,
    #[command(flatten)]
    whose: Whose,
    /// A model that never met the teacher, likewise; repeatable. Every mark must stay at chance in it. Without one the audit is
    /// inconclusive.
    #[arg(long = "negative", value_name = "MODEL")]
    negatives: Vec<String>,
    /// The seed whose marks they are, where the experiment has several: each is an owner with models and keys of its own.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Override a key of the experiment, as in `run`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    part: PartArgs,
    /// Results go to DIR/<experiment>/audit-<hash>/.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Models and transcripts by hash: those of the experiment are found there, or made.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Make no artifact: one that is missing, damaged or of another version ends the audit with a line that names it.
    #[arg(long)]
    offline_artifacts: bool,
    /// Keep a checkpoint of a training under way this often.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    checkpoint_every: u32,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
    /// Print one JSON object instead of words; progress stays on standard error.
    #[arg(long)]
    json: bool,
}

/// An experiment, by its file or by what a run of it left.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "whose")]
struct Whose {
    /// The experiment whose marks are looked for.
    #[arg(long, value_name = "FILE")]
    experiment: Option<PathBuf>,
    /// The same by the results directory of a run of it.
    #[arg(long, value_name = "DIR")]
    result: Option<PathBuf>,
}

impl Whose {
    /// As it was named, for messages.
    fn shown(&self) -> String {
        let named = self.experiment.as_ref().or(self.result.as_ref());
        named.map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// The file that says what it is.
    fn file(&self) -> anyhow::Result<PathBuf> {
        match (&self.experiment, &self.result) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(directory)) if directory.join("experiment.json").is_file() => Ok(directory.join("experiment.json")),
            (None, Some(directory)) => {
                let remedy = "name a directory that `birthmark run` printed, results/<experiment>/<hash>";
                Err(UsageError(format!("--result {}: no experiment.json in it; {remedy}", directory.display())).into())
            }
            (None, None) => Err(UsageError("name an experiment: --experiment FILE, or --result DIR".into()).into()),
        }
    }
}

/// Audits a model and says what was found; the exit code is the verdict.
pub fn audit(args: &AuditArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let progress = Progress::new(args.quiet);
    let models = Models::fetching(&progress, &signals.cancelled);
    let grid = written::open(&args.whose.file()?, &args.sets, &models, &args.device.open()?)?;
    let number = args.point(&grid)?;
    let seed = args.seed_of(&grid, number)?;
    let job = AuditJob { grid: &grid, number, seed, brought: args.brought(&models)? };
    let options = RunOptions {
        results: args.results.clone(),
        artifacts: args.artifacts.clone(),
        offline_artifacts: args.offline_artifacts,
        checkpoint_every: Duration::from_secs(args.checkpoint_every.into()),
        threads: args.threads.count(),
        decode_rows: None,
        revision: version::REVISION,
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        sets: args.sets.clone(),
    };
    let audited = pipeline::audit(&job, &options, &progress, &signals.cancelled)?;
    if args.json {
        out.json(&audited.line)?;
    } else {
        out.line(&audited.table)?;
        out.line(&format!("\nresults: {}", audited.directory.display()))?;
    }
    out.flush()?;
    let code = match audited.outcome {
        AuditOutcome::NotProven => return Ok(()),
        AuditOutcome::Proven => PROVEN,
        AuditOutcome::Inconclusive => INCONCLUSIVE,
    };
    Err(Found { code, text: String::new() }.into())
}

impl AuditArgs {
    /// The one point of the grid whose marks are looked for.
    fn point(&self, grid: &Grid) -> anyhow::Result<usize> {
        match self.part.chosen(grid)?[..] {
            [number] => Ok(number),
            ref several => {
                let n = several.len();
                let remedy = "choose one with --only KEY=VALUE (`check` lists them)";
                Err(UsageError(format!("{}: {n} points, and an audit is of one; {remedy}", self.whose.shown())).into())
            }
        }
    }

    fn seed_of(&self, grid: &Grid, number: usize) -> anyhow::Result<u64> {
        let seeds = &grid.points[number].resolved.seeds;
        let all = || seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        match (self.seed, &seeds[..]) {
            (Some(seed), seeds) if seeds.contains(&seed) => Ok(seed),
            (Some(seed), _) => Err(UsageError(format!("--seed {seed}: the experiment has the seeds {}", all())).into()),
            (None, [only]) => Ok(*only),
            (None, _) => {
                let what = format!("{}: the seeds {} each have models and keys of their own", self.whose.shown(), all());
                Err(UsageError(format!("{what}; say whose marks are looked for: --seed N")).into())
            }
        }
    }

    /// The suspect, then the negatives, each under a name of its own.
    fn brought(&self, models: &Models<'_>) -> anyhow::Result<Vec<Brought>> {
        let mut brought: Vec<Brought> = Vec::new();
        let all = [(Arm::Suspect, "--suspect", &self.suspect)].into_iter();
        for (arm, flag, typed) in all.chain(self.negatives.iter().map(|typed| (Arm::Negative, "--negative", typed))) {
            let directory = from_outside(flag, typed, models)?;
            let flag = format!("{flag} {typed}");
            let hash = directory.hash()?;
            for earlier in &brought {
                if earlier.directory.hash()? == hash {
                    let remedy =
                        if earlier.arm == arm { "drop one of them" } else { "a suspect is no negative: name another model" };
                    return Err(UsageError(format!("{flag}: the same model as {}; {remedy}", earlier.flag)).into());
                }
            }
            brought.push(Brought { arm, flag, name: directory.short_name(), directory });
        }
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        brought.iter().for_each(|brought| *times.entry(brought.name.clone()).or_default() += 1);
        for brought in brought.iter_mut().filter(|brought| times[&brought.name] > 1) {
            brought.name = format!("{} {}", brought.name, brought.directory.hash()?.short());
        }
        Ok(brought)
    }
}
