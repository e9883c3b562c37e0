//! Upper bounds of counts, by the name of the key, wherever in the file it stands.
//!
//! A count without one takes memory or time that no machine has, and ends in an abort or in a run that never does.

use super::Check;
use crate::document::{Node, Step, Tree};
use crate::experiment::{AuditConfig, Experiment};

/// What is held in memory whole: texts, prompts and their answers.
const HELD: u64 = 1 << 20;
/// Rows that are computed together.
const ROWS: u64 = 1 << 16;
/// Tokens of one row: more than any context of today.
const TOKENS_OF_A_ROW: u64 = 1 << 20;
/// What is streamed: it takes time and disk, which `check` estimates, and must fit the sums that it does.
const STREAMED: u64 = 1_000_000_000_000;
/// Tokens of training: likewise.
const TRAINED: u64 = 1_000_000_000_000_000;
/// Steps of a training, and draws.
const STEPS: u64 = 1_000_000_000;
/// Tokens of all prompts and answers of an audit: 4 GiB of ids.
const AUDITED_TOKENS: u64 = 1 << 30;

/// The most that a key of this name may say.
const MOST: [(&str, u64); 40] = [
    ("prompts", HELD),
    ("texts", HELD),
    ("groups", HELD),
    ("held_out_documents", HELD),
    ("per_kind", HELD),
    ("documents", 16 * HELD),
    ("vocab_size", HELD),
    ("references", HELD),
    ("repeats", HELD),
    ("candidates", HELD),
    ("canaries", ROWS),
    ("canaries_per_level", ROWS),
    ("templates", ROWS),
    ("accounts", ROWS),
    ("answers_per_prompt", ROWS),
    ("batch_rows", ROWS),
    ("item_rows", ROWS),
    ("ordinary_rows", ROWS),
    ("law_rows", ROWS),
    ("plain_rows", ROWS),
    ("logical_shards", ROWS),
    ("row_tokens", TOKENS_OF_A_ROW),
    ("prompt_tokens", TOKENS_OF_A_ROW),
    ("max_new_tokens", TOKENS_OF_A_ROW),
    ("answer_tokens", TOKENS_OF_A_ROW),
    ("least_tokens", TOKENS_OF_A_ROW),
    ("answer_set", TOKENS_OF_A_ROW),
    ("budgets", STREAMED),
    ("apart_from_queries", STREAMED),
    ("most_exchanges", STREAMED),
    ("every", STREAMED),
    ("tokens", TRAINED),
    ("canaries_after_tokens", TRAINED),
    ("steps", STEPS),
    ("max_steps", STEPS),
    ("check_every", STEPS),
    ("warmup_steps", STEPS),
    ("passes", STEPS),
    ("permutations", STEPS),
    // a year
    ("timeout_seconds", 31_536_000),
];

impl Check<'_> {
    /// Counts beyond what is possible, each with the number that is.
    pub(super) fn counts(&mut self, experiment: &Experiment) {
        let mut over = Vec::new();
        if let Some(root) = self.loaded.node(&[]) {
            walk(root, &mut Vec::new(), &mut over);
        }
        for (path, most) in over {
            self.problems.push(self.loaded.problem(&path, "too many", format!("write {most} or less")));
        }
        let AuditConfig { prompts, prompt_tokens, max_new_tokens, .. } = experiment.audit;
        let row = (prompt_tokens as u64).saturating_add(max_new_tokens as u64).max(1);
        let most = AUDITED_TOKENS / row;
        if prompts <= HELD && row <= 2 * TOKENS_OF_A_ROW && prompts > most {
            let what = format!("too many of {prompt_tokens} tokens with answers of {max_new_tokens}, all held in memory");
            self.problem("audit.prompts", what, format!("write {most} or less"));
        }
    }
}

/// Where the file says more than [`MOST`], and what the most is.
fn walk(node: &Node, path: &mut Vec<Step>, over: &mut Vec<(Vec<Step>, u64)>) {
    match &node.tree {
        Tree::Table(entries) => {
            for entry in entries {
                path.push(Step::Key(entry.key.clone()));
                walk(&entry.node, path, over);
                path.pop();
            }
        }
        Tree::Array(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                path.push(Step::Index(index));
                walk(node, path, over);
                path.pop();
            }
        }
        Tree::Leaf(toml::Value::Integer(value)) => {
            let name = path.iter().rev().find_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
            let most = MOST.iter().find(|(known, _)| Some(*known) == name).map(|(_, most)| *most);
            if let Some(most) = most.filter(|most| u64::try_from(*value).is_ok_and(|value| value > *most)) {
                over.push((path.clone(), most));
            }
        }
        Tree::Leaf(_) => {}
    }
}
