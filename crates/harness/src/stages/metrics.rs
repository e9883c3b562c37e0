//! What is said of a suspect beside its marks: how near it is to the teacher, what it is worth, and what it cost.

use std::time::Instant;

use distill::{Alignment, Fidelity};
use results::Record;
use serde_json::json;
use store::Key;

use crate::stages::audit::Audit;
use crate::stages::context::{load_json, save_json};
use crate::stages::label_fidelity::{label_fidelity, labels_of};
use crate::stages::metric::{held_out_loss, held_out_loss_per_byte, metric, pooled_metric};
use crate::stages::suspect::Suspect;
use crate::stages::{Context, usefulness};

/// Raised when the same inputs would give other metrics.
pub(super) const REVISION: u32 = 8;
/// File of an artifact of metrics.
const FILE: &str = "records.json";

/// Fidelity, usefulness and cost of a suspect, found or measured.
///
/// # Errors
/// When the suspect fails, or the work is cancelled.
pub(super) fn metrics(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let world = &ctx.resolved.world;
    let mut inputs = json!({
        "suspect": suspect.trained.hash,
        "laws": suspect.serving.names(),
        "teacher": audit.teacher.trained.hash,
        "held_out": store::hash_json(&audit.held_out)?,
        "tasks": world.measure.tasks,
        "chat": world.queries.chat,
        "cost": suspect.cost,
        "corpus": ctx.sources.identity(),
        "vocabulary": ctx.vocabulary.hash,
        "seed": ctx.seed,
    });
    if let Some(own) = suspect.own_vocabulary(ctx) {
        inputs["student_vocabulary"] = json!(own.hash);
        inputs["audit"] = json!([audit.queries_hash, world.audit.max_new_tokens, world.audit.sampling]);
    }
    if let Some(labels) = labels_of(ctx, suspect, audit) {
        inputs["labels"] = json!([labels, audit.queries_hash, audit.served_teacher.identity()]);
    }
    let tried = tried(ctx, suspect);
    if !tried.is_empty() {
        inputs["tried"] = json!(tried);
    }
    let artifact = ctx.artifact("metrics", &Key::new(REVISION, &inputs)?, |directory| {
        let started = Instant::now();
        let what = format!("measuring {}", suspect.name());
        let bar = ctx.progress.stage(&what, 1, "measurements");
        let found = [measured(ctx, suspect, audit)?, tried].concat();
        bar.inc(1);
        ctx.timings.push(&what, ctx.seed, started, 0);
        bar.finish("");
        save_json(&directory.join(FILE), &found)
    })?;
    load_json(&artifact.file(FILE))
}

/// What the thief tried before he chose this suspect.
fn tried(ctx: &Context<'_>, suspect: &Suspect) -> Vec<Record> {
    let choice = suspect.taught.as_ref().and_then(|taught| taught.choice.as_ref());
    let recipes = ctx.resolved.world.student.recipes(suspect.run.budget.unwrap_or(0));
    choice.map(|choice| choice.metrics(&recipes)).unwrap_or_default()
}

fn measured(ctx: &Context<'_>, suspect: &Suspect, audit: &Audit) -> anyhow::Result<Vec<Record>> {
    let model = &suspect.trained.model;
    let own = suspect.own_vocabulary(ctx);
    let bytes = audit.scored_bytes_of(own);
    let held_out = suspect.worth.held_out(ctx, model, audit.held_out_of(own))?;
    let mut records = vec![held_out_loss("held_out_loss", held_out)];
    records.extend(bytes.map(|bytes| held_out_loss_per_byte(held_out, bytes)));
    let teacher = &audit.teacher.trained.model;
    // laws over different tokens have no distance
    if own.is_none() && teacher.vocab_size() == model.vocab_size() {
        let fidelity: Fidelity = distill::fidelity(teacher, model, &audit.held_out, ctx.rt)?;
        let rows = || fidelity.rows.iter().map(|row| (row, row.positions as f64));
        records.push(pooled_metric("agreement", "1", rows().map(|(row, positions)| (row.agreed as f64, positions))));
        records.push(pooled_metric("kl", "nats/token", rows().map(|(row, positions)| (row.kl_nats, positions))));
    }
    records.extend(label_fidelity(ctx, suspect, audit)?);
    if let Some(own) = own {
        // the others were not chosen one by one, and carry less of a mark
        let answers = suspect.audited(ctx, &audit.queries)?;
        let aligned = Alignment::of(&answers, &ctx.vocabulary.tokenizer, &own.tokenizer).share();
        records.extend(aligned.map(|share| metric("aligned_tokens", share, "1")));
    }
    records.extend(usefulness::tasks(ctx, suspect, audit)?);
    if let Some(cost) = &suspect.cost {
        records.push(metric("queries", cost.queries as f64, "queries"));
        records.push(metric("prompt_tokens", cost.prompt_tokens as f64, "tokens"));
        records.push(metric("answer_tokens", cost.answer_tokens as f64, "tokens"));
        records.push(metric("train_flop", cost.training_flop, "FLOP"));
        records.extend((cost.trial_flop > 0.0).then(|| metric("trial_flop", cost.trial_flop, "FLOP")));
    }
    Ok(records)
}
