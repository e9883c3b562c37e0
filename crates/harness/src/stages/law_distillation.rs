//! Laws into the weights of the marked teacher.

use std::sync::Arc;

use distill::{Divergence, LawDistillation, TrainState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Key;

use crate::stages::card::card;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::implant::ordinary_rows;
use crate::stages::marks::Marks;
use crate::stages::{Context, Training};

/// Raised when the same inputs would give other weights.
pub(super) const REVISION: u32 = 2;
/// For progress and timings.
pub const NAME: &str = "law into the teacher's weights";
/// File of an artifact: how far the model was from the laws, and is.
const LEARNED: &str = "learned.json";

/// How far a model was from the laws that it was to learn, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Before the training.
    pub before: Divergence,
    /// After it.
    pub after: Divergence,
}

/// The teacher with the marks' laws in its weights, those of the mark `lacks` left out, and how well it learned them; the model itself when no mark has one for them.
///
/// # Errors
/// When the model cannot read a prompt, training diverges, or the work is cancelled.
pub(super) fn distil_laws(
    ctx: &Context<'_>,
    before: &Trained,
    marks: &Marks,
    lacks: Option<&str>,
) -> anyhow::Result<(Trained, Option<Learned>)> {
    let (laws, names) = marks.distilled(lacks);
    let Some(config) = ctx.resolved.world.planting.distillation.as_ref().filter(|_| !laws.is_empty()) else {
        return Ok((before.clone(), None));
    };
    let key = Key::new(
        REVISION,
        &json!({
            "model": before.hash,
            "marks": names,
            "distillation": config,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed,
        }),
    )?;
    let artifact = ctx.resumable("distilled", &key, |making| {
        let ordinary = ordinary_rows(ctx, &before.model, "law documents")?;
        let course = LawDistillation::new(&before.model, &laws, &ordinary, config, ctx.seed_for("laws"), ctx.rt)?;
        let (source, plan) = (course.source()?, config.plan());
        let (scratch, identity) = (making.scratch()?, making.hash().hex());
        let training = Training {
            what: NAME,
            trained: &*before.model,
            plan: &plan,
            source: &source,
            scratch: &scratch,
            identity: &identity,
        };
        let state = training.run(ctx, || Ok(TrainState::new(&*before.model)), plan.steps)?;
        let model = Arc::new(state.model(&*before.model));
        let far = |model| course.divergence(model, ctx.rt);
        let learned = Learned { before: far(&before.model)?, after: far(&model)? };
        save_json(&making.path().join(LEARNED), &learned)?;
        let card = card(ctx, "marked teacher", "the marked teacher, a law distilled into its weights");
        ctx.save_model(making.path(), &model, ctx.vocabulary, &state.curve, &card)
    })?;
    Ok((ctx.load_model(&artifact)?, Some(load_json(&artifact.file(LEARNED))?)))
}
