use std::collections::BTreeMap;

use serde::Serialize;

use crate::words::queries;
use crate::{Arm, Kind, Record, Setting, Verdict};

/// N* of one mark in one setting (DESIGN 6).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NStar {
    /// Name of the mark.
    pub mark: String,
    /// Whose key, where each account has one.
    pub account: Option<u32>,
    /// Surface, loss, compute, defence, attack and place on the grid.
    pub setting: Setting,
    /// For each seed, the smallest budget from which the mark is proven at every larger budget run; `None` if never.
    pub by_seed: Vec<(u64, Option<u64>)>,
    /// Largest budget run.
    pub largest: u64,
}

/// N* of every (mark, account, setting) that has a judged student, in that order. Innocent accounts have none.
///
/// Read off the verdicts at the budgets run; never interpolated, and never from an e-process: students at different
/// budgets are different models.
pub fn n_star(records: &[Record]) -> Vec<NStar> {
    type Curve<'a> = (&'a str, Option<u32>, Setting);
    let mut curves: BTreeMap<Curve<'_>, BTreeMap<u64, BTreeMap<u64, bool>>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Mark && r.arm == Arm::Student && !r.is_negative()) {
        let (Some(mark), Some(budget), Some(verdict)) = (record.mark.as_deref(), record.budget_queries, record.verdict) else {
            continue;
        };
        let seeds = curves.entry((mark, record.account, record.setting())).or_default();
        // a mark seen through two views is proven where either proves it
        *seeds.entry(record.seed).or_default().entry(budget).or_default() |= verdict == Verdict::Proven;
    }
    let star = |((mark, account, setting), seeds): (Curve<'_>, BTreeMap<u64, BTreeMap<u64, bool>>)| NStar {
        mark: mark.to_string(),
        account,
        setting,
        largest: seeds.values().flat_map(BTreeMap::keys).copied().max().unwrap_or_default(),
        by_seed: seeds
            .iter()
            .map(|(&seed, budgets)| {
                (seed, budgets.iter().rev().take_while(|(_, proven)| **proven).last().map(|(&budget, _)| budget))
            })
            .collect(),
    };
    curves.into_iter().map(star).collect()
}

impl NStar {
    /// Whether the record is one of the students it is read off.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        record.kind == Kind::Mark
            && record.arm == Arm::Student
            && !record.is_negative()
            && record.mark.as_ref() == Some(&self.mark)
            && record.account == self.account
            && record.has(&self.setting)
    }

    /// "3 k"; over seeds "1 k to 10 k"; "> 10 k" if never; "3 k to > 10 k" if in some seeds never.
    pub fn words(&self) -> String {
        let found: Vec<u64> = self.by_seed.iter().filter_map(|(_, n)| *n).collect();
        let never = found.len() < self.by_seed.len();
        let beyond = format!(">\u{a0}{}", queries(self.largest));
        match (found.iter().min(), found.iter().max()) {
            (Some(&low), _) if never => format!("{} to {beyond}", queries(low)),
            (Some(low), Some(high)) if low != high => format!("{} to {}", queries(*low), queries(*high)),
            (Some(&low), _) => queries(low),
            (None, _) => beyond,
        }
    }

    /// Median over seeds, `None` when at least half of them never reach it.
    pub fn median(&self) -> Option<u64> {
        let mut all: Vec<u64> = self.by_seed.iter().map(|(_, n)| n.unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().filter(|&n| n != u64::MAX)
    }
}
