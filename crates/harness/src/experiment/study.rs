use distill::{Choosing, Compute, LoraConfig, LossConfig, Trial};
use oracle::{Sampling, Surface};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TokenizerConfig;

/// What the thief asks the served teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueriesConfig {
    /// Tokens of corpus text that each query opens with.
    pub prompt_tokens: usize,
    /// Put every question as a user's message in the chat template of the teacher's tokenizer: what an instruct model expects. The
    /// opening of a text is the message (the template's own tokens are not counted in `prompt_tokens`), and the answer begins
    /// where the template lets the model speak. The owner's audit and the checkable tasks are put the same way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chat: bool,
    /// The day (`2026-01-31`, UTC) that chat templates show which tell the date (`strftime_now`): questions depend on no clock. A template
    /// that can do without shows the date it falls back on where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<String>,
    /// Accounts that the thief asks through, in turn.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accounts: u32,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// How the teacher draws its answers.
    pub sampling: Sampling,
    /// Numbers of queries, increasing; a smaller budget is an exact prefix of a larger one.
    pub budgets: Vec<u64>,
    /// Queries in a shard of the transcript, usually 32768: what is kept when a run is killed, and what students are shuffled
    /// within (a pass reads the shards in an order of its own, and the exchanges of each likewise).
    pub shard_queries: u64,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(accounts: &u32) -> bool {
    *accounts == 1
}

/// One survival curve: what the thief sees, and how he learns from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What the API shows.
    pub surface: Surface,
    /// The distillation loss; it may use no more than the surface shows.
    pub loss: LossConfig,
}

/// How a student is trained on what was bought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// How long it is trained.
    pub compute: Compute,
    /// A tokenizer of the student's own, where it is not the teacher's; a `base.model` brings its own and needs none here. The
    /// student then learns the answers as text, so only losses on text are open to it. Steps are planned in the teacher's tokens
    /// (`compute`); what the student really read is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerConfig>,
    /// Exchanges in a batch.
    pub batch_rows: usize,
    /// Highest learning rate; left out where `compute` chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_lr: Option<f64>,
    /// Train an adapter instead of all weights; control and rival are trained likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

/// How one student is trained: nothing is left to choose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// How long; never a choice.
    compute: Compute,
    /// Highest learning rate.
    pub peak_lr: f64,
}

impl Recipe {
    /// How long it takes.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }
}

impl StudentConfig {
    /// What a thief chooses among, where he does.
    pub fn choosing(&self) -> Option<&Choosing> {
        match &self.compute {
            Compute::Chosen(choosing) => Some(choosing),
            _ => None,
        }
    }

    /// Every way in which a student of `budget` exchanges is trained: one, unless the thief chooses.
    pub fn recipes(&self, budget: u64) -> Vec<Recipe> {
        match self.choosing() {
            None => vec![Recipe { compute: self.compute.clone(), peak_lr: self.peak_lr.unwrap_or_default() }],
            Some(choosing) => {
                let recipe = |trial: &Trial| {
                    let compute = Compute::FixedPasses { passes: trial.passes };
                    Recipe { compute, peak_lr: trial.peak_lr }
                };
                choosing.trials_at(budget).iter().map(recipe).collect()
            }
        }
    }

    /// Exchanges of `bought` that a student reads: all, unless some are held out for a choice.
    pub fn read_of(&self, bought: u64) -> u64 {
        bought - self.choosing().map_or(0, |choosing| choosing.held_out_of(bought))
    }

    /// Optimiser steps of `recipe` on `bought` exchanges of at most `row_tokens` tokens.
    pub fn steps(&self, recipe: &Recipe, bought: u64, row_tokens: usize) -> u64 {
        recipe.compute.steps(self.read_of(bought), self.batch_rows, row_tokens).unwrap_or(1)
    }

    /// Optimiser steps of every recipe on `budget` exchanges.
    pub fn steps_of_recipes(&self, budget: u64, row_tokens: usize) -> Vec<u64> {
        self.recipes(budget).iter().map(|recipe| self.steps(recipe, budget, row_tokens)).collect()
    }
}

/// What the owner asks a suspect: the same prompts for every arm, none of them in a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Number of prompts.
    pub prompts: u64,
    /// No prompt opens as one of so many queries of the stream does; the largest budget, where this is left out. An experiment that
    /// will get larger budgets later names the largest of them here: its audit then stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart_from_queries: Option<u64>,
    /// Tokens of corpus text that each prompt holds.
    pub prompt_tokens: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// How the suspect draws its answers.
    pub sampling: Sampling,
}

/// How much is measured, and how exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureConfig {
    /// Held-out documents that losses are measured on.
    pub held_out_documents: u64,
    /// Decoy keys of each keyed mark, 1 / alpha - 1 to 99,999; a decoy p-value is never below 1 / (decoys + 1). Tests whose p is exact by
    /// construction try 99 of them at most, since no verdict asks for a rank among them.
    pub decoys: usize,
    /// Draws of permutation tests; their p-values are never below 1 / (permutations + 1).
    pub permutations: u64,
    /// The corpus' checkable tasks; leave out where the corpus has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TasksConfig>,
}

/// Checkable tasks of the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksConfig {
    /// Tasks of each kind.
    pub per_kind: u64,
    /// Longest answer.
    pub max_new_tokens: usize,
}
