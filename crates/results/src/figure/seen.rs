//! Curves of marks that a grid tests in several ways: by what the test sees, which is the same word for all marks.
//!
//! A grid says of each mark by itself how it is tested (`marks.NAME.KIND.test`), and in a joined report there are many such axes. Their
//! curves would have a name and a colour each. By what the test saw of the suspect, two marks share a curve's name, as they do in the heat map.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Kind, Record};

/// The axis that stands for all of them.
const SEEN: &str = "seen";

/// Whether an axis is about how a mark is tested.
pub(crate) fn is_of_tests(axis: &str) -> bool {
    axis.starts_with("marks.") && (axis.ends_with(".test") || axis.contains(".test."))
}

/// `records` with one axis `seen` in place of those that say how a mark is tested; as they are where no such axis is, where what is seen does not tell
/// the tests of a mark apart, or where a test of one mark stands beside those of another at every point.
pub(crate) fn by_what_is_seen(records: &[Record]) -> Cow<'_, [Record]> {
    let marks = || records.iter().filter(|r| r.kind == Kind::Mark);
    // what the test of a mark sees, by place on its axis
    let mut seen: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut axis_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in marks() {
        let tests: Vec<(&String, &String)> = record.axes.iter().filter(|(axis, _)| is_of_tests(axis)).collect();
        let [(axis, value)] = tests[..] else {
            if tests.is_empty() {
                continue;
            }
            return Cow::Borrowed(records);
        };
        let own = record.mark.as_deref().is_some_and(|mark| axis.starts_with(&format!("marks.{mark}.")));
        if own {
            seen.entry((axis, value)).or_default().extend(record.access.as_deref());
            axis_of.entry(axis).or_default().insert(value);
        } else {
            // a mark beside: it would be counted once for every test of the other
            return Cow::Borrowed(records);
        }
    }
    let told_apart = axis_of.iter().all(|(axis, values)| {
        let words: BTreeSet<_> = values.iter().map(|value| &seen[&(*axis, *value)]).collect();
        words.len() == values.len() && words.iter().all(|words| words.len() == 1)
    });
    if axis_of.is_empty() || !told_apart {
        return Cow::Borrowed(records);
    }
    let one = |record: &Record| {
        let mut record = record.clone();
        let of_axis = record.axes.iter().find_map(|(axis, value)| seen.get(&(axis.as_str(), value.as_str())));
        let own = record.access.as_deref().filter(|_| record.kind == Kind::Mark);
        let word = own.or(of_axis.and_then(|words| words.first().copied())).map(|access| in_words(access).to_string());
        record.axes.retain(|axis, _| !is_of_tests(axis));
        if let Some(word) = word {
            record.axes.insert(SEEN.to_string(), word);
        }
        record
    };
    Cow::Owned(records.iter().map(one).collect())
}

/// What a test sees of a suspect, as figures call it.
pub(crate) fn in_words(access: &str) -> &str {
    match access {
        "text" => "answers",
        "logprobs" => "laws",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arm;

    fn record(mark: &str, axis: Option<(&str, &str)>, access: &str) -> Record {
        let axes = axis.into_iter().map(|(axis, value)| (axis.to_string(), value.to_string())).collect();
        Record { arm: Arm::Student, mark: Some(mark.into()), access: Some(access.into()), axes, ..Record::default() }
    }

    #[test]
    fn tests_of_two_marks_share_their_curves() {
        let test = |mark, value| (format!("marks.{mark}.kgw.test"), value);
        let mut records = Vec::new();
        for mark in ["a", "b"] {
            for (value, access) in [("score suspect=answers", "text"), ("score suspect=laws", "logprobs")] {
                let (axis, value) = test(mark, value);
                records.push(record(mark, Some((&axis, value)), access));
                let metric = Record { kind: Kind::Metric, mark: None, access: None, ..records.last().unwrap().clone() };
                records.push(metric);
            }
        }
        records.push(record("c", None, "text"));
        let seen: Vec<String> = by_what_is_seen(&records).iter().map(|r| r.axes["seen"].clone()).collect();
        let one = ["answers", "answers", "laws", "laws"];
        assert_eq!(seen, [&one[..], &one, &["answers"]].concat());

        // two tests of the same answers, or a mark beside another whose test changes: each curve keeps its name
        let two = ["score", "count"].map(|value| record("a", Some(("marks.a.kgw.test", value)), "text"));
        assert!(matches!(by_what_is_seen(&two), Cow::Borrowed(_)));
        let beside = [record("b", Some(("marks.a.kgw.test", "score")), "text")];
        assert!(matches!(by_what_is_seen(&beside), Cow::Borrowed(_)));
        assert!(matches!(by_what_is_seen(&[record("c", None, "text")]), Cow::Borrowed(_)));
    }
}
