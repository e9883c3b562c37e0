use distill::{
    AdapterTraining, Cost, DistillSource, ExchangeStream, Read, RetokenisedStream, SavedAs, TrainPlan, TrainState, Trainable,
    VisitOrder,
};
use lm::lora::Adapter;
use oracle::{Access, Exchange};
use serde_json::{Value, json};
use store::{Key, Making};

use crate::experiment::{Channel, Recipe};
use crate::resolve::{BaseSource, Run};
use crate::stages::answers::Transcript;
use crate::stages::attack::{Bought, attacked, bought};
use crate::stages::card::student_card;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::course::PRETRAINED;
use crate::stages::{self, Asked, Context};

/// Raised when the same inputs would give another student.
pub(super) const REVISION: u32 = 4;
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
    pub cost: Cost,
    /// Optimiser steps of its distillation.
    pub steps: u64,
}

/// The student of `run`, distilled by `recipe` from the first `budget` answers of `asked`, after the thief's attacks.
///
/// # Errors
/// When the training diverges, the surface shows less than the loss needs, or the work is cancelled.
pub fn distil(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained, recipe: &Recipe) -> anyhow::Result<Distilled> {
    let distilled = Apprentice::new(ctx, run, asked, base)?.by(recipe)?.distilled()?;
    let mut cost = distilled.cost;
    let trained = attacked(ctx, run.arm, distilled.trained, &mut cost)?;
    Ok(Distilled { trained, cost, ..distilled })
}

/// Who learns, and from what: all that the trainings of one run have in common.
pub(super) struct Apprentice<'a> {
    ctx: &'a Context<'a>,
    run: &'a Run,
    channel: &'a Channel,
    budget: u64,
    asked: &'a Asked,
    base: &'a Trained,
    transcript: &'a Transcript,
    bought: Bought,
}

impl<'a> Apprentice<'a> {
    pub(super) fn new(ctx: &'a Context<'a>, run: &'a Run, asked: &'a Asked, base: &'a Trained) -> anyhow::Result<Self> {
        let (Some(channel), Some(budget)) = (&run.channel, run.budget) else {
            anyhow::bail!("the {} arm is not distilled", run.who());
        };
        let transcript = asked.transcript(ctx, &channel.surface)?;
        let bought = bought(ctx, transcript, budget, base)?;
        Ok(Self { ctx, run, channel, budget, asked, base, transcript, bought })
    }

    /// Exchanges that a training may read.
    fn reads(&self) -> u64 {
        self.ctx.resolved.world.student.read_of(self.bought.files.len())
    }

    /// The first `len` exchanges of what was bought, in the tokens of the student.
    fn stream(&self, len: u64) -> Box<dyn ExchangeStream> {
        let files = self.bought.files.prefix(len);
        match self.ctx.own_vocabulary(self.run.arm) {
            Some(own) => Box::new(RetokenisedStream::new(files, self.ctx.to_own(own), self.base.model.context_length())),
            None => Box::new(files),
        }
    }

    /// The exchanges that no training reads, in the tokens of the student.
    pub(super) fn held_out(&self) -> anyhow::Result<Vec<Exchange>> {
        let (all, first) = (self.bought.files.len(), self.reads());
        let stream = self.stream(all);
        let mut held = Vec::new();
        for (index, range) in distill::shards(all, stream.shard_len()).enumerate().filter(|(_, range)| range.end > first) {
            let within = |at: u64| usize::try_from(at - range.start);
            held.extend_from_slice(&stream.shard(index as u64)?[within(first.max(range.start))?..within(range.end)?]);
        }
        Ok(held)
    }

    /// The training by `recipe`.
    pub(super) fn by(&self, recipe: &Recipe) -> anyhow::Result<Training<'_>> {
        let ctx = self.ctx;
        // fewer exchanges than were paid for take fewer steps, where steps follow from their number
        let student = &ctx.resolved.world.student;
        let steps = student.steps(recipe, self.bought.files.len(), ctx.resolved.world.queries.row_tokens());
        let reads = self.reads();
        let name = match reads < self.bought.files.len() {
            true => json!({ "first": reads, "of": self.bought.name }),
            false => self.bought.name.clone(),
        };
        let adapter = match &student.lora {
            Some(lora) => Some(lora.training(&self.base.model, ctx.seed_for(ADAPTER_SEED))?),
            None => None,
        };
        let (run, asked, channel, base) = (self.run, self.asked, self.channel, self.base);
        let lesson = Lesson { ctx, run, asked, channel, base, adapter, stream: self.stream(reads), recipe: recipe.clone() };
        let plan = lesson.plan(steps);
        let key = lesson.key(&name, &plan, true)?;
        Ok(Training { apprentice: self, lesson, plan, key })
    }
}

/// One training of a student, not yet made.
pub(super) struct Training<'a> {
    apprentice: &'a Apprentice<'a>,
    lesson: Lesson<'a>,
    plan: TrainPlan,
    /// Names the student.
    pub(super) key: Key,
}

impl Training<'_> {
    /// Operations of its first `steps` steps, at most: no answer is longer than was asked for.
    pub(super) fn flop_of(&self, steps: u64) -> f64 {
        let row = self.lesson.ctx.resolved.world.queries.row_tokens();
        self.lesson.base.model.flops_per_token_train() * (steps * (self.plan.batch_rows * row) as u64) as f64
    }

    /// The student, found or trained, before any attack on it.
    pub(super) fn distilled(&self) -> anyhow::Result<Distilled> {
        let Self { apprentice, lesson, plan, key } = self;
        let Apprentice { ctx, run, channel, budget, asked, base, transcript, bought } = apprentice;
        let (steps, own) = (plan.steps, ctx.own_vocabulary(run.arm));
        let lora = ctx.resolved.world.student.lora.as_ref();
        let kept_as_adapter = lora.is_some_and(|lora| lora.save == SavedAs::Adapter);
        let artifact = ctx.resumable("student", key, |making| {
            let what = format!("{} {} {budget}", run.who(), channel.surface.name());
            let state = lesson.train(making, &what, plan, || match lesson.recipe.compute().branch_step(steps) {
                Some(branch) => lesson.trunk(&json!(transcript.hash), branch),
                None => Ok(TrainState::new(lesson.trained())),
            })?;
            let model = state.model(lesson.trained());
            let laws = asked.laws(ctx, channel)?;
            let rows = plan.total_rows();
            let distinct_prompts = distill::distinct_prompts(&*lesson.stream, lesson.order(), rows, &making.scratch()?)?;
            let read = Read { of: lesson.stream.len(), exchanges: rows, distinct_prompts };
            let cost = Cost::of(bought.paid, read, &model, &state.curve, &asked.teacher().model, &laws);
            save_json(&making.path().join(COST), &cost)?;
            let vocabulary = own.unwrap_or(ctx.vocabulary);
            let trained = Run { steps: Some(steps), ..(*run).clone() };
            let card = student_card(ctx, &trained, asked, base, &transcript.hash, lesson.trained());
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
        let trained = if kept_as_adapter {
            let adapter = Adapter::load(artifact.path(), base.model.config())?;
            ctx.load_curve(&artifact, adapter.merged(&base.model))?
        } else {
            ctx.load_model(&artifact)?
        };
        Ok(Distilled { trained, cost: load_json(&artifact.file(COST))?, steps })
    }
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
    run: &'a Run,
    asked: &'a Asked,
    channel: &'a Channel,
    base: &'a Trained,
    /// What is trained instead of all weights.
    adapter: Option<AdapterTraining>,
    /// The exchanges that it may read.
    stream: Box<dyn ExchangeStream>,
    recipe: Recipe,
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
        let (compute, batch_rows) = (self.recipe.compute(), self.ctx.resolved.world.student.batch_rows);
        let plan = self.ctx.plan(steps, batch_rows, self.recipe.peak_lr);
        match (compute, compute.branch_step(steps)) {
            (distill::Compute::SinglePass { warmup_steps, .. }, Some(branch)) => {
                TrainPlan { warmup_steps: *warmup_steps, decay_from: branch, ..plan }
            }
            _ => plan,
        }
    }

    fn order(&self) -> VisitOrder {
        match self.recipe.compute() {
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
        if let Some(own) = self.ctx.own_vocabulary(self.run.arm) {
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
                let steps = student.steps(&self.recipe, budget, self.ctx.resolved.world.queries.row_tokens());
                self.recipe.compute().branch_step(steps)
            });
            let before = branches.filter(|&earlier| earlier < branch).max().unwrap_or(0);
            let what = format!("{} {} trunk {branch}", self.run.who(), self.channel.surface.name());
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
        let training = stages::Training { what, trained, plan, source: &source, scratch: &scratch, identity: &identity };
        training.run(self.ctx, start, plan.steps)
    }
}
