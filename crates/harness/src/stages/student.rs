use distill::{
    AdapterTraining, DistillSource, ExchangeStream, RetokenisedStream, SavedAs, TrainPlan, TrainState, Trainable, VisitOrder,
};
use lm::lora::Adapter;
use oracle::Access;
use results::Arm;
use serde_json::{Value, json};
use store::{Key, Making};

use crate::experiment::Channel;
use crate::resolve::{BaseSource, Run};
use crate::stages::attack::{Bought, attacked, bought};
use crate::stages::card::student_card;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::teacher::PRETRAINED;
use crate::stages::{Asked, Context, Training};

/// Raised when the same inputs would give another student.
pub(super) const REVISION: u32 = 2;
/// File of a student artifact: what it cost the thief.
const COST: &str = "cost.json";
/// What the draw of a new adapter is seeded for.
const ADAPTER_SEED: &str = "adapter initialisation";
/// File of a trunk artifact: a training under way.
const TRUNK: &str = "state.safetensors";

/// A student with what it cost.
pub struct Distilled {
    /// The model.
    pub trained: Trained,
    /// What it cost the thief.
    pub cost: distill::Cost,
    /// Optimiser steps of its distillation.
    pub steps: u64,
}

/// The student of `run`, distilled from the first `budget` answers of `asked`, after the thief's attacks.
///
/// # Errors
/// When the training diverges, the surface shows less than the loss needs, or the work is cancelled.
pub fn distil(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained) -> anyhow::Result<Distilled> {
    let (Some(channel), Some(budget), Some(steps)) = (&run.channel, run.budget, run.steps) else {
        anyhow::bail!("the {} arm is not distilled", run.arm.name());
    };
    let transcript = asked.transcript(ctx, &channel.surface)?;
    let Bought { files, name, paid } = bought(ctx, transcript, budget, base)?;
    // fewer exchanges than were paid for take fewer steps, where steps follow from their number
    let student = &ctx.resolved.world.student;
    let steps = if files.len() == budget { steps } else { student.steps(files.len(), ctx.resolved.world.queries.row_tokens()) };
    let own = ctx.own_vocabulary(run.arm);
    let stream: Box<dyn ExchangeStream> = match own {
        Some(own) => Box::new(RetokenisedStream::new(files, ctx.to_own(own), base.model.context_length())),
        None => Box::new(files),
    };
    let adapter = match &ctx.resolved.world.student.lora {
        Some(lora) => Some(lora.training(&base.model, ctx.seed_for(ADAPTER_SEED))?),
        None => None,
    };
    let kept_as_adapter = ctx.resolved.world.student.lora.as_ref().is_some_and(|lora| lora.save == SavedAs::Adapter);
    let lesson = Lesson { ctx, arm: run.arm, asked, channel, base, adapter, stream };
    let plan = lesson.plan(steps);
    let key = lesson.key(&name, &plan, true)?;
    let artifact = ctx.resumable("student", &key, |making| {
        let what = format!("{} {} {budget}", run.arm.name(), channel.surface.name());
        let state = lesson.train(making, &what, &plan, || match ctx.resolved.world.student.compute.branch_step(steps) {
            Some(branch) => lesson.trunk(&json!(transcript.hash), branch),
            None => Ok(TrainState::new(lesson.trained())),
        })?;
        let model = state.model(lesson.trained());
        let laws = asked.laws(ctx, channel)?;
        let cost = distill::Cost::of(paid, &model, &state.curve, &asked.teacher().model, &laws);
        save_json(&making.path().join(COST), &cost)?;
        let vocabulary = own.unwrap_or(ctx.vocabulary);
        let card = student_card(ctx, run, asked, base, &transcript.hash, lesson.trained());
        match &lesson.adapter {
            Some(adapter) if kept_as_adapter => {
                let (place, revision) = base_place(ctx, base)?;
                let tokenizer = Some(&*vocabulary.tokenizer);
                adapter.adapter(&state.params).save(making.path(), &place, revision.as_deref(), tokenizer, &card)?;
                ctx.save_curve(making.path(), &state.curve)
            }
            _ => ctx.save_model(making.path(), &model, vocabulary, &state.curve, &card),
        }
    })?;
    let student = if kept_as_adapter {
        let adapter = Adapter::load(artifact.path(), base.model.config())?;
        ctx.load_curve(&artifact, adapter.merged(&base.model))?
    } else {
        ctx.load_model(&artifact)?
    };
    let mut cost = load_json(&artifact.file(COST))?;
    let trained = attacked(ctx, run.arm, student, &mut cost)?;
    Ok(Distilled { trained, cost, steps })
}

/// What an adapter's artifact calls its base: the name and commit of an open model, its directory, or the artifact beside it.
fn base_place(ctx: &Context<'_>, base: &Trained) -> anyhow::Result<(String, Option<String>)> {
    match &ctx.resolved.world.base {
        BaseSource::Open(model) => Ok(match &model.origin {
            Some(origin) => (origin.name.clone(), Some(origin.commit.clone())),
            None => (std::path::absolute(&model.path)?.to_string_lossy().into_owned(), None),
        }),
        BaseSource::Train(_) => Ok((format!("../../{PRETRAINED}/{}", base.hash.hex()), None)),
        BaseSource::Cold(_) => anyhow::bail!("a freshly drawn base is kept nowhere that an adapter could lead to"),
    }
}

/// What the students of one arm and channel have in common.
struct Lesson<'a> {
    ctx: &'a Context<'a>,
    arm: Arm,
    asked: &'a Asked,
    channel: &'a Channel,
    base: &'a Trained,
    /// What is trained instead of all weights.
    adapter: Option<AdapterTraining>,
    /// The budget's exchanges.
    stream: Box<dyn ExchangeStream>,
}

impl Lesson<'_> {
    /// What is trained.
    fn trained(&self) -> &dyn Trainable {
        match &self.adapter {
            Some(adapter) => adapter,
            None => &*self.base.model,
        }
    }

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

    /// Names a training of `plan` on what `read` names, and of the form in which it is kept.
    fn key(&self, read: &Value, plan: &TrainPlan, keeps_form: bool) -> anyhow::Result<Key> {
        let order = match self.order() {
            VisitOrder::Stream => Value::Null,
            VisitOrder::Shuffled { seed } => json!(seed),
        };
        let mut inputs = json!({
            "read": read,
            "base": self.base.hash,
            "channel": self.channel,
            "plan": plan,
            "order": order,
            "vocabulary": self.ctx.vocabulary.hash,
        });
        // what is shown beside the answers reaches a student only through a loss that looks at it
        let shown = self.asked.serving().shown();
        if self.channel.loss.build().needs() > Access::Text && !shown.is_empty() {
            inputs["shown"] = json!(shown);
        }
        if let Some(own) = self.ctx.own_vocabulary(self.arm) {
            inputs["student_vocabulary"] = json!(own.hash);
        }
        if let Some(lora) = &self.ctx.resolved.world.student.lora {
            let mut lora = json!(lora);
            // the form in which a student is kept does not concern a trunk
            if !keeps_form {
                lora.as_object_mut().and_then(|lora| lora.remove("save"));
            }
            inputs["adapter"] = json!({ "lora": lora, "seed": self.ctx.seed_for(ADAPTER_SEED) });
        }
        Ok(Key::new(REVISION, &inputs)?)
    }

    /// The student of a single pass after `branch` steps at the peak rate, before any cooling down: trained on from where the next
    /// smaller budget left it.
    fn trunk(&self, transcript: &Value, branch: u64) -> anyhow::Result<TrainState> {
        if branch == 0 {
            return Ok(TrainState::new(self.trained()));
        }
        let plan = TrainPlan { steps: branch, decay_from: branch, ..self.plan(branch) };
        let key = self.key(&json!({ "transcript": transcript }), &plan, false)?;
        let artifact = self.ctx.resumable("student-trunk", &key, |making| {
            let student = &self.ctx.resolved.world.student;
            let branches = self.ctx.resolved.budgets.iter().filter_map(|&budget| {
                let steps = student.steps(budget, self.ctx.resolved.world.queries.row_tokens());
                student.compute.branch_step(steps)
            });
            let before = branches.filter(|&earlier| earlier < branch).max().unwrap_or(0);
            let what = format!("{} {} trunk {branch}", self.arm.name(), self.channel.surface.name());
            let state = self.train(making, &what, &plan, || self.trunk(transcript, before))?;
            Ok(state.save(&making.path().join(TRUNK), &making.hash().hex())?)
        })?;
        Ok(TrainState::load(&artifact.file(TRUNK), self.trained(), &artifact.hash().hex())?)
    }

    fn train(
        &self,
        making: &Making,
        what: &str,
        plan: &TrainPlan,
        start: impl FnOnce() -> anyhow::Result<TrainState>,
    ) -> anyhow::Result<TrainState> {
        let (trained, like) = (self.trained(), &*self.base.model);
        let laws = self.asked.laws(self.ctx, self.channel)?;
        let source = DistillSource::new(like, self.channel.loss.build(), &*self.stream, laws, plan, self.order())?;
        let (scratch, identity) = (making.scratch()?, making.hash().hex());
        let training = Training { what, trained, plan, source: &source, scratch: &scratch, identity: &identity };
        training.run(self.ctx, start, plan.steps)
    }
}
