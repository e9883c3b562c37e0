//! How a suspect was trained, and what its thief tried before he chose.

use distill::Cost;
use results::Record;
use serde::{Deserialize, Serialize};

use crate::experiment::Recipe;
use crate::stages::metric::metric;

/// How a suspect was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Taught {
    /// Its training.
    pub recipe: Recipe,
    /// What its thief tried first; `None` where nothing was to be chosen, or another chose.
    pub choice: Option<Choice>,
}

/// What the thief tried at one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Exchanges that he compared on.
    pub held_out: u64,
    /// All trials, in the order of the file.
    pub trials: Vec<Tried>,
    /// Which of them is the student.
    pub chosen: usize,
    /// Operations of the comparison: 2 N for each token.
    pub comparing_flop: f64,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Mean loss on the held-out answers, nats per token of the student; `None` where its training diverged.
    pub loss: Option<f64>,
    /// Operations of its training.
    pub training_flop: f64,
}

impl Tried {
    /// Number of the first of the trials that lose least.
    pub fn best(trials: &[Self]) -> Option<usize> {
        let finite = trials.iter().enumerate().filter_map(|(index, trial)| Some((index, trial.loss?)));
        finite.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(losses: &[f64]) -> Vec<Tried> {
        losses.iter().map(|&loss| Tried { loss: Some(loss).filter(|l| l.is_finite()), training_flop: 100.0 }).collect()
    }

    #[test]
    fn the_first_of_the_best_is_chosen_and_all_are_paid_for() {
        assert_eq!(Tried::best(&tried(&[2.0, 1.5, 1.5])), Some(1));
        assert_eq!(Tried::best(&tried(&[f64::NAN, f64::INFINITY])), None);
        let choice = Choice { held_out: 30, trials: tried(&[2.0, 1.5, 1.5]), chosen: 1, comparing_flop: 7.0 };
        let mut cost = Cost { queries: 300, training_flop: 100.0, ..Cost::default() };
        choice.add_to(&mut cost);
        assert_eq!((cost.queries, cost.training_flop, cost.trial_flop), (300, 307.0, 207.0));
    }
}
