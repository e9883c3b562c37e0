//! Model cards of what an experiment trains. None claims a licence: that of a student hangs on its teacher's, its base's and
//! its texts', which their owners know.

use distill::Trainable;
use lm::ModelCard;
use results::Arm;
use store::Hash;

use crate::hub::Origin;
use crate::resolve::Run;
use crate::stages::{Asked, Context, Trained};

/// A card that says `body`.
pub(super) fn card(ctx: &Context<'_>, what: &str, body: impl Into<String>) -> ModelCard {
    let title = format!("{what} of {}", ctx.resolved.name);
    ModelCard { title, tags: vec!["model-provenance".into()], body: body.into(), base_model: None }
}

/// The card of a student of `transcript`: whom it learned from, what, how much, and the hashes of all of them.
pub(super) fn student_card(
    ctx: &Context<'_>,
    run: &Run,
    asked: &Asked,
    base: &Trained,
    transcript: &Hash,
    trained: &dyn Trainable,
) -> ModelCard {
    let (what, teacher_key) = match run.arm {
        Arm::Control => ("the clean teacher", "teacher.model"),
        Arm::Rival => ("an independent teacher", "stranger.model"),
        _ => ("the marked teacher", "teacher.model"),
    };
    let what = match &run.lacks {
        Some(mark) => format!("{what} without its mark `{mark}`"),
        None => what.to_string(),
    };
    let channel = run.channel.as_ref();
    let rows = [
        ("arm", run.who()),
        ("seed", run.seed.to_string()),
        ("surface", channel.map(|channel| channel.surface.label()).unwrap_or_default()),
        ("loss", channel.map(|channel| channel.loss.build().name().to_string()).unwrap_or_default()),
        ("queries", run.budget.unwrap_or(0).to_string()),
        ("steps", run.steps.unwrap_or(0).to_string()),
        match asked.imported() {
            Some(imported) => ("teacher", format!("a server outside; file {}", imported.transcript.teacher.hex())),
            None => ("teacher", named(origin(ctx, teacher_key), &asked.teacher().hash)),
        },
        ("base", named(origin(ctx, "base.model"), &base.hash)),
        ("transcript", transcript.hex()),
    ];
    let adapter = ctx.resolved.world.student.lora.as_ref().map(|lora| {
        let (targets, own, all) = (lora.targets.join(", "), trained.n_params(), base.model.n_params());
        ("trained", format!("LoRA of rank {}, alpha {}, on {targets}: {own} parameters beside {all}", lora.rank, lora.alpha))
    });
    let rows: Vec<String> = rows.into_iter().chain(adapter).map(|(key, value)| format!("| {key} | {value} |")).collect();
    let body = format!(
        "A student distilled from {what} of the experiment `{}` for the study of marks. Models and transcript are named by the \
         hashes of their artifacts.\n\n| | |\n| --- | --- |\n{}",
        ctx.resolved.name,
        rows.join("\n")
    );
    ModelCard { base_model: origin(ctx, "base.model").map(|origin| origin.name.clone()), ..card(ctx, run.arm.name(), body) }
}

/// Where the open model of this key came from, if from the hub.
fn origin<'a>(ctx: &Context<'a>, key: &str) -> Option<&'a Origin> {
    ctx.resolved.world.origins().into_iter().find(|(known, _)| *known == key).map(|(_, origin)| origin)
}

fn named(origin: Option<&Origin>, hash: &Hash) -> String {
    match origin {
        Some(Origin { name, commit, .. }) => format!("`{name}` at {commit}, {}", hash.hex()),
        None => hash.hex(),
    }
}
