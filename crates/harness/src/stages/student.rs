use std::path::Path;
use std::time::Instant;

use distill::{Curve, DistillSource, TrainPlan, TrainState, TranscriptFiles, VisitOrder};
use lm::ModelCard;
use results::Arm;
use serde_json::{Value, json};
use store::Key;

use crate::experiment::Channel;
use crate::resolve::Run;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::teacher::card;
use crate::stages::{Asked, Context};

/// Raised when the same inputs would give another student.
pub(super) const REVISION: u32 = 2;
/// File of a student artifact: what it cost the thief.
const COST: &str = "cost.json";
/// File of a trunk artifact: a training under way.
const TRUNK: &str = "state.safetensors";

/// The student of `run`, distilled from the first `budget` answers of `asked`, with what that cost.
///
/// # Errors
/// When the training diverges, the surface shows less than the loss needs, or the work is cancelled.
pub fn distil(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained) -> anyhow::Result<(Trained, distill::Cost)> {
    let (Some(channel), Some(budget), Some(steps)) = (&run.channel, run.budget, run.steps) else {
        anyhow::bail!("the {} arm is not distilled", run.arm.name());
    };
    let transcript = asked.transcript(ctx, &channel.surface)?;
    let lesson = Lesson { ctx, arm: run.arm, asked, channel, base, stream: transcript.files.prefix(budget) };
    let plan = lesson.plan(steps);
    let key = lesson.key(&json!({ "transcript": transcript.hash, "budget": budget }), &plan)?;
    let artifact = ctx.artifact("student", &key, |directory| {
        let started = Instant::now();
        let what = format!("{} {} {budget}", run.arm.name(), channel.surface.name());
        let state = match ctx.resolved.world.student.compute.branch_step(steps) {
            Some(branch) => lesson.trunk(&json!(transcript.hash), branch)?,
            None => TrainState::new(&base.model),
        };
        let state = lesson.train(&what, &plan, state)?;
        let model = state.model(&base.model);
        let laws = asked.laws(ctx, channel)?;
        let bought = transcript.counts(budget)?;
        let cost = distill::Cost::of(bought, &model, &state.curve, &asked.teacher().model, &laws);
        ctx.timings.push(&what, ctx.seed, started, cost.training_tokens);
        save_json(&directory.join(COST), &cost)?;
        ctx.save_model(directory, &model, &state.curve, &model_card(ctx, run, asked, base))
    })?;
    Ok((ctx.load_model(&artifact)?, load_json(&artifact.file(COST))?))
}

/// What the students of one arm and channel have in common.
struct Lesson<'a> {
    ctx: &'a Context<'a>,
    arm: Arm,
    asked: &'a Asked,
    channel: &'a Channel,
    base: &'a Trained,
    /// The budget's exchanges.
    stream: TranscriptFiles,
}

impl Lesson<'_> {
    /// The schedule of a student of `steps` steps.
    fn plan(&self, steps: u64) -> TrainPlan {
        let student = &self.ctx.resolved.world.student;
        let plan = self.ctx.plan(steps, student.batch_rows, student.peak_lr);
        match (&student.compute, student.compute.branch_step(steps)) {
            (distill::Compute::SinglePass { warmup_steps, .. }, Some(branch)) => {
                TrainPlan { warmup_steps: *warmup_steps, decay_from: branch, ..plan }
            }
            _ => plan,
        }
    }

    fn order(&self) -> VisitOrder {
        match self.ctx.resolved.world.student.compute {
            distill::Compute::SinglePass { .. } => VisitOrder::Stream,
            _ => VisitOrder::Shuffled { seed: self.ctx.seed_for("distillation order") },
        }
    }

    /// Names a training of `plan` on what `read` names.
    fn key(&self, read: &Value, plan: &TrainPlan) -> anyhow::Result<Key> {
        let order = match self.order() {
            VisitOrder::Stream => Value::Null,
            VisitOrder::Shuffled { seed } => json!(seed),
        };
        Ok(Key::new(
            REVISION,
            &json!({
                "read": read,
                "base": self.base.hash,
                "channel": self.channel,
                "plan": plan,
                "order": order,
                "vocabulary": self.ctx.vocabulary.hash,
            }),
        )?)
    }

    /// The student of a single pass after `branch` steps at the peak rate, before any cooling down: trained on from where the next
    /// smaller budget left it.
    fn trunk(&self, transcript: &Value, branch: u64) -> anyhow::Result<TrainState> {
        if branch == 0 {
            return Ok(TrainState::new(&self.base.model));
        }
        let plan = TrainPlan { steps: branch, decay_from: branch, ..self.plan(branch) };
        let key = self.key(&json!({ "transcript": transcript }), &plan)?;
        let identity = key.hash("student-trunk")?.hex();
        let artifact = self.ctx.artifact("student-trunk", &key, |directory| {
            let student = &self.ctx.resolved.world.student;
            let branches = self.ctx.resolved.budgets.iter().filter_map(|&budget| {
                let steps = student.steps(budget, self.ctx.resolved.world.queries.row_tokens());
                student.compute.branch_step(steps)
            });
            let before = branches.filter(|&earlier| earlier < branch).max().unwrap_or(0);
            let state = self.trunk(transcript, before)?;
            let what = format!("{} {} trunk, step {branch}", self.arm.name(), self.channel.surface.name());
            let state = self.train(&what, &plan, state)?;
            Ok(state.save(&Path::join(directory, TRUNK), &identity)?)
        })?;
        Ok(TrainState::load(&artifact.file(TRUNK), &self.base.model, &identity)?)
    }

    fn train(&self, what: &str, plan: &TrainPlan, mut state: TrainState) -> anyhow::Result<TrainState> {
        let (ctx, base) = (self.ctx, &self.base.model);
        let laws = self.asked.laws(ctx, self.channel)?;
        let source = DistillSource::new(base, self.channel.loss.build(), &self.stream, laws, plan, self.order())?;
        let engine = lm::gradient_engine(base.config(), ctx.rt);
        let bar = ctx.progress.stage(what, plan.steps - state.step, "steps");
        distill::train(&*engine, plan, &source, &mut state, plan.steps, ctx.rt, &mut |_| bar.inc(1))?;
        let tokens = state.curve.last().map_or(0, |point| point.tokens);
        bar.finish(&format!("loss {:.3}, {} tokens", recent_loss(&state.curve), crate::progress::count(tokens as f64)));
        Ok(state)
    }
}

/// Mean loss of the last steps.
fn recent_loss(curve: &Curve) -> f64 {
    let last = &curve.points[curve.points.len().saturating_sub(20)..];
    last.iter().map(|point| point.loss).sum::<f64>() / last.len().max(1) as f64
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
