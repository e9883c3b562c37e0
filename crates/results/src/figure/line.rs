//! A mark of which nothing is seen: one line of words instead of an empty panel.

use crate::words::{number, p_value, queries, ranged};
use crate::{Arm, Record, Verdict};

/// A mark and what is to be said of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) mark: String,
    pub(crate) words: String,
}

/// Whether there is anything to look at: a student or control in which the mark is proven or suggested, or a key that fires where it
/// must not.
pub(crate) fn shows_something(records: &[&Record]) -> bool {
    let telling = |verdict| matches!(verdict, Some(Verdict::Proven | Verdict::Suggested | Verdict::FalsePositive) | None);
    records.iter().any(|r| r.arm != Arm::Teacher && r.log10_p.is_some() && telling(r.verdict))
}

/// What a panel would have shown of the students of one mark.
pub(crate) fn line_of(mark: String, records: &[&Record]) -> Line {
    let students: Vec<&Record> =
        records.iter().copied().filter(|r| r.arm == Arm::Student && !r.is_negative() && r.budget_queries.is_some()).collect();
    let reason = || students.iter().find_map(|r| r.reason.clone()).map_or(String::new(), |reason| format!(": {reason}"));
    let all = |verdict| students.iter().all(|r| r.verdict == Some(verdict));
    if all(Verdict::NotMeasurable) {
        return Line { mark, words: format!("not measurable{}", reason()) };
    }
    if all(Verdict::NotPlanted) {
        return Line { mark, words: format!("not planted{}", reason()) };
    }
    let largest = students.iter().filter_map(|r| r.budget_queries).max().unwrap_or_default();
    let mut parts = vec![format!("not shown by this audit at any budget up to {} queries", queries(largest))];
    let effect = |r: &&&Record| r.effect.filter(|effect| effect.is_finite());
    if let Some(most) = students.iter().filter(|r| effect(r).is_some()).max_by(|a, b| {
        let of = |r: &Record| r.effect.unwrap_or(f64::NEG_INFINITY);
        of(a).total_cmp(&of(b))
    }) {
        let value = most.effect.unwrap_or_default();
        let text = match (most.effect_low, most.effect_high) {
            (Some(low), Some(high)) if high > low => ranged(value, low, high),
            _ => number(value),
        };
        let unit = most.effect_unit.as_ref().map_or(String::new(), |unit| format!(" ({unit})"));
        parts.push(format!("largest effect{unit} {text}"));
    }
    let detectable = students.iter().filter_map(|r| r.detectable_effect).max_by(f64::total_cmp);
    parts.extend(detectable.map(|effect| format!("detectable from {} on", number(effect))));
    let smallest = students.iter().filter_map(|r| r.log10_p).min_by(f64::total_cmp);
    parts.extend(smallest.map(|p| format!("smallest p {}", p_value(p))));
    let teacher = records.iter().find(|r| r.arm == Arm::Teacher && r.log10_p.is_some());
    if let Some(teacher) = teacher {
        let effect = teacher.effect.map_or(String::new(), |effect| format!(" {},", number(effect)));
        parts.push(format!("teacher{effect} p {}", p_value(teacher.log10_p.unwrap_or_default())));
    }
    Line { mark, words: parts.join("; ") }
}
