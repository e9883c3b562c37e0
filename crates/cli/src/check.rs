//! `birthmark check`: everything that can be known before the work starts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use harness::audit_size::{AuditSize, POWER};
use harness::estimate::{Estimate, FORWARD_FLOP_PER_SECOND, Means, TRAIN_FLOP_PER_SECOND, estimate, sum};
use harness::hub::{Models, Origin};
use harness::look::{self, Openings, Warning};
use harness::progress::{count, duration};
use harness::rehearsal::{self, Rehearsal};
use harness::resolve::{Grid, Point, Resolved};
use harness::sharing::{Counts, Made, Sharing, sharing};
use harness::stages::Holds;
use store::Hash;

use crate::args::{DeviceArgs, FileArgs, PartArgs, ThreadArgs};
use crate::exit::Signals;
use crate::output::{Output, complain};
use crate::plan;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    part: PartArgs,
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
    /// Of a grid: its points, with what each takes of every axis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<&'a BTreeMap<String, String>>,
    /// By what stages make: how many there would be if every point ran alone, and how many differ.
    stages: &'a BTreeMap<Made, Counts>,
    /// Points of which a little was run to know rates.
    rehearsed_points: usize,
    /// By key; only models that came from the hub.
    models: BTreeMap<String, &'a Origin>,
    estimate: &'a Estimate,
    /// What the audit can show of marks that are judged by the keyed score test, where a rehearsal measured it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audit: Vec<AuditSize>,
    /// How many of the first queries open differently, where their tokenizer is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    openings: Option<Openings>,
    /// What is likely not meant.
    warnings: &'a [Warning],
    /// What imported transcripts hold, where a rehearsal read them: by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    imported: BTreeMap<&'static str, Holds>,
    /// What the files of its models say and the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'a str>,
}

/// Validates an experiment, expands its grid and estimates its cost.
pub fn check(args: &CheckArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let grid = match args.file.grid(&args.device.open()?, &Models::cached()) {
        Ok(grid) => grid,
        Err(error) => return plan::will_be_fetched(&args.file.file, args.json, error.downcast()?, out),
    };
    let chosen = args.part.chosen(&grid)?;
    let bill = Bill::of(&grid, &chosen, args, signals)?;
    let experiment = grid.first();
    let origins: BTreeMap<String, &Origin> = grid.points.iter().flat_map(|point| point.resolved.world.origins()).collect();
    let mut notes: Vec<&str> = grid.points.iter().flat_map(|point| point.shapes.notes.iter().map(String::as_str)).collect();
    notes.sort_unstable();
    notes.dedup();
    if args.json {
        return out.json(&Checked {
            name: &experiment.name,
            experiment_hash: grid.hash()?.hex(),
            commitment: &experiment.world.commitment,
            public_secret: experiment.secret.is_public(),
            runs: chosen.iter().map(|&number| grid.points[number].resolved.runs().len()).sum(),
            points: chosen.iter().map(|&number| &grid.points[number].axes).filter(|_| grid.is_grid()).collect(),
            stages: &bill.sharing.counts,
            rehearsed_points: bill.rehearsed,
            models: origins,
            estimate: &bill.estimate,
            audit: bill.audit,
            openings: bill.openings,
            warnings: &bill.warnings,
            imported: bill.imported,
            notes,
        });
    }
    out.line(&format!("{} is valid", args.file.file.display()))?;
    out.pair("question", &experiment.question)?;
    out.pair("hypothesis", &experiment.hypothesis)?;
    out.pair(
        "results in",
        format!("results/{}/{} (below --results, where `run` is given it)", experiment.name, grid.hash()?.short()),
    )?;
    let public = if experiment.secret.is_public() { " (public demo secret: whoever reads the file knows the keys)" } else { "" };
    out.pair("owner commitment", format!("{}{public}", &experiment.world.commitment[..16]))?;
    for (key, origin) in &origins {
        let Origin { name, revision, commit } = origin;
        out.pair(
            key,
            if origin.is_pinned() {
                format!("{name} at commit {commit}")
            } else {
                format!("{name} at {revision}, in the cache commit {commit}; only a commit pins results: write {name}@{commit}")
            },
        )?;
    }
    for note in notes {
        out.pair("note", note)?;
    }
    if grid.is_grid() {
        plan::points(&grid, &chosen, out)?;
        plan::shared(&bill.sharing, out)?;
    } else {
        suspects(experiment, out)?;
    }
    if let Some(lora) = &experiment.world.student.lora {
        let (params, whole) = (bill.estimate.trained_parameters, grid.points[0].shapes.student.n_params());
        let adapter = format!("LoRA of rank {} on {}: {params} parameters beside {whole}", lora.rank, lora.targets.join(", "));
        out.pair("students", format!("{adapter}; {:.1} MB of optimiser", bill.estimate.optimizer_bytes as f64 / 1e6))?;
    }
    for (key, holds) in &bill.imported {
        out.pair(key, holds.words())?;
    }
    if let Some(Openings { queries, distinct }) = bill.openings {
        out.pair("different prompts", format!("{distinct} among the first {queries} queries"))?;
    }
    for Warning { key, what } in &bill.warnings {
        out.pair("warning", format!("`{key}`: {what}"))?;
    }
    for size in &bill.audit {
        out.pair("audit shows", shown(size))?;
    }
    costs(&bill.estimate, out)?;
    if grid.is_grid() && bill.rehearsed > 0 {
        let rest = "the others at the rates of the one most like them; work that points share is counted once";
        out.pair("estimated from", format!("{} of {} points, rehearsed here, {rest}", bill.rehearsed, chosen.len()))?;
    }
    Ok(())
}

/// What the chosen points cost together.
struct Bill {
    sharing: Sharing,
    estimate: Estimate,
    /// Points that were rehearsed.
    rehearsed: usize,
    /// What the audit of the first of them can show.
    audit: Vec<AuditSize>,
    /// What the imported transcripts of the first of them hold.
    imported: BTreeMap<&'static str, Holds>,
    /// How many of the first queries of the first point open differently.
    openings: Option<Openings>,
    /// What is likely not meant, each thing once.
    warnings: Vec<Warning>,
}

/// Most points that are rehearsed.
const MOST_REHEARSED: usize = 4;

impl Bill {
    fn of(grid: &Grid, chosen: &[usize], args: &CheckArgs, signals: &Signals) -> anyhow::Result<Self> {
        let threads = args.threads.count();
        let sharing = sharing(grid, chosen)?;
        let mut rehearsals: Vec<(Hash, Rehearsal)> = Vec::new();
        let mut parts = Vec::new();
        let (mut looked, mut first, mut warned) = (BTreeMap::new(), None, BTreeSet::new());
        for (&number, &new) in chosen.iter().zip(&sharing.new) {
            let point = &grid.points[number];
            let name = rehearsal::name(&point.resolved)?;
            let known = rehearsals.iter().any(|(known, _)| *known == name);
            let subject = look::name(&point.resolved)?;
            let mut openings = match looked.get(&subject) {
                Some(openings) => *openings,
                None => look::look(&point.resolved, threads, &signals.cancelled)?,
            };
            if !args.quick && !known && rehearsals.len() < MOST_REHEARSED {
                // a reader would wonder; programs read what comes
                if io::stderr().is_terminal() {
                    complain("rehearsing it, up to a minute or two; --quick does without");
                }
                let rehearsal = rehearsal::run(&point.resolved, threads, &signals.cancelled);
                let rehearsal = rehearsal.context("rehearsing it (--quick does without)")?;
                openings = rehearsal.openings;
                rehearsals.push((name, rehearsal));
            }
            looked.insert(subject, openings);
            first.get_or_insert(openings);
            warned.extend(look::warnings(&point.resolved, openings));
            let nearest = rehearsals.iter().find(|(known, _)| *known == name).or(like(&rehearsals, point));
            let rehearsal = nearest.map(|(_, rehearsal)| rehearsal);
            parts.push(estimate(&point.resolved, &point.shapes, &Means { threads, rehearsal, new }));
        }
        let audit = rehearsals.first().map(|(_, rehearsal)| rehearsal.took.audit.clone()).unwrap_or_default();
        let (import, control) = rehearsals.first().and_then(|(_, rehearsal)| rehearsal.took.imported.clone()).unzip();
        let held = [("transcript.import", import), ("transcript.control", control.flatten())];
        let imported = held.into_iter().filter_map(|(key, holds)| Some((key, holds?))).collect();
        let (openings, warnings) = (first.flatten(), warned.into_iter().collect());
        Ok(Self { sharing, estimate: sum(&parts), rehearsed: rehearsals.len(), audit, imported, openings, warnings })
    }
}

/// What an audit can show, and the prompts that it needs to show more or less.
fn shown(size: &AuditSize) -> String {
    let AuditSize { mark, effect_unit, prompts, alpha, detectable_effect, needed } = size;
    let needed: Vec<String> =
        needed.iter().map(|needed| format!("{} needs about {} prompts", needed.effect, count(needed.prompts as f64))).collect();
    let from = format!("{mark}: an effect from {detectable_effect:.3} on ({effect_unit}) at p {alpha:.1e} with power {POWER}");
    format!("{from}, by {} prompts; {}", count(*prompts as f64), needed.join(", "))
}

/// The rehearsal of the point that is most like `point`: with as many channels, answers nearest in length.
fn like<'a>(rehearsals: &'a [(Hash, Rehearsal)], point: &Point) -> Option<&'a (Hash, Rehearsal)> {
    let (channels, answer) = (point.resolved.channels.len(), point.resolved.world.queries.max_new_tokens);
    rehearsals.iter().min_by_key(|(_, rehearsal)| {
        let scaled = &rehearsal.scaled;
        (scaled.channels.len().abs_diff(channels), scaled.world.queries.max_new_tokens.abs_diff(answer))
    })
}

fn suspects(experiment: &Resolved, out: &mut Output) -> anyhow::Result<()> {
    let runs = experiment.runs();
    out.pair("runs", format!("{} suspects over {} seed(s)", runs.len(), experiment.seeds.len()))?;
    for channel in &experiment.channels {
        let budgets: Vec<String> = experiment.budgets.iter().map(u64::to_string).collect();
        let students = match &experiment.marks_apart[..] {
            [] => "student and control each, rival at the largest".to_string(),
            apart => format!("student, control and students without {} each, rival at the largest", apart.join(", ")),
        };
        let curve = format!("{} + {}", channel.surface.label(), channel.loss.build().name());
        out.pair("  curve", format!("{curve}: {} queries; {students}", budgets.join(", ")))?;
    }
    Ok(())
}

fn costs(estimate: &Estimate, out: &mut Output) -> anyhow::Result<()> {
    let count = |n: u64| count(n as f64);
    let most = if estimate.rehearsed { "about" } else { "at most" };
    let answers = format!("{} prompt and {most} {} answer tokens", count(estimate.prompt_tokens), count(estimate.answer_tokens));
    out.pair("queries", format!("{} over all teachers: {answers}", count(estimate.queries)))?;
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
