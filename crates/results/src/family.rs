//! Tests that are judged together, and how often any of them errs.

use std::collections::BTreeSet;

use serde::Serialize;
use stats::combine::holm;

use crate::gate::goes_first;
use crate::level::{at_most, mark_in_words};
use crate::setting::Names;
use crate::words::{number, queries};
use crate::{Kind, Record, Setting, Verdict};

/// Results that are named when a correction takes them away; the rest is counted.
const MOST_NAMED: usize = 5;

/// log10 p of each record, corrected over all tests of all students together; `None` for everything else.
///
/// By Holm over all of them. Behind a primary mark each student has an equal share of the level (Bonferroni), and within it the order that
/// its own verdicts keep. `records` must have been judged.
pub(crate) fn over_students(records: &[Record]) -> Vec<Option<f64>> {
    let tested: Vec<usize> = (0..records.len()).filter(|&i| tested_student(&records[i])).collect();
    let log10_ps: Vec<f64> = if records.iter().any(goes_first) {
        let shares = students(tested.iter().map(|&i| &records[i])).max(1) as f64;
        tested.iter().filter_map(|&i| Some((records[i].log10_p_holm? + libm::log10(shares)).min(0.0))).collect()
    } else {
        holm(&tested.iter().filter_map(|&i| records[i].log10_p).collect::<Vec<_>>())
    };
    let mut adjusted = vec![None; records.len()];
    for (i, log10_p) in tested.into_iter().zip(log10_ps) {
        adjusted[i] = Some(log10_p);
    }
    adjusted
}

fn students<'a>(tests: impl Iterator<Item = &'a Record>) -> usize {
    tests.map(Record::suspect).collect::<BTreeSet<_>>().len()
}

fn tested_student(record: &Record) -> bool {
    record.kind == Kind::Mark && record.arm.is_on_trial() && record.log10_p.is_some()
}

/// What the verdicts on all students of a report are worth together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FamilyWise {
    /// Level of each student's tests.
    pub alpha: f64,
    /// Students tested.
    pub students: usize,
    /// Their tests.
    pub tests: usize,
    /// Chance that any student gets a false proof, at most: `alpha` for each (Boole's inequality).
    pub bound: f64,
    /// The mark that is tested first, if one is.
    pub primary: Option<String>,
    /// Results proven.
    pub proven: usize,
    /// Those that a correction over all these tests would take away, in words.
    pub lost: Vec<String>,
}

/// The family-wise error of all verdicts on students together, and what stays proven when it is corrected. `None` without a tested
/// student. `records` must have been judged.
///
/// [`judge`](crate::judge) keeps the chance of a false proof at `alpha` for each student. A report of many students has a larger one.
pub fn family_wise(records: &[Record], alpha: f64) -> Option<FamilyWise> {
    let tests: Vec<&Record> = records.iter().filter(|record| tested_student(record)).collect();
    let students = students(tests.iter().copied());
    let adjusted = over_students(records);
    let settings: Vec<Setting> = tests.iter().map(|record| record.setting()).collect::<BTreeSet<_>>().into_iter().collect();
    let names = Names::of(&settings);
    let name = |record: &Record| {
        let budget = record.budget_queries.map_or(String::new(), |budget| format!(" at {} queries", queries(budget)));
        let without = record.lacks.as_ref().map_or(String::new(), |mark| format!(", student without {mark}"));
        format!("{} in {}{budget}{without}, seed {}", mark_in_words(record), names.curve(&record.setting()), record.seed)
    };
    let proven = |record: &Record| tested_student(record) && record.verdict == Some(Verdict::Proven);
    let lost = records.iter().zip(&adjusted).filter(|(record, p)| proven(record) && !p.is_some_and(|p| at_most(p, alpha)));
    (students > 0).then(|| FamilyWise {
        alpha,
        students,
        tests: tests.len(),
        primary: records.iter().find(|record| goes_first(record)).and_then(|record| record.mark.clone()),
        bound: (students as f64 * alpha).min(1.0),
        proven: records.iter().filter(|record| proven(record)).count(),
        lost: lost.map(|(record, _)| name(record)).collect(),
    })
}

impl FamilyWise {
    /// In words: the bound, and what the correction leaves.
    pub fn sentence(&self) -> String {
        let Self { alpha, students, tests, primary, bound, proven, lost } = self;
        if *students == 1 {
            let how = match primary {
                Some(mark) => {
                    format!("at which the primary mark `{mark}` is tested first, and where it is proven the others by Holm")
                }
                None => format!("by Holm over its {tests} tests"),
            };
            return format!("1 student was judged: the chance of a false proof is at most {alpha}, {how}");
        }
        let named = lost.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
        let rest = lost.len().saturating_sub(MOST_NAMED);
        let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
        let left = match (proven, lost.len()) {
            (0, _) => "nothing was proven".to_string(),
            (1, 0) => "the one proven result stays proven".to_string(),
            (n, 0) => format!("all {n} proven results stay proven"),
            (n, gone) => format!("{} of {n} proven results stay proven; no longer: {named}{more}", n - gone),
        };
        let (how, corrected) = match primary {
            Some(mark) => (
                format!("first by the primary mark `{mark}` at {alpha}, and where it is proven by Holm over its other tests"),
                format!("at {alpha} / {students} for each student, in the same order"),
            ),
            None => {
                (format!("each by Holm over its own tests at {alpha}"), format!("by Holm over all {tests} tests of students"))
            }
        };
        format!(
            "{students} students were judged, {how}. The chance that any of them gets a false proof is at most {}. Corrected for that, \
             {corrected}, {left}",
            number(*bound)
        )
    }
}
