//! How long a student is trained on what was bought.

use oracle::ConfigError;
use serde::{Deserialize, Serialize};

/// How long a student trains on its budget of exchanges, and whether budgets share a student.
///
/// All but the last are the protocol `per_budget`: a fresh student for every budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Compute {
    /// Each exchange once: larger budgets train longer.
    OnePass,
    /// The same number of steps at every budget.
    FixedSteps {
        /// Tokens fed over the whole training, prompts and answers together, each exchange counted at its full length
        /// (prompt and `max_new_tokens`); answers that ended early make the true number, which is recorded, smaller.
        tokens: u64,
    },
    /// Each exchange this many times.
    FixedPasses {
        /// Number of passes.
        passes: u64,
    },
    /// One student along the stream in the order of asking, of which every budget is a snapshot: after as many whole batches as
    /// the budget holds. The learning rate stays at its peak after warm-up, as no budget may know of larger ones.
    SinglePass {
        /// Steps in which the learning rate grows to its peak.
        warmup_steps: u64,
        /// Part of a budget's steps, its last ones, in which a branch of the student cools down (`optimizer.decay` and
        /// `final_lr_fraction`) before its snapshot is taken; the trunk goes on at its peak rate. 0 takes the trunk itself.
        /// (Hu et al. 2024, arXiv 2404.06395, section 4; Haegele et al. 2024, arXiv 2405.18392: 0.1 to 0.2 is enough.)
        cooldown_fraction: f64,
    },
    /// A fresh student for every budget, trained in each of a few ways on a part of the budget's exchanges; the one that predicts the
    /// rest of the answers best is the student.
    Chosen(Choosing),
}

/// Among which trainings a thief chooses, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choosing {
    /// Part of a budget's exchanges, its last ones, that no trial reads: the thief's own answers, on which he compares.
    pub held_out: f64,
    /// The trainings that he tries.
    pub trials: Vec<Trial>,
    /// Trials that would read more exchanges than this, repeats counted, are not made; the shortest always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_exchanges: Option<u64>,
}

/// One way to train a student.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Times that every exchange is read.
    pub passes: u64,
    /// Highest learning rate.
    pub peak_lr: f64,
}

impl Choosing {
    /// Most exchanges that are held out: they tell two trials apart that differ by a hundredth of a nat per token.
    pub const MOST_HELD_OUT: u64 = 2000;
    /// Fewest exchanges that a choice is made on.
    pub const LEAST_HELD_OUT: u64 = 10;

    /// Exchanges of `bought` that no trial reads: at least 1, and one is left to be read.
    pub fn held_out_of(&self, bought: u64) -> u64 {
        let held = (self.held_out * bought as f64).round() as u64;
        held.clamp(1, Self::MOST_HELD_OUT).min(bought.saturating_sub(1))
    }

    /// The trials that are made on `budget` exchanges, in the order of the file.
    pub fn trials_at(&self, budget: u64) -> Vec<Trial> {
        let reads = |trial: &Trial| trial.passes.saturating_mul(budget - self.held_out_of(budget));
        let least = self.trials.iter().map(reads).min().unwrap_or(0);
        let most = self.most_exchanges.unwrap_or(u64::MAX).max(least);
        self.trials.iter().filter(|trial| reads(trial) <= most).copied().collect()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.held_out > 0.0 && self.held_out <= 0.5) {
            let remedy = "choose a part above 0 and at most 0.5, usually 0.1";
            return Err(ConfigError::new("compute.chosen.held_out", self.held_out, remedy));
        }
        if self.trials.is_empty() {
            return Err(ConfigError::new(
                "compute.chosen.trials",
                "[]",
                "write at least one, such as { passes = 1, peak_lr = 2e-3 }",
            ));
        }
        for (index, trial) in self.trials.iter().enumerate() {
            let key = |key: &str| format!("compute.chosen.trials[{index}].{key}");
            if trial.passes == 0 {
                return Err(ConfigError::new(key("passes"), 0, "choose at least 1"));
            }
            if !(trial.peak_lr > 0.0 && trial.peak_lr <= 1.0) {
                let remedy = "write a number above 0 and at most 1, usually 1e-4 to 1e-2";
                return Err(ConfigError::new(key("peak_lr"), trial.peak_lr, remedy));
            }
            if self.trials[..index].contains(trial) {
                return Err(ConfigError::new(key("passes"), trial.passes, "drop this trial; an earlier one is the same"));
            }
        }
        Ok(())
    }
}

impl Compute {
    /// Name, as experiment files and records write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OnePass => "one_pass",
            Self::FixedSteps { .. } => "fixed_steps",
            Self::FixedPasses { .. } => "fixed_passes",
            Self::SinglePass { .. } => "single_pass",
            Self::Chosen(_) => "chosen",
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// The key, its value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::FixedSteps { tokens: 0 } => Err(ConfigError::new("compute.fixed_steps.tokens", 0, "choose at least 1")),
            Self::FixedPasses { passes: 0 } => Err(ConfigError::new("compute.fixed_passes.passes", 0, "choose at least 1")),
            Self::SinglePass { cooldown_fraction: c, .. } if !(0.0..1.0).contains(c) => Err(ConfigError::new(
                "compute.single_pass.cooldown_fraction",
                c,
                "choose a number from 0 up to, not including, 1",
            )),
            Self::Chosen(choosing) => choosing.validate(),
            _ => Ok(()),
        }
    }

    /// For a single pass: the step at which the snapshot after `steps` steps leaves the trunk.
    pub fn branch_step(&self, steps: u64) -> Option<u64> {
        match self {
            Self::SinglePass { cooldown_fraction, .. } => Some(steps - (cooldown_fraction * steps as f64).round() as u64),
            _ => None,
        }
    }

    /// Number of steps for `budget` exchanges of at most `tokens_per_row` tokens in batches of `batch_rows`; at least 1. Passes
    /// are rounded up to whole steps, the last of which begins another pass; a single pass is rounded down, as it may not read on.
    /// `None` before a choice.
    pub fn steps(&self, budget: u64, batch_rows: usize, tokens_per_row: usize) -> Option<u64> {
        let batch_rows = batch_rows.max(1) as u64;
        let steps = match self {
            Self::OnePass => budget.div_ceil(batch_rows),
            Self::FixedPasses { passes } => (budget * passes).div_ceil(batch_rows),
            Self::SinglePass { .. } => budget / batch_rows,
            Self::FixedSteps { tokens } => tokens / (batch_rows * tokens_per_row.max(1) as u64),
            Self::Chosen(_) => return None,
        };
        Some(steps.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_compute_mode() {
        // 300 exchanges of 24 tokens in batches of 16
        assert_eq!(Compute::OnePass.steps(300, 16, 24), Some(19));
        assert_eq!(Compute::FixedPasses { passes: 3 }.steps(300, 16, 24), Some(57));
        let fixed = Compute::FixedSteps { tokens: 400_000 };
        assert_eq!(fixed.steps(300, 16, 24), Some(1041));
        assert_eq!(fixed.steps(300, 16, 24), fixed.steps(10_000, 16, 24));
        assert_eq!(Compute::FixedSteps { tokens: 3 }.steps(300, 16, 24), Some(1));
        assert_eq!(serde_json::to_string(&fixed).unwrap(), r#"{"fixed_steps":{"tokens":400000}}"#);
        assert_eq!(serde_json::from_str::<Compute>(r#""one_pass""#).unwrap(), Compute::OnePass);
        assert!(serde_json::from_str::<Compute>(r#"{"fixed_steps": {"tokens": 1, "steps": 2}}"#).is_err());
        assert!(Compute::FixedSteps { tokens: 0 }.validate().is_err() && Compute::OnePass.validate().is_ok());
        let single = |cooldown_fraction| Compute::SinglePass { warmup_steps: 5, cooldown_fraction };
        assert_eq!((single(0.2).steps(300, 16, 24), single(0.2).branch_step(18)), (Some(18), Some(14)));
        assert_eq!((single(0.0).branch_step(18), Compute::OnePass.branch_step(18)), (Some(18), None));
        assert!(single(0.0).validate().is_ok() && single(1.0).validate().is_err() && single(f64::NAN).validate().is_err());
    }

    #[test]
    fn a_thief_chooses_from_a_short_list_on_answers_that_no_trial_reads() {
        let trial = |passes, peak_lr| Trial { passes, peak_lr };
        let trials = vec![trial(4, 1e-3), trial(1, 2e-3), trial(1, 1e-3)];
        let choosing = |held_out, most_exchanges| Choosing { held_out, trials: trials.clone(), most_exchanges };
        let tenth = choosing(0.1, Some(3600));
        assert_eq!([0, 1, 2, 300, 1000, 100_000].map(|bought| tenth.held_out_of(bought)), [0, 0, 1, 30, 100, 2000]);
        // 900 exchanges are read of 1,000: four passes are 3,600; of 2,000 they would be 7,200
        assert_eq!(tenth.trials_at(1000), trials);
        assert_eq!(tenth.trials_at(2000), trials[1..]);
        // the shortest are always made
        assert_eq!(tenth.trials_at(1_000_000), trials[1..]);
        assert_eq!(choosing(0.1, None).trials_at(1_000_000), trials);
        assert_eq!(Compute::Chosen(tenth.clone()).steps(300, 16, 24), None);
        assert!(Compute::Chosen(tenth.clone()).validate().is_ok());
        let refused = |choosing| Compute::Chosen(choosing).validate().unwrap_err().key;
        for held_out in [0.0, 0.6, f64::NAN] {
            assert_eq!(refused(choosing(held_out, None)), "compute.chosen.held_out");
        }
        let with = |trials| Choosing { trials, ..tenth.clone() };
        assert_eq!(refused(with(vec![])), "compute.chosen.trials");
        assert_eq!(refused(with(vec![trial(1, 1e-3), trial(0, 1e-3)])), "compute.chosen.trials[1].passes");
        assert_eq!(refused(with(vec![trial(1, 1.5)])), "compute.chosen.trials[0].peak_lr");
        assert_eq!(refused(with(vec![trial(1, 1e-3), trial(1, 1e-3)])), "compute.chosen.trials[1].passes");
    }
}
