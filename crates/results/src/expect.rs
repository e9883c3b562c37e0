//! What an experiment expects of its records, and what of it is broken.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arms::Describe;
use crate::words::{number, queries};
use crate::{Arm, Kind, Record, Verdict};

/// Records that are named when a condition is broken; the others are counted.
const MOST_NAMED: usize = 3;

/// One condition on the records: which they are, and what must hold of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The mark whose records are meant; beside `metric`, the mark that the metric belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The metric whose records are meant, in place of a mark's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Whose records: `student` where nothing is said.
    #[serde(default)]
    pub arm: Arm,
    /// Of the arm `apart`: the mark that its teacher lacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// Of one surface only, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// Of one budget only, queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Of one seed only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whether `all` of these records must fulfil it, or `any` one.
    #[serde(default)]
    pub of: Share,
    /// The verdict that they must have, or a list of which it must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdicts>,
    /// The number of a mark's record that `at_least` and `at_most` speak of. A metric has one number only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Number>,
    /// The number must not be below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The number must not be above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// How many of the records must fulfil a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// One verdict, or several of which it must be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Verdicts {
    /// This one.
    One(Verdict),
    /// One of these.
    Several(Vec<Verdict>),
}

impl Verdicts {
    /// All that will do.
    pub fn all(&self) -> &[Verdict] {
        match self {
            Self::One(verdict) => std::slice::from_ref(verdict),
            Self::Several(verdicts) => verdicts,
        }
    }
}

/// A number that a mark's record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// log10 of the p-value with the true key.
    #[serde(rename = "log10_p")]
    Log10P,
    /// The same, corrected over all marks asked of the suspect.
    #[serde(rename = "log10_p_holm")]
    Log10PHolm,
    /// log10 of the rank among decoy keys.
    #[serde(rename = "log10_p_decoy")]
    Log10PDecoy,
    /// Effect per scored unit.
    Effect,
    /// Value of the test statistic.
    Statistic,
    /// Scored units.
    N,
    /// Decoy keys that reach alpha themselves.
    DecoysAtAlpha,
    /// log10 of the e-process at the end of the audit.
    #[serde(rename = "log10_e")]
    Log10E,
    /// Audit queries after which the e-process first reached 1 / alpha.
    AuditQueriesToDetect,
    /// Smallest effect that the audit would have shown.
    DetectableEffect,
}

impl Number {
    /// As files and records write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log10P => "log10_p",
            Self::Log10PHolm => "log10_p_holm",
            Self::Log10PDecoy => "log10_p_decoy",
            Self::Effect => "effect",
            Self::Statistic => "statistic",
            Self::N => "n",
            Self::DecoysAtAlpha => "decoys_at_alpha",
            Self::Log10E => "log10_e",
            Self::AuditQueriesToDetect => "audit_queries_to_detect",
            Self::DetectableEffect => "detectable_effect",
        }
    }

    fn of(self, record: &Record) -> Option<f64> {
        let count = |n: Option<u64>| n.map(|n| n as f64);
        match self {
            Self::Log10P => record.log10_p,
            Self::Log10PHolm => record.log10_p_holm,
            Self::Log10PDecoy => record.log10_p_decoy,
            Self::Effect => record.effect,
            Self::Statistic => record.statistic,
            Self::N => count(record.n),
            Self::DecoysAtAlpha => count(record.decoys_at_alpha),
            Self::Log10E => record.log10_e,
            Self::AuditQueriesToDetect => count(record.audit_queries_to_detect),
            Self::DetectableEffect => record.detectable_effect,
        }
    }
}

/// The conditions of `expected`, by name, that `records` break: a line each that names the condition and what was found. `records` must
/// have been judged.
///
/// A condition that no record answers to is broken too, and so is one on a number that a record lacks.
pub fn broken(expected: &BTreeMap<String, Expectation>, records: &[Record]) -> Vec<String> {
    expected.iter().filter_map(|(name, expectation)| expectation.broken_by(name, records)).collect()
}

impl Expectation {
    fn broken_by(&self, name: &str, records: &[Record]) -> Option<String> {
        let meant: Vec<&Record> = records.iter().filter(|record| self.means(record)).collect();
        let wrong: Vec<&Record> = meant.iter().copied().filter(|record| !self.holds_for(record)).collect();
        let broken = meant.is_empty()
            || match self.of {
                Share::All => !wrong.is_empty(),
                Share::Any => wrong.len() == meant.len(),
            };
        if !broken {
            return None;
        }
        let wanted = self.wanted();
        if meant.is_empty() {
            return Some(format!("expect.{name}: {wanted}; found no such record"));
        }
        let grouped: BTreeSet<String> =
            wrong.iter().map(|record| format!("{} in {}", self.found_in(record), record.describe())).collect();
        let named: Vec<&str> = grouped.iter().take(MOST_NAMED).map(String::as_str).collect();
        let rest = grouped.len().saturating_sub(MOST_NAMED);
        let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
        let share = match self.of {
            Share::All => format!("{} of {} are not so", wrong.len(), meant.len()),
            Share::Any => format!("none of {} is so", meant.len()),
        };
        Some(format!("expect.{name}: {wanted}; {share}: {}{more}", named.join("; ")))
    }

    /// Whether the condition speaks of this record. What an account shows that bought nothing is no student's.
    fn means(&self, record: &Record) -> bool {
        let of_it = match &self.metric {
            Some(metric) => {
                record.kind == Kind::Metric
                    && record.metric.as_ref() == Some(metric)
                    && (self.mark.is_none() || record.metric_of == self.mark)
            }
            None => record.kind == Kind::Mark && record.mark == self.mark && record.innocent != Some(true),
        };
        of_it
            && record.arm == self.arm
            && (self.lacks.is_none() || record.lacks == self.lacks)
            && self.surface.as_ref().is_none_or(|surface| *surface == record.surface)
            && (self.budget.is_none() || record.budget_queries == self.budget)
            && self.seed.is_none_or(|seed| seed == record.seed)
    }

    fn holds_for(&self, record: &Record) -> bool {
        let verdict = self.verdict.as_ref().is_none_or(|wanted| record.verdict.is_some_and(|v| wanted.all().contains(&v)));
        let within = match (self.at_least, self.at_most) {
            (None, None) => true,
            (low, high) => self
                .number_of(record)
                .is_some_and(|value| low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high)),
        };
        verdict && within
    }

    fn number_of(&self, record: &Record) -> Option<f64> {
        match self.value {
            Some(number) => number.of(record),
            None => record.value,
        }
    }

    fn number_name(&self) -> &str {
        match self.value {
            Some(number) => number.name(),
            None => self.metric.as_deref().unwrap_or_default(),
        }
    }

    /// The condition in words: "`kgw` in all of student at 300 queries: verdict proven".
    fn wanted(&self) -> String {
        let what = match (&self.metric, &self.mark) {
            (Some(metric), Some(mark)) => format!("metric `{metric}` of `{mark}`"),
            (Some(metric), None) => format!("metric `{metric}`"),
            (None, mark) => format!("`{}`", mark.as_deref().unwrap_or_default()),
        };
        let mut text = format!("{what} in {} of arm {}", if self.of == Share::All { "all" } else { "any" }, self.arm.name());
        let places = [
            self.lacks.as_ref().map(|mark| format!("without {mark}")),
            self.surface.as_ref().map(|surface| format!("of `{surface}`")),
            self.budget.map(|budget| format!("at {} queries", queries(budget))),
            self.seed.map(|seed| format!("seed {seed}")),
        ];
        places.into_iter().flatten().for_each(|place| text.push_str(&format!(", {place}")));
        let verdict = self.verdict.as_ref().map(|verdicts| {
            let words: Vec<&str> = verdicts.all().iter().map(|verdict| verdict.words()).collect();
            format!("verdict {}", words.join(" or "))
        });
        let bound =
            |word: &str, bound: Option<f64>| bound.map(|bound| format!("{} {word} {}", self.number_name(), number(bound)));
        let wanted = [verdict, bound("at least", self.at_least), bound("at most", self.at_most)];
        format!("{text}: {}", wanted.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// What a record has where the condition asks for something.
    fn found_in(&self, record: &Record) -> String {
        let verdict = self.verdict.as_ref().map(|_| record.verdict.map_or("not judged", Verdict::words).to_string());
        let asked = self.at_least.or(self.at_most).is_some();
        let value = asked.then(|| match self.number_of(record) {
            Some(value) => format!("{} {}", self.number_name(), number(value)),
            None => format!("no {}", self.number_name()),
        });
        [verdict, value].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
