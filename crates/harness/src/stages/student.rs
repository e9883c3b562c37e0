use std::time::Instant;

use distill::{DistillSource, TrainState};
use lm::ModelCard;
use results::Arm;
use serde_json::json;
use store::Key;

use crate::resolve::Run;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::teacher::card;
use crate::stages::{Asked, Context};

/// Raised when the same inputs would give another student.
pub(super) const REVISION: u32 = 1;
/// File of a student artifact: what it cost the thief.
const COST: &str = "cost.json";

/// The student of `run`, distilled from the first `budget` answers of `asked`, with what that cost.
///
/// # Errors
/// When the training diverges, the surface shows less than the loss needs, or the work is cancelled.
pub fn distil(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained) -> anyhow::Result<(Trained, distill::Cost)> {
    let (Some(channel), Some(budget), Some(steps)) = (&run.channel, run.budget, run.steps) else {
        anyhow::bail!("the {} arm is not distilled", run.arm.name());
    };
    let student = &ctx.resolved.world.student;
    let plan = ctx.plan(steps, student.batch_rows, student.peak_lr);
    let (transcript_hash, transcript) = asked.transcript(ctx, &channel.surface)?;
    let order = ctx.seed_for("distillation order");
    let key = Key::new(
        REVISION,
        &json!({
            "transcript": transcript_hash,
            "base": base.hash,
            "channel": channel,
            "budget": budget,
            "plan": plan,
            "order": order,
            "vocabulary": ctx.vocabulary.hash,
        }),
    )?;
    let artifact = ctx.artifact("student", &key, |directory| {
        let started = Instant::now();
        let laws = asked.laws(ctx, channel)?;
        let exchanges = transcript.prefix(usize::try_from(budget)?);
        let source = DistillSource::new(&base.model, channel.loss.build(), exchanges, laws.clone(), &plan, order)?;
        let engine = lm::gradient_engine(base.model.config(), ctx.rt);
        let what = format!("{} {} {budget}", run.arm.name(), channel.surface.name());
        let bar = ctx.progress.stage(&what, steps, "steps");
        let mut state = TrainState::new(&base.model);
        distill::train(&*engine, &plan, &source, &mut state, steps, ctx.rt, &mut |_| bar.inc(1))?;
        let model = state.model(&base.model);
        let cost = distill::Cost::of(exchanges, &model, &state.curve, &asked.teacher().model, &laws);
        ctx.timings.push(&what, ctx.seed, started, cost.training_tokens);
        let loss = state.curve.last().map_or(f64::NAN, |point| point.loss);
        bar.finish(&format!("loss {loss:.3}, {} tokens", crate::progress::count(cost.training_tokens as f64)));
        save_json(&directory.join(COST), &cost)?;
        ctx.save_model(directory, &model, &state.curve, &model_card(ctx, run, asked, base))
    })?;
    Ok((ctx.load_model(&artifact)?, load_json(&artifact.file(COST))?))
}

fn model_card(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained) -> ModelCard {
    let what = match run.arm {
        Arm::Control => "the clean teacher",
        Arm::Rival => "an independent teacher",
        _ => "the marked teacher",
    };
    let surface = run.channel.as_ref().map(|channel| channel.surface.label()).unwrap_or_default();
    let body = format!(
        "A student distilled from {what} of the experiment `{}` for the study of marks.\n\n\
         | | |\n| --- | --- |\n| arm | {} |\n| seed | {} |\n| surface | {surface} |\n| loss | {} |\n| queries | {} |\n| steps | {} |\n\
         | teacher | {} |\n| base | {} |",
        ctx.resolved.name,
        run.arm.name(),
        run.seed,
        run.channel.as_ref().map(|channel| channel.loss.build().name()).unwrap_or_default(),
        run.budget.unwrap_or(0),
        run.steps.unwrap_or(0),
        asked.teacher().hash.hex(),
        base.hash.hex(),
    );
    ModelCard { title: format!("{} of {}", run.arm.name(), ctx.resolved.name), body, ..card() }
}
