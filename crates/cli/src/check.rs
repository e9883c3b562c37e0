//! `birthmark check`: everything that can be known before the work is begun.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::run::prepare;
use crate::args::{DeviceArgs, FileArgs, ThreadArgs};
use crate::exit::Signals;
use crate::output::Output;
use harness::estimate::{Estimate, FORWARD_FLOP_PER_SECOND, TRAIN_FLOP_PER_SECOND, estimate};
use harness::hub::{Models, Origin};
use harness::progress::{count, duration};
use harness::rehearsal;
use harness::resolve::Resolved;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Assume rates instead of rehearsing a little of every stage on this machine.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Checked<'a> {
    name: &'a str,
    experiment_hash: String,
    commitment: &'a str,
    public_secret: bool,
    runs: usize,
    /// By key; only models that came from the hub.
    models: BTreeMap<String, &'a Origin>,
    estimate: &'a Estimate,
}

/// Validates an experiment, expands its grid and estimates its cost.
pub fn check(args: &CheckArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let (experiment, shapes) = prepare(&args.file, &args.device, &Models::cached())?;
    let threads = args.threads.count();
    let rehearsal = if args.quick {
        None
    } else {
        Some(rehearsal::run(&experiment, threads, &signals.cancelled).context("rehearsing it (--quick does without)")?)
    };
    let estimate = estimate(&experiment, &shapes, threads, rehearsal.as_ref());
    let hash = experiment.hash()?;
    if args.json {
        return out.json(&Checked {
            name: &experiment.name,
            experiment_hash: hash.hex(),
            commitment: &experiment.world.commitment,
            public_secret: experiment.secret.is_public(),
            runs: experiment.runs().len(),
            models: experiment.world.origins().into_iter().collect(),
            estimate: &estimate,
        });
    }
    out.line(&format!("{} is valid", args.file.file.display()))?;
    out.pair("question", &experiment.question)?;
    out.pair("hypothesis", &experiment.hypothesis)?;
    out.pair("results in", format!("{}/{}", experiment.name, hash.short()))?;
    let public = if experiment.secret.is_public() { " (public demo secret: whoever reads the file knows the keys)" } else { "" };
    out.pair("owner commitment", format!("{}{public}", &experiment.world.commitment[..16]))?;
    for (key, origin) in experiment.world.origins() {
        let Origin { name, revision, commit } = origin;
        out.pair(
            &key,
            if origin.is_pinned() {
                format!("{name} at commit {commit}")
            } else {
                format!("{name} at {revision}, in the cache commit {commit}; only a commit pins results: write {name}@{commit}")
            },
        )?;
    }
    grid(&experiment, out)?;
    if let Some(lora) = &experiment.world.student.lora {
        let (params, whole) = (estimate.trained_parameters, shapes.student.n_params());
        let adapter = format!("LoRA of rank {} on {}: {params} parameters beside {whole}", lora.rank, lora.targets.join(", "));
        out.pair("students", format!("{adapter}; {:.1} MB of optimiser", estimate.optimizer_bytes as f64 / 1e6))?;
    }
    costs(&estimate, out)
}

fn grid(experiment: &Resolved, out: &mut Output) -> anyhow::Result<()> {
    let runs = experiment.runs();
    out.pair("runs", format!("{} suspects over {} seed(s)", runs.len(), experiment.seeds.len()))?;
    for channel in &experiment.channels {
        let budgets: Vec<String> = experiment.budgets.iter().map(u64::to_string).collect();
        let students = "student and control each, rival at the largest";
        let curve = format!("{} + {}", channel.surface.label(), channel.loss.build().name());
        out.pair("  curve", format!("{curve}: {} queries; {students}", budgets.join(", ")))?;
    }
    Ok(())
}

fn costs(estimate: &Estimate, out: &mut Output) -> anyhow::Result<()> {
    let count = |n: u64| count(n as f64);
    let most = if estimate.rehearsed { "about" } else { "at most" };
    let answers = format!("{} prompt and {most} {} answer tokens", count(estimate.prompt_tokens), count(estimate.answer_tokens));
    out.pair("queries", format!("{} over marked, clean and independent teacher: {answers}", count(estimate.queries)))?;
    let (before, after) = (count(estimate.pretraining_tokens), count(estimate.distillation_tokens));
    out.pair("training tokens", format!("{before} before distillation, {after} in {} students", estimate.distilled))?;
    out.pair("audit tokens", format!("at most {}, besides what single marks ask", count(estimate.audit_tokens)))?;
    out.pair("training FLOP", format!("{:.2e} (6 N per token)", estimate.train_flop))?;
    out.pair("forward FLOP", format!("{:.2e} (2 N per token)", estimate.forward_flop))?;
    out.pair("disk", format!("about {} MB", count_of(estimate.disk_bytes / 1e6)))?;
    if let Some(bytes) = estimate.memory_bytes {
        out.pair("memory", format!("about {} MB at most", count_of(bytes / 1e6)))?;
    }
    let threads = estimate.threads;
    if !estimate.rehearsed {
        let (train, forward) = (TRAIN_FLOP_PER_SECOND / 1e9, FORWARD_FLOP_PER_SECOND / 1e9);
        let rates = format!("{threads} thread(s), each assumed to train at {train:.0} and generate at {forward:.0} GFLOP/s");
        return out.pair("time", format!("about {} on {rates}", duration(estimate.seconds)));
    }
    let stages = &estimate.stages;
    let parts = [
        ("models", stages.models),
        ("asking", stages.asking),
        ("students", stages.students),
        ("measuring", stages.measuring),
        ("other", stages.other),
    ];
    let parts: Vec<String> = parts.into_iter().map(|(name, seconds)| format!("{name} {}", duration(seconds))).collect();
    let whole = duration(estimate.seconds);
    out.pair("time", format!("about {whole} on {threads} thread(s), as rehearsed here: {}", parts.join(", ")))
}

/// A number of megabytes for people: whole, and as many digits as are known.
fn count_of(megabytes: f64) -> String {
    if megabytes < 100.0 { format!("{megabytes:.1}") } else { format!("{megabytes:.0}") }
}
