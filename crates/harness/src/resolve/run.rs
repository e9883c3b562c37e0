use results::Arm;
use serde::Serialize;
use store::Hash;

use super::{Resolved, World};
use crate::experiment::Channel;

/// One suspect of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The repetition.
    pub seed: u64,
    /// Who the suspect is.
    pub arm: Arm,
    /// The mark that its teacher lacked, having all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Surface and loss it was distilled through; `None` for arms that were not distilled.
    pub channel: Option<Channel>,
    /// Queries it was distilled from.
    pub budget: Option<u64>,
    /// Optimiser steps of its distillation; `None` before the thief has chosen how long he trains.
    pub steps: Option<u64>,
}

impl Run {
    /// Its arm, and the mark that its teacher lacked.
    pub fn who(&self) -> String {
        match &self.lacks {
            Some(mark) => format!("{} {mark}", self.arm.name()),
            None => self.arm.name().to_string(),
        }
    }
}

impl Resolved {
    /// Every suspect, seed by seed: teacher, stranger, base; then, curve by curve, a student and a control at every
    /// budget, with a student without each mark that was set apart, and a rival at the largest. Answers from outside may come without those of a control.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for &seed in &self.seeds {
            for arm in [Arm::Teacher, Arm::Stranger, Arm::Base] {
                runs.push(Run { seed, arm, lacks: None, channel: None, budget: None, steps: None });
            }
            for channel in &self.channels {
                for (index, &budget) in self.budgets.iter().enumerate() {
                    let largest = index + 1 == self.budgets.len();
                    let control = self.world.has_control().then_some(Arm::Control);
                    let distilled = |arm: Arm| self.distilled(seed, arm, channel, budget);
                    runs.extend([Some(Arm::Student), control].into_iter().flatten().map(distilled));
                    let without = |mark: &String| Run { lacks: Some(mark.clone()), ..distilled(Arm::Apart) };
                    runs.extend(self.marks_apart.iter().map(without));
                    runs.extend(largest.then(|| distilled(Arm::Rival)));
                }
            }
        }
        runs
    }

    /// The run of one distilled arm.
    pub fn distilled(&self, seed: u64, arm: Arm, channel: &Channel, budget: u64) -> Run {
        let world = &self.world;
        let steps = world.student.steps_of_recipes(budget, world.queries.row_tokens());
        let steps = steps.first().copied().filter(|_| world.student.choosing().is_none());
        Run { seed, arm, lacks: None, channel: Some(channel.clone()), budget: Some(budget), steps }
    }

    /// Identity of a run: the hash of everything that decides its results.
    ///
    /// # Errors
    /// When a parameter has no canonical JSON (a number that is not finite).
    pub fn run_id(&self, run: &Run) -> Result<Hash, store::StoreError> {
        #[derive(Serialize)]
        struct Identity<'a> {
            world: &'a World,
            run: &'a Run,
        }
        store::hash_json(&Identity { world: &self.world, run })
    }

    /// Identity of the whole experiment: its results go to `<name>/<first 8 digits>/`. Question and hypothesis are words
    /// and not part of it.
    ///
    /// # Errors
    /// When a parameter has no canonical JSON (a number that is not finite).
    pub fn hash(&self) -> Result<Hash, store::StoreError> {
        #[derive(Serialize)]
        struct Identity<'a> {
            name: &'a str,
            seeds: &'a [u64],
            alpha: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            primary: Option<&'a str>,
            world: &'a World,
            channels: &'a [Channel],
            budgets: &'a [u64],
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            marks_apart: &'a [String],
        }
        store::hash_json(&Identity {
            name: &self.name,
            seeds: &self.seeds,
            alpha: self.alpha,
            primary: self.primary.as_deref(),
            world: &self.world,
            channels: &self.channels,
            budgets: &self.budgets,
            marks_apart: &self.marks_apart,
        })
    }

    /// The largest budget: what is asked of every teacher.
    pub fn largest_budget(&self) -> u64 {
        self.budgets.last().copied().unwrap_or(0)
    }
}
