use std::collections::{BTreeMap, HashMap};

use crate::words::{queries, who};
use crate::{Arm, Kind, Record, SuspectKey};

/// The arms of each mark of an experiment, for looking up who stands beside a suspect.
pub(crate) struct Arms<'a> {
    by_mark: HashMap<Key<'a>, Vec<&'a Record>>,
    innocents: HashMap<(SuspectKey, &'a str), Vec<&'a Record>>,
}

/// What all arms have in common: experiment, seed, mark and account, and their place on the grid. Only students have an attack.
type Key<'a> = (&'a str, u64, &'a str, Option<u32>, Option<&'a str>, &'a BTreeMap<String, String>);

fn key(record: &Record) -> Key<'_> {
    (&record.experiment_hash, record.seed, mark(record), record.account, record.defence.as_deref(), &record.axes)
}

fn mark(record: &Record) -> &str {
    record.mark.as_deref().unwrap_or_default()
}

impl<'a> Arms<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let mut by_mark: HashMap<_, Vec<_>> = HashMap::new();
        let mut innocents: HashMap<_, Vec<_>> = HashMap::new();
        for record in records.iter().filter(|record| record.kind == Kind::Mark) {
            by_mark.entry(key(record)).or_default().push(record);
            if record.innocent == Some(true) {
                innocents.entry((record.suspect(), mark(record))).or_default().push(record);
            }
        }
        Self { by_mark, innocents }
    }

    fn all<'b>(&'b self, record: &'b Record) -> &'b [&'a Record] {
        self.by_mark.get(&key(record)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The control at the same surface, loss, compute, attack, budget and seed; the tested one if there are several views.
    pub(crate) fn control(&self, student: &Record) -> Option<&'a Record> {
        let beside = |r: &&&Record| r.arm == Arm::Control && same_point(r, student);
        let controls: Vec<_> = self.all(student).iter().filter(beside).collect();
        controls.iter().find(|r| r.log10_p.is_some() && r.view == student.view).or_else(|| controls.first()).map(|r| **r)
    }

    /// The students at the same point whose teachers lacked one mark each.
    pub(crate) fn apart<'b>(&'b self, student: &'b Record) -> impl Iterator<Item = &'a Record> {
        self.all(student).iter().copied().filter(|r| r.arm == Arm::Apart && r.view == student.view && same_point(r, student))
    }

    /// The teacher's records of the mark: those at the suspect's own surface if the teacher was measured by surface.
    pub(crate) fn teachers(&self, record: &Record) -> Vec<&'a Record> {
        let all: Vec<_> = self.all(record).iter().copied().filter(|r| r.arm == Arm::Teacher && !r.is_negative()).collect();
        let same: Vec<_> = all.iter().copied().filter(|r| r.surface == record.surface).collect();
        if same.is_empty() { all } else { same }
    }

    /// Records whose key must not fire if `record` is to be believed: the arms that cannot carry the mark, and the innocent accounts
    /// of the same suspect. Rivals count at whatever budget and attack.
    pub(crate) fn negatives(&self, record: &Record) -> Vec<&'a Record> {
        let planted = record.planted == Some(true);
        let counts = |r: &&Record| match r.arm {
            Arm::Control => planted && record.arm.is_on_trial() && same_point(r, record),
            Arm::Apart => r.is_of_lacked() && record.arm.is_on_trial() && same_point(r, record),
            arm => arm.is_negative(planted),
        };
        let arms = self.all(record).iter().copied().filter(counts);
        arms.chain(self.innocents(record).iter().copied()).collect()
    }

    /// The records of the mark in the models from outside that never met the teacher.
    pub(crate) fn named_negatives<'b>(&'b self, record: &'b Record) -> impl Iterator<Item = &'a Record> {
        self.all(record).iter().copied().filter(|r| r.arm == Arm::Negative)
    }

    /// The innocent accounts of the same mark in the same suspect.
    pub(crate) fn innocents<'b>(&'b self, record: &'b Record) -> &'b [&'a Record] {
        self.innocents.get(&(record.suspect(), mark(record))).map(Vec::as_slice).unwrap_or_default()
    }
}

fn same_point(a: &Record, b: &Record) -> bool {
    (&a.surface, &a.loss, &a.compute, &a.attack, a.budget_queries)
        == (&b.surface, &b.loss, &b.compute, &b.attack, b.budget_queries)
}

/// A suspect in words.
pub(crate) trait Describe {
    fn describe(&self) -> String;
}

impl Describe for Record {
    fn describe(&self) -> String {
        let mut text = who(self.arm, self.lacks.as_deref());
        if let Some(model) = &self.model {
            text.push_str(&format!(" {model}"));
        }
        if self.surface != "-" && !self.surface.is_empty() {
            text.push_str(&format!(" of `{}`", self.surface));
        }
        if self.loss != "-" && !self.loss.is_empty() {
            text.push_str(&format!(" by {}", self.loss));
        }
        if let Some(budget) = self.budget_queries {
            text.push_str(&format!(" at {} queries", queries(budget)));
        }
        if let Some(defence) = &self.defence {
            text.push_str(&format!(" behind {defence}"));
        }
        if let Some(attack) = &self.attack {
            text.push_str(&format!(" after {attack}"));
        }
        for (axis, value) in &self.axes {
            text.push_str(&format!(", {axis}={value}"));
        }
        text.push_str(&format!(", seed {}", self.seed));
        text
    }
}
