//! How the thief trains, where that is his choice: in whichever way predicts his own answers best.

use distill::DistillError;
use results::Arm;
use serde_json::json;
use store::Key;

use crate::exit::UsageError;
use crate::experiment::Recipe;
use crate::resolve::Run;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::student::{Apprentice, Training};
use crate::stages::taught::{Choice, Taught, Tried};
use crate::stages::{Asked, Context};

/// Raised when the same trials would lead to another choice.
pub(super) const REVISION: u32 = 2;
/// File of a choice artifact.
const FILE: &str = "choice.json";

/// Which of `recipes` the student of `run` takes, where the thief chooses: all of them are trained on a part of what was bought, and the one
/// that loses least on the rest of the answers is chosen (the first of equal ones).
///
/// The answers are scored as text whatever the surface shows: they are drawn from the law that was served, so that their mean loss is, but
/// for chance, the cross-entropy to that law.
///
/// # Errors
/// As [`distil`](crate::stages::distil).
fn choose(ctx: &Context<'_>, run: &Run, asked: &Asked, base: &Trained, recipes: &[Recipe]) -> anyhow::Result<Choice> {
    let apprentice = Apprentice::new(ctx, run, asked, base)?;
    let trials = recipes.iter().map(|recipe| apprentice.by(recipe)).collect::<anyhow::Result<Vec<_>>>()?;
    let students = trials.iter().map(|trial| Ok(trial.key.hash("student")?)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut inputs = json!({ "students": students });
    if let Some(own) = ctx.own_vocabulary(run.arm) {
        inputs["student_vocabulary"] = json!(own.hash);
    }
    let artifact = ctx.artifact("choice", &Key::new(REVISION, &inputs)?, |directory| {
        let held = apprentice.held_out()?;
        if held.is_empty() {
            let problem = "student.compute.chosen.held_out: attacks leave too few answers to choose on; drop less, or raise queries.budgets";
            return Err(UsageError(problem.into()).into());
        }
        let mut choice = Choice { held_out: held.len() as u64, trials: Vec::new(), chosen: 0, comparing_flop: 0.0 };
        for trial in &trials {
            let student = match trial.distilled() {
                Ok(student) => student,
                Err(error) => {
                    choice.trials.push(trial.diverged(error)?);
                    continue;
                }
            };
            let model = &student.trained.model;
            let loss = distill::answers(model, &held, ctx.rt)?.nats_per_token();
            let read: usize = held.iter().map(|exchange| exchange.query.prompt.len() + exchange.answer.len()).sum();
            choice.comparing_flop += model.flops_per_token_forward() * read as f64;
            let loss = Some(loss).filter(|loss| loss.is_finite());
            choice.trials.push(Tried { loss, training_flop: student.cost.training_flop });
        }
        let nothing = "student.compute.chosen.trials: every one diverges on these answers; write lower rates";
        choice.chosen = Tried::best(&choice.trials).ok_or_else(|| UsageError(nothing.into()))?;
        save_json(&directory.join(FILE), &choice)
    })?;
    load_json(&artifact.file(FILE))
}

impl Training<'_> {
    /// A trial that diverged is one that nobody would choose; any other `error` is one.
    fn diverged(&self, error: anyhow::Error) -> anyhow::Result<Tried> {
        match error.downcast_ref() {
            Some(&DistillError::Diverged { step, .. }) => Ok(Tried { loss: None, training_flop: self.flop_of(step) }),
            _ => Err(error),
        }
    }
}

/// How the student of `run` is to be trained. Where the thief chooses, the marked student chooses for everybody.
///
/// # Errors
/// As [`choose`].
pub fn recipe_of(ctx: &Context<'_>, run: &Run, marked: &Asked, base: &Trained) -> anyhow::Result<Taught> {
    let (student, budget) = (&ctx.resolved.world.student, run.budget.unwrap_or(0));
    let recipes = student.recipes(budget);
    let chosen = match student.choosing() {
        None => None,
        Some(_) => Some(choose(ctx, &Run { arm: Arm::Student, lacks: None, ..run.clone() }, marked, base, &recipes)?),
    };
    let number = chosen.as_ref().map_or(0, |choice| choice.chosen);
    let recipe = recipes.into_iter().nth(number).ok_or_else(|| anyhow::anyhow!("there is no trial {number} to choose"))?;
    Ok(Taught { recipe, choice: chosen.filter(|_| run.arm == Arm::Student) })
}
