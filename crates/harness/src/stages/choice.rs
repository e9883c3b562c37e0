//! How the thief trains, where that is his choice: in whichever way predicts his own answers best.

use distill::{Cost, DistillError};
use results::{Arm, Record};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Key;

use crate::exit::UsageError;
use crate::experiment::Recipe;
use crate::resolve::Run;
use crate::stages::context::{Trained, load_json, save_json};
use crate::stages::metric::metric;
use crate::stages::student::{Apprentice, Training};
use crate::stages::{Asked, Context};

/// Raised when the same trials would lead to another choice.
pub(super) const REVISION: u32 = 1;
/// File of a choice artifact.
const FILE: &str = "choice.json";

/// What the thief tried at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Exchanges that he compared on.
    held_out: u64,
    /// All trials, in the order of the file.
    trials: Vec<Tried>,
    /// Which of them is the student.
    chosen: usize,
    /// Operations of the comparison: 2 N for each token.
    comparing_flop: f64,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tried {
    /// Mean loss on the held-out answers, nats per token of the student; `None` where its training diverged.
    loss: Option<f64>,
    /// Operations of its training.
    training_flop: f64,
}

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
        choice.chosen = best(&choice.trials).ok_or_else(|| UsageError(nothing.into()))?;
        save_json(&directory.join(FILE), &choice)
    })?;
    load_json(&artifact.file(FILE))
}

/// The first of the trials that lose least.
fn best(trials: &[Tried]) -> Option<usize> {
    let finite = trials.iter().enumerate().filter_map(|(index, trial)| Some((index, trial.loss?)));
    finite.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
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

impl Choice {
    /// Adds to the cost of the chosen student what the others and the comparison cost; queries are bought once.
    pub fn add_to(&self, cost: &mut Cost) {
        let others = self.trials.iter().enumerate().filter(|(index, _)| *index != self.chosen);
        let trial_flop = others.map(|(_, trial)| trial.training_flop).sum::<f64>() + self.comparing_flop;
        cost.trial_flop += trial_flop;
        cost.training_flop += trial_flop;
    }

    /// What was tried among `recipes` and how it went, as metrics of the student.
    pub fn metrics(&self, recipes: &[Recipe]) -> Vec<Record> {
        let name = |recipe: &Recipe| match recipe.compute() {
            distill::Compute::FixedPasses { passes } => format!("own_answers_loss_{passes}_passes_lr_{:e}", recipe.peak_lr),
            other => format!("own_answers_loss_{}_lr_{:e}", other.name(), recipe.peak_lr),
        };
        let tried = recipes.iter().zip(&self.trials);
        let losses = tried.filter_map(|(recipe, trial)| Some(metric(&name(recipe), trial.loss?, "nats/token")));
        losses.chain([metric("own_answers_held_out", self.held_out as f64, "exchanges")]).collect()
    }
}

/// How a suspect was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Taught {
    /// Its training.
    pub recipe: Recipe,
    /// What its thief tried first; `None` where nothing was to be chosen, or another chose.
    pub choice: Option<Choice>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(losses: &[f64]) -> Vec<Tried> {
        losses.iter().map(|&loss| Tried { loss: Some(loss).filter(|l| l.is_finite()), training_flop: 100.0 }).collect()
    }

    #[test]
    fn the_first_of_the_best_is_chosen_and_all_are_paid_for() {
        assert_eq!(best(&tried(&[2.0, 1.5, 1.5])), Some(1));
        assert_eq!(best(&tried(&[f64::NAN, f64::INFINITY])), None);
        let choice = Choice { held_out: 30, trials: tried(&[2.0, 1.5, 1.5]), chosen: 1, comparing_flop: 7.0 };
        let mut cost = Cost { queries: 300, training_flop: 100.0, ..Cost::default() };
        choice.add_to(&mut cost);
        assert_eq!((cost.queries, cost.training_flop, cost.trial_flop), (300, 307.0, 207.0));
    }
}
