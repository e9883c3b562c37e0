use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::{Kind, Record};

/// What a figure says about itself besides its data: with the number of seeds, the three factors of DESIGN 6.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caption {
    /// Headline; usually the experiment's question.
    pub title: String,
    /// Compute rule in words, with steps or tokens ("fixed steps, 0.4 M tokens each").
    pub compute: String,
    /// Audit budget in words ("400 prompts x 48 tokens").
    pub audit: String,
    /// What points and signs stand for ("points: p of one test"); left out where there are none.
    pub statistics: String,
}

impl Caption {
    /// The phrases of the subtitle; empty ones are left out.
    pub(crate) fn lines(&self, records: &[Record]) -> Vec<String> {
        let seeds: BTreeSet<u64> = records.iter().filter(|r| r.kind == Kind::Mark).map(|r| r.seed).collect();
        let seeds = match seeds.len() {
            0 => String::new(),
            1 => "1 seed".to_string(),
            n => format!("{n} seeds"),
        };
        let named = |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("{name}: {value}") };
        let all = [named("compute", &self.compute), named("audit", &self.audit), seeds, self.statistics.clone()];
        all.into_iter().filter(|line| !line.is_empty()).collect()
    }
}
