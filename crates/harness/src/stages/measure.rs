use std::time::Instant;

use distill::{Alignment, Fidelity};
use marks::{Comparison, Mark, MarkError, MarkInfo, Reference};
use oracle::Access;
use results::{Arm, Family, Kind, Record, View};
use serde_json::json;
use stats::interval::mean_interval;
use store::Key;

use crate::stages::audit::Audit;
use crate::stages::context::{load_json, save_json};
use crate::stages::marks::Marks;
use crate::stages::suspect::Suspect;
use crate::stages::{Context, usefulness};

/// Raised when the same inputs would give another measurement.
pub(super) const REVISION: u32 = 4;
/// File of a measurement artifact.
const FILE: &str = "records.json";

/// Every mark and every metric of one suspect, found or measured. Identity (experiment, run, arm ...) is not filled in:
/// the same measurement may serve several experiments.
///
/// # Errors
/// When the suspect fails, or the work is cancelled. A mark that cannot be tested is a record that says so.
pub fn measure(ctx: &Context<'_>, suspect: &Suspect, marks: &Marks, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let world = &ctx.resolved.world;
    let channel = suspect.run.channel.as_ref().and_then(|c| ctx.resolved.channels.iter().position(|known| known == c));
    let references: Vec<_> = audit.references(suspect.run.arm, channel).collect();
    let mut inputs = json!({
            "suspect": suspect.trained.hash,
            "bend": suspect.bend,
            "teacher": audit.teacher.trained.hash,
            "references": references.iter().map(|r| (r.peer.arm.name(), r.peer.trained.hash)).collect::<Vec<_>>(),
            "marks": world.marks,
            "queries": (&world.queries, ctx.resolved.largest_budget()),
            "commitment": world.commitment,
            "audit": world.audit,
            "measure": world.measure,
            "alpha": ctx.resolved.alpha,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed,
    });
    if let Some(own) = ctx.student_vocabulary {
        inputs["student_vocabulary"] = json!(own.hash);
    }
    let key = Key::new(REVISION, &inputs)?;
    let artifact = ctx.artifact("measurement", &key, |directory| {
        let started = Instant::now();
        let what = format!("measuring {}", name(suspect));
        let n = 3 + marks.probes.len() as u64;
        let bar = ctx.progress.stage(&what, n, "measurements");
        let mut records = Vec::new();
        let mut done = |measured: Vec<Record>| {
            bar.inc(1);
            records.extend(measured);
        };
        done(watermark(ctx, suspect, marks, audit)?);
        done(canary(ctx, suspect, marks)?);
        for index in 0..marks.probes.len() {
            done(vec![probe(ctx, suspect, marks, audit, index, &references)?]);
        }
        done(metrics(ctx, suspect, audit)?);
        ctx.timings.push(&what, ctx.seed, started, 0);
        bar.finish("");
        save_json(&directory.join(FILE), &records)
    })?;
    load_json(&artifact.file(FILE))
}

/// Every suspect is tried with decoy keys of its own, so that a false-positive rate over all of them rests on as many keys.
fn decoy_seed(ctx: &Context<'_>, suspect: &Suspect) -> u64 {
    let run = &suspect.run;
    let channel = run.channel.as_ref().map(|c| format!("{} {}", c.surface, c.loss.build().name())).unwrap_or_default();
    ctx.seed_for(&format!("decoys {} {channel} {}", run.arm.name(), run.budget.unwrap_or(0)))
}

/// Who the suspect is, for progress.
fn name(suspect: &Suspect) -> String {
    let run = &suspect.run;
    match (&run.channel, run.budget) {
        (Some(channel), Some(budget)) => format!("{} {} {budget}", run.arm.name(), channel.surface.name()),
        _ => run.arm.name().to_string(),
    }
}

/// What all records of a mark have in common.
fn about(mark: &dyn Mark, suspect: &Suspect, ctx: &Context<'_>) -> Record {
    let info = mark.info();
    let served = info.needs <= Access::Logprobs && !suspect.processors.is_empty();
    Record {
        kind: Kind::Mark,
        mark: Some(info.name.to_string()),
        family: Some(match info.family {
            marks::Family::Watermark => Family::Watermark,
            marks::Family::Canary => Family::Canary,
            marks::Family::Probe => Family::Probe,
        }),
        scheme: Some(info.name.to_string()),
        view: Some(if served { View::Served } else { View::Raw }),
        access: Some(info.needs.name().to_string()),
        planted: Some(info.planted),
        effect_unit: Some(effect_unit(&info).to_string()),
        audit_prompts: Some(ctx.resolved.world.audit.prompts),
        audit_max_new_tokens: Some(ctx.resolved.world.audit.max_new_tokens as u64),
        ..Record::default()
    }
}

/// What a mark's effect is, for the axis of a figure.
fn effect_unit(info: &MarkInfo) -> &'static str {
    match (info.family, info.planted) {
        (marks::Family::Watermark, _) => "score per unit above chance",
        (marks::Family::Canary, _) => "mean exposure above chance, bits",
        (marks::Family::Probe, true) => "share of keys answered, above chance",
        (marks::Family::Probe, false) => "agreement above the nearest other model's",
    }
}

/// A test that could not be made is a record that says what it needs; a model that failed is an error.
fn unless_unmeasurable(result: Result<Record, MarkError>, about: Record) -> anyhow::Result<Record> {
    match result {
        Ok(record) => Ok(record),
        Err(error @ (MarkError::NeedsAccess { .. } | MarkError::Unmeasurable { .. })) => {
            Ok(Record { reason: Some(error.to_string()), ..about })
        }
        Err(MarkError::Oracle(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

fn watermark(ctx: &Context<'_>, suspect: &Suspect, marks: &Marks, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let Some(watermark) = &marks.watermark else { return Ok(Vec::new()) };
    let answers = suspect.served(ctx).answer(&audit.queries)?;
    let tokens = answers.iter().map(|a| a.answer.len() as u64).sum();
    let about =
        Record { audit_queries: Some(answers.len() as u64), audit_tokens: Some(tokens), ..about(&**watermark, suspect, ctx) };
    let detected = watermark.detect(&answers, ctx.resolved.world.measure.decoys, decoy_seed(ctx, suspect), &ctx.rt.pool);
    let record = detected.map(|detection| {
        let evidence = &detection.evidence;
        Record {
            decoys_at_alpha: Some(at_alpha(&detection.decoy_log10_p, ctx.resolved.alpha)),
            audit_queries_to_detect: detection.audit_queries_to_detect(ctx.resolved.alpha),
            detail: Some(format!("{:.0} of {} scored units hit", evidence.statistic, evidence.n)),
            ..about.clone().with_evidence(evidence)
        }
    });
    let mut records = vec![unless_unmeasurable(record, about)?];
    if let Some(own) = ctx.own_vocabulary(suspect.run.arm) {
        // the others were not chosen one by one, and carry less of a mark
        let aligned = Alignment::of(&answers, &ctx.vocabulary.tokenizer, &own.tokenizer).share();
        records.extend(aligned.map(|share| metric("aligned_tokens", share, "1")));
    }
    Ok(records)
}

fn canary(ctx: &Context<'_>, suspect: &Suspect, marks: &Marks) -> anyhow::Result<Vec<Record>> {
    let Some(canary) = &marks.canary else { return Ok(Vec::new()) };
    let served = suspect.served(ctx);
    let cost = canary.cost();
    let about = Record { audit_queries: Some(cost.queries + cost.scored_texts), ..about(&**canary, suspect, ctx) };
    let draws = ctx.resolved.world.measure.permutations;
    let measured =
        canary.measure(&marks::Suspect::new(&*served), &*ctx.vocabulary.tokenizer, draws, ctx.seed_for("permutations"));
    let mut levels = Vec::new();
    let record = measured.map(|measurement| {
        let by_level =
            measurement.by_repeats.iter().map(|l| format!("{}x {:.1}", l.repeats, l.mean_exposure)).collect::<Vec<_>>();
        for level in &measurement.by_repeats {
            levels.push(metric(&format!("exposure_at_{}_repeats", level.repeats), level.mean_exposure, "bits"));
        }
        Record {
            detail: Some(format!(
                "mean exposure by repeats: {}; {} of {} extracted",
                by_level.join(", "),
                measurement.extracted,
                measurement.extractable
            )),
            ..about.clone().with_evidence(&measurement.evidence)
        }
    });
    let mut records = vec![unless_unmeasurable(record, about)?];
    records.extend(levels);
    Ok(records)
}

/// An intrinsic probe asks whether a suspect is nearer to the teacher than every independent model. The stranger has only
/// base and rival beside it, which are weaker, and a better model agrees more with any good one.
const NO_PEER_OF_THE_STRANGER: &str = "needs a second independent model as strong as the stranger to compare it with";

fn probe(
    ctx: &Context<'_>,
    suspect: &Suspect,
    marks: &Marks,
    audit: &Audit,
    index: usize,
    references: &[&crate::stages::audit::Negative],
) -> anyhow::Result<Record> {
    let probe = &*marks.probes[index];
    let cost = probe.cost();
    let about =
        Record { audit_queries: Some(cost.queries), audit_tokens: Some(cost.generated_tokens), ..about(probe, suspect, ctx) };
    if !probe.planted() && suspect.run.arm == Arm::Stranger {
        return Ok(Record { reason: Some(NO_PEER_OF_THE_STRANGER.into()), ..about });
    }
    let teacher = audit.teacher.answers(ctx, index, probe)?;
    let answers = references
        .iter()
        .map(|r| Ok(Reference { name: r.peer.arm.name(), answers: r.peer.answers(ctx, index, probe)? }))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let against = Comparison { teacher: Some(teacher), references: &answers };
    let served = suspect.served(ctx);
    let decoys = ctx.resolved.world.measure.decoys;
    let measured = probe.measure(&marks::Suspect::new(&*served), &against, decoys, decoy_seed(ctx, suspect));
    let record = measured.map(|m| {
        let nearest = m.nearest_reference.map(|name| format!("; the nearest other model is {name}")).unwrap_or_default();
        let whose = if probe.planted() { "the owner" } else { "the raw teacher" };
        let decoys_at_alpha = at_alpha(&m.decoy_log10_p, ctx.resolved.alpha);
        Record {
            decoys_at_alpha: Some(decoys_at_alpha).filter(|_| !m.decoy_log10_p.is_empty()),
            detail: Some(format!("{} of {} answers as {whose} has them{nearest}", m.hits, m.asked)),
            ..about.clone().with_evidence(&m.evidence)
        }
    });
    unless_unmeasurable(record, about)
}

fn at_alpha(log10_p: &[f64], alpha: f64) -> u64 {
    log10_p.iter().filter(|&&p| p <= alpha.log10()).count() as u64
}

/// A metric without identity.
pub fn metric(name: &str, value: f64, unit: &str) -> Record {
    Record { kind: Kind::Metric, metric: Some(name.into()), value: Some(value), unit: Some(unit.into()), ..Record::default() }
}

/// A metric with the 95 % interval of a mean over `units` (documents, rows).
fn metric_with_interval(name: &str, value: f64, unit: &str, units: &[f64]) -> Record {
    let interval = mean_interval(units);
    Record { low: interval.map(|i| i.low), high: interval.map(|i| i.high), ..metric(name, value, unit) }
}

/// Fidelity, usefulness and cost.
fn metrics(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let model = &suspect.trained.model;
    let own = ctx.own_vocabulary(suspect.run.arm);
    let (rows, bytes) = match (&audit.retokenised, own) {
        (Some(retokenised), Some(_)) => (&retokenised.rows, Some(&retokenised.bytes)),
        (retokenised, _) => (&audit.held_out, retokenised.as_ref().map(|retokenised| &retokenised.teacher_bytes)),
    };
    let held_out = distill::held_out(model, rows, ctx.rt)?;
    let mut records = vec![held_out_loss("held_out_loss", &held_out)];
    records.extend(bytes.map(|bytes| held_out_loss_per_byte(&held_out, bytes)));
    let teacher = &audit.teacher.trained.model;
    // laws over different tokens have no distance
    if own.is_none() && teacher.vocab_size() == model.vocab_size() {
        let fidelity: Fidelity = distill::fidelity(teacher, model, &audit.held_out, ctx.rt)?;
        let per_row = |value: &dyn Fn(&distill::RowFidelity) -> f64| -> Vec<f64> {
            fidelity.rows.iter().filter(|row| row.positions > 0).map(|row| value(row) / row.positions as f64).collect()
        };
        let agreed = per_row(&|row| row.agreed as f64);
        records.push(metric_with_interval("agreement", fidelity.agreement(), "1", &agreed));
        records.push(metric_with_interval("kl", fidelity.mean_kl(), "nats/token", &per_row(&|row| row.kl_nats)));
    }
    records.extend(usefulness::tasks(ctx, suspect, audit)?);
    if let Some(cost) = &suspect.cost {
        records.push(metric("queries", cost.queries as f64, "queries"));
        records.push(metric("prompt_tokens", cost.prompt_tokens as f64, "tokens"));
        records.push(metric("answer_tokens", cost.answer_tokens as f64, "tokens"));
        records.push(metric("train_flop", cost.training_flop, "FLOP"));
    }
    Ok(records)
}

/// Held-out loss with its interval over documents.
pub fn held_out_loss(name: &str, held_out: &distill::HeldOut) -> Record {
    let per_document: Vec<f64> =
        held_out.rows.iter().filter(|row| row.tokens > 0).map(|row| row.nats / row.tokens as f64).collect();
    metric_with_interval(name, held_out.nats_per_token(), "nats/token", &per_document)
}

/// Held-out loss by the byte of text, which models of different tokenizers have in common.
fn held_out_loss_per_byte(held_out: &distill::HeldOut, bytes: &[u64]) -> Record {
    let rows = || held_out.rows.iter().zip(bytes).filter(|(_, bytes)| **bytes > 0);
    let mean = rows().map(|(row, _)| row.nats).sum::<f64>() / rows().map(|(_, bytes)| *bytes as f64).sum::<f64>();
    let per_document: Vec<f64> = rows().map(|(row, bytes)| row.nats / *bytes as f64).collect();
    metric_with_interval("held_out_loss_per_byte", mean, "nats/byte", &per_document)
}
