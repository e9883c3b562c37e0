//! Tests that are judged together, and how often any of them errs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stats::combine::holm;

use crate::level::{at_most, mark_in_words};
use crate::setting::Names;
use crate::words::{number, queries};
use crate::{Arm, Kind, Record, Setting, SuspectKey, Verdict};

/// Results that are named when a correction takes them away; the rest is counted.
const MOST_NAMED: usize = 5;

/// Tests of each suspect that has a mark record: Holm's families. Records without a p were not tested.
pub(crate) fn tests_by_suspect(records: &[Record]) -> BTreeMap<SuspectKey, usize> {
    let mut sizes: BTreeMap<SuspectKey, usize> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == Kind::Mark) {
        *sizes.entry(record.suspect()).or_default() += usize::from(record.log10_p.is_some());
    }
    sizes
}

/// log10 p of each record, by Holm over all tests of all students together; `None` for everything else.
pub(crate) fn holm_over_students(records: &[Record]) -> Vec<Option<f64>> {
    let tested: Vec<usize> = (0..records.len()).filter(|&i| tested_student(&records[i])).collect();
    let log10_ps: Vec<f64> = tested.iter().filter_map(|&i| records[i].log10_p).collect();
    let mut adjusted = vec![None; records.len()];
    for (i, log10_p) in tested.into_iter().zip(holm(&log10_ps)) {
        adjusted[i] = Some(log10_p);
    }
    adjusted
}

fn tested_student(record: &Record) -> bool {
    record.kind == Kind::Mark && record.arm == Arm::Student && record.log10_p.is_some()
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
    /// Results proven.
    pub proven: usize,
    /// Those that Holm over all these tests would take away, in words.
    pub lost: Vec<String>,
}

/// The family-wise error of all verdicts on students together, and what stays proven when it is corrected. `None` without a tested
/// student. `records` must have been judged.
///
/// [`judge`](crate::judge) keeps the chance of a false proof at `alpha` for each student. A report of many students has a larger one.
pub fn family_wise(records: &[Record], alpha: f64) -> Option<FamilyWise> {
    let tests: Vec<&Record> = records.iter().filter(|record| tested_student(record)).collect();
    let students = tests.iter().map(|record| record.suspect()).collect::<BTreeSet<_>>().len();
    let adjusted = holm_over_students(records);
    let settings: Vec<Setting> = tests.iter().map(|record| record.setting()).collect::<BTreeSet<_>>().into_iter().collect();
    let names = Names::of(&settings);
    let name = |record: &Record| {
        let budget = record.budget_queries.map_or(String::new(), |budget| format!(" at {} queries", queries(budget)));
        format!("{} in {}{budget}, seed {}", mark_in_words(record), names.curve(&record.setting()), record.seed)
    };
    let proven = |record: &Record| tested_student(record) && record.verdict == Some(Verdict::Proven);
    let lost = records.iter().zip(&adjusted).filter(|(record, p)| proven(record) && !p.is_some_and(|p| at_most(p, alpha)));
    (students > 0).then(|| FamilyWise {
        alpha,
        students,
        tests: tests.len(),
        bound: (students as f64 * alpha).min(1.0),
        proven: records.iter().filter(|record| proven(record)).count(),
        lost: lost.map(|(record, _)| name(record)).collect(),
    })
}

impl FamilyWise {
    /// In words: the bound, and what the correction leaves.
    pub fn sentence(&self) -> String {
        let Self { alpha, students, tests, bound, proven, lost } = self;
        if *students == 1 {
            return format!(
                "1 student was judged: the chance of a false proof is at most {alpha}, by Holm over its {tests} tests"
            );
        }
        let named = lost.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
        let rest = lost.len().saturating_sub(MOST_NAMED);
        let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
        let left = match (proven, lost.len()) {
            (0, _) => "nothing was proven".to_string(),
            (n, 0) => format!("all {n} proven results stay proven"),
            (n, gone) => format!("{} of {n} proven results stay proven; no longer: {named}{more}", n - gone),
        };
        format!(
            "{students} students were judged, each by Holm over its own tests at {alpha}. The chance that any of them gets a false proof \
             is at most {}. Corrected for that, by Holm over all {tests} tests of students, {left}",
            number(*bound)
        )
    }
}
