//! What one mark alone costs the thief: the student beside the one whose teacher lacked this mark and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::setting::Names;
use crate::words::{compact, median, queries};
use crate::{Arm, Kind, Record, Setting, SuspectKey};

/// Name of the metric: held-out loss of a student less that of the one whose teacher lacked the mark, paired by document. It stands in the
/// records of the latter.
pub const LOSS_ADDED: &str = "held_out_loss_added";
/// Share of checkable tasks that are solved.
const TASKS: &str = "exact_match";

/// What one mark alone costs the students of one setting at the largest budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkCost {
    /// Name of the mark.
    pub mark: String,
    /// Surface, loss, compute, defence, attack and place on the grid.
    pub setting: Setting,
    /// The setting in words, as far as others stand beside it.
    pub label: String,
    /// Largest budget run.
    pub budget: u64,
    /// Held-out loss that the mark adds: by seed, with its 95 % interval over documents.
    pub loss_added: Vec<(f64, Option<(f64, f64)>)>,
    /// Unit of the loss.
    pub unit: String,
    /// Share of tasks solved with the mark and without it, medians over seeds; absent where there are no tasks.
    pub tasks: Option<(f64, f64)>,
}

/// One for each (mark that was set apart, setting), in this order.
pub fn mark_costs(records: &[Record]) -> Vec<MarkCost> {
    let added = |r: &&Record| r.kind == Kind::Metric && r.arm == Arm::Apart && r.metric.as_deref() == Some(LOSS_ADDED);
    let mut groups: BTreeMap<(&str, Setting), Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(added) {
        if let Some(mark) = record.lacks.as_deref() {
            groups.entry((mark, record.setting())).or_default().push(record);
        }
    }
    let is_tasks = |r: &&Record| r.metric.as_deref() == Some(TASKS) && matches!(r.arm, Arm::Student | Arm::Apart);
    let solved: BTreeMap<SuspectKey, f64> =
        records.iter().filter(is_tasks).filter_map(|r| Some((r.suspect(), r.value?))).collect();
    let settings: Vec<Setting> = groups.keys().map(|(_, setting)| setting.clone()).collect();
    let names = Names::of(&settings);
    let cost = |((mark, setting), records): ((&str, Setting), Vec<&Record>)| {
        let budget = records.iter().filter_map(|r| r.budget_queries).max()?;
        let largest: Vec<&Record> = records.into_iter().filter(|r| r.budget_queries == Some(budget)).collect();
        let tasks = |of: &dyn Fn(&Record) -> SuspectKey| {
            median(&largest.iter().filter_map(|r| solved.get(&of(r)).copied()).collect::<Vec<_>>())
        };
        let with = tasks(&|r| SuspectKey { arm: Arm::Student, lacks: None, ..r.suspect() });
        Some(MarkCost {
            mark: mark.to_string(),
            label: names.curve(&setting),
            setting,
            budget,
            loss_added: largest.iter().filter_map(|r| Some((r.value?, r.low.zip(r.high)))).collect(),
            unit: largest.iter().find_map(|r| r.unit.clone()).unwrap_or_default(),
            tasks: with.zip(tasks(&Record::suspect)),
        })
    };
    groups.into_iter().filter_map(cost).collect()
}

impl MarkCost {
    /// In words, with the interval over documents of a single seed, or the range over several.
    pub fn sentence(&self) -> String {
        let values: Vec<f64> = self.loss_added.iter().map(|(value, _)| *value).collect();
        let (ends, over) = match self.loss_added[..] {
            [(_, interval)] => (interval, "95 % interval over documents".to_string()),
            _ => {
                let end = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
                (end(f64::min).zip(end(f64::max)), format!("median and range over {} seeds", values.len()))
            }
        };
        let loss = compact(median(&values).unwrap_or_default(), ends);
        let over = if ends.is_some() { format!("; {over}") } else { String::new() };
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let tasks = self.tasks.map_or(String::new(), |(with, without)| {
            format!("; tasks solved: {} with it, {} without", percent(with), percent(without))
        });
        format!(
            "the mark {} alone costs the thief {loss} {} of held-out loss at {} queries, {}{over}{tasks}",
            self.mark,
            self.unit,
            queries(self.budget),
            self.label
        )
    }
}
