use std::collections::BTreeMap;

use serde::Serialize;

use crate::words::queries;
use crate::worth::Worth;
use crate::{Arm, Kind, Record, Setting, Verdict};

/// Fewer seeds than this are no ground for a number about budgets: what was seen is told, and no N* is claimed.
pub const MIN_SEEDS_FOR_N_STAR: usize = 3;

/// N* of one mark in one setting (DESIGN 6), or what was seen where none can be claimed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NStar {
    /// Name of the mark.
    pub mark: String,
    /// Whose key, where each account has one.
    pub account: Option<u32>,
    /// Surface, loss, compute, defence, attack and place on the grid.
    pub setting: Setting,
    /// What was seen: for each seed, the smallest budget from which the mark is proven at every larger budget run; `None` if never.
    pub by_seed: Vec<(u64, Option<u64>)>,
    /// The same among budgets at which the student is worth at least its base, or its worth is not known. N* is read off these.
    pub of_thefts: Vec<(u64, Option<u64>)>,
    /// Seeds whose student of the largest budget is worth less than its base on held-out text.
    pub no_theft: Vec<u64>,
    /// Largest budget run.
    pub largest: u64,
}

/// What may be said of N*.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum StarClaim {
    /// At least three seeds, each with a student worth at least its base.
    NStar,
    /// Too few seeds.
    FewSeeds,
    /// A student of the largest budget is worth less than its base: there was nothing to prove.
    NoTheft,
}

impl StarClaim {
    /// For a column of words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::NStar => "claimed".to_string(),
            Self::FewSeeds => format!("fewer than {MIN_SEEDS_FOR_N_STAR} seeds"),
            Self::NoTheft => "no theft".to_string(),
        }
    }
}

/// A budget that was reached, or that was not enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reached {
    /// In queries; the largest run if it was not enough.
    pub(crate) queries: u64,
    /// Whether it was not enough.
    pub(crate) censored: bool,
}

impl Reached {
    /// Of `n`, which is `u64::MAX` for never.
    fn of(n: u64, largest: u64) -> Self {
        Self { queries: n.min(largest), censored: n == u64::MAX }
    }
}

/// [`NStar`] as numbers, which are there where an N* is claimed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StarNumbers {
    pub(crate) claim: StarClaim,
    /// The median over seeds, which is not reached if half of the seeds never prove the mark.
    pub(crate) median: Option<Reached>,
    pub(crate) low: Option<Reached>,
    pub(crate) high: Option<Reached>,
    /// Seeds, and how many of them prove the mark from some budget on.
    pub(crate) seeds: (usize, usize),
}

/// N* of every (mark, account, setting) that has a judged student, in that order. Innocent accounts have none.
///
/// Read off the verdicts at the budgets run; never interpolated, and never from an e-process: students at different
/// budgets are different models.
pub fn n_star(records: &[Record]) -> Vec<NStar> {
    smallest_budgets(records, &Worth::of(records))
}

/// The same with what the students are worth read beforehand.
pub(crate) fn smallest_budgets(records: &[Record], worth: &Worth<'_>) -> Vec<NStar> {
    type Curve<'a> = (&'a str, Option<u32>, Setting);
    // proven, worth less than its base
    type Seen = BTreeMap<u64, (bool, bool)>;
    let mut curves: BTreeMap<Curve<'_>, BTreeMap<u64, Seen>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.kind == Kind::Mark && r.arm == Arm::Student && !r.is_negative()) {
        let (Some(mark), Some(budget), Some(verdict)) = (record.mark.as_deref(), record.budget_queries, record.verdict) else {
            continue;
        };
        let seeds = curves.entry((mark, record.account, record.setting())).or_default();
        let seen = seeds.entry(record.seed).or_default().entry(budget).or_default();
        // a mark seen through two views is proven where either proves it
        seen.0 |= verdict == Verdict::Proven;
        seen.1 |= worth.beside_base(record).is_some_and(|loss| loss.worthless());
    }
    let from = |seen: &Seen, counts: fn(&(bool, bool)) -> bool| {
        seen.iter().rev().take_while(|(_, seen)| counts(seen)).last().map(|(&budget, _)| budget)
    };
    let star = |((mark, account, setting), seeds): (Curve<'_>, BTreeMap<u64, Seen>)| NStar {
        mark: mark.to_string(),
        account,
        setting,
        largest: seeds.values().flat_map(BTreeMap::keys).copied().max().unwrap_or_default(),
        by_seed: seeds.iter().map(|(&seed, seen)| (seed, from(seen, |seen| seen.0))).collect(),
        of_thefts: seeds.iter().map(|(&seed, seen)| (seed, from(seen, |seen| seen.0 && !seen.1))).collect(),
        no_theft: seeds
            .iter()
            .filter(|(_, seen)| seen.values().next_back().is_some_and(|seen| seen.1))
            .map(|(&seed, _)| seed)
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

    /// Whether the other is of the same mark, account and setting.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (&self.mark, self.account, &self.setting) == (&other.mark, other.account, &other.setting)
    }

    /// What may be said of it.
    pub fn claim(&self) -> StarClaim {
        if !self.no_theft.is_empty() {
            StarClaim::NoTheft
        } else if self.by_seed.len() < MIN_SEEDS_FOR_N_STAR {
            StarClaim::FewSeeds
        } else {
            StarClaim::NStar
        }
    }

    /// "1 k to 10 k" over at least three seeds; "> 10 k" if never; "3 k to > 10 k" if in some seeds never. Else what was seen, and that
    /// it is no N*.
    pub fn words(&self) -> String {
        let seeds = self.by_seed.len();
        let all = if seeds == 1 { "1 seed".to_string() } else { format!("{seeds} seeds") };
        match self.claim() {
            StarClaim::NStar => self.range(&self.of_thefts),
            StarClaim::FewSeeds => format!("no N* ({all}): {}", self.seen()),
            StarClaim::NoTheft if self.no_theft.len() == seeds => format!("no theft: {}", self.seen()),
            StarClaim::NoTheft => format!("no theft in {} of {all}: {}", self.no_theft.len(), self.seen()),
        }
    }

    /// Whether the mark is proven in any seed from some budget on.
    pub(crate) fn is_seen(&self) -> bool {
        self.by_seed.iter().any(|(_, n)| n.is_some())
    }

    /// What was seen, whether or not it makes an N*: "proven from 300", "not proven up to 10 k".
    pub(crate) fn seen(&self) -> String {
        if !self.is_seen() {
            return format!("not proven up to {}", queries(self.largest));
        }
        format!("proven from {}", self.range(&self.by_seed))
    }

    /// For the heading of a panel: "N* 300 to 1 k", or what was seen.
    pub(crate) fn in_figure(&self) -> String {
        match self.claim() {
            StarClaim::NStar => format!("N* {}", self.range(&self.of_thefts)),
            StarClaim::FewSeeds => self.seen(),
            StarClaim::NoTheft if self.is_seen() => format!("no theft, {}", self.seen()),
            StarClaim::NoTheft => self.seen(),
        }
    }

    /// The same with what the older test says of the same answers: "N* 300 (by the count 10 k)".
    pub(crate) fn in_figure_beside(&self, count: Option<&NStar>) -> String {
        count.map_or(self.in_figure(), |count| format!("{} (by the count {})", self.in_figure(), count.bare()))
    }

    /// N* alone, or what was seen: "300 to 1 k", "from 300", "never".
    pub(crate) fn bare(&self) -> String {
        match self.claim() {
            StarClaim::NStar => self.range(&self.of_thefts),
            _ if self.is_seen() => format!("from {}", self.range(&self.by_seed)),
            _ => "never".to_string(),
        }
    }

    fn range(&self, by_seed: &[(u64, Option<u64>)]) -> String {
        let found: Vec<u64> = by_seed.iter().filter_map(|(_, n)| *n).collect();
        let never = found.len() < by_seed.len();
        let beyond = format!(">\u{a0}{}", queries(self.largest));
        match (found.iter().min(), found.iter().max()) {
            (Some(&low), _) if never => format!("{} to {beyond}", queries(low)),
            (Some(low), Some(high)) if low != high => format!("{} to {}", queries(*low), queries(*high)),
            (Some(&low), _) => queries(low),
            (None, _) => beyond,
        }
    }

    /// As numbers, for files.
    pub(crate) fn numbers(&self) -> StarNumbers {
        let claim = self.claim();
        let seen = if claim == StarClaim::NStar { &self.of_thefts } else { &self.by_seed };
        let seeds = (seen.len(), seen.iter().filter(|(_, n)| n.is_some()).count());
        let mut all: Vec<u64> = seen.iter().map(|(_, n)| n.unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        let at = |i: usize| all.get(i).filter(|_| claim == StarClaim::NStar).map(|&n| Reached::of(n, self.largest));
        let [median, low, high] = [all.len() / 2, 0, all.len().saturating_sub(1)].map(at);
        StarNumbers { claim, median, low, high, seeds }
    }

    /// What was seen of one seed.
    pub(crate) fn of_seed(&self, seed: u64) -> Option<Reached> {
        let (_, found) = self.by_seed.iter().find(|(own, _)| *own == seed)?;
        Some(Reached::of(found.unwrap_or(u64::MAX), self.largest))
    }

    /// Median over seeds, `None` where no N* is claimed or at least half of the seeds never reach it.
    pub fn median(&self) -> Option<u64> {
        if self.claim() != StarClaim::NStar {
            return None;
        }
        let mut all: Vec<u64> = self.of_thefts.iter().map(|(_, n)| n.unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().filter(|&n| n != u64::MAX)
    }
}
