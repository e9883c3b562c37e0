//! What the older test says of the same answers: the count of distinct units, which watermark tests print beside their own.

use std::collections::HashMap;

use crate::gate::Families;
use crate::level::at_most;
use crate::query_budget::smallest_budgets;
use crate::worth::Worth;
use crate::{Arm, Kind, NStar, Record, SuspectKey, Verdict};

/// Metric of a mark: log10 p of the count of distinct units.
const COUNT: &str = "count_log10_p";

/// The mark records of students with the count's p in place of the mark's own, in the order of `records`: `proven` where that p is at most
/// the strictest level that the mark's own is held to (Holm's first step, which is alpha for a primary mark). No negative and no decoy takes
/// a proof back. Only students that have a verdict of their own on a mark that the teacher shows. A mark with a key for each account has no
/// count.
pub(crate) fn judged_by_count(records: &[Record], alpha: f64) -> Vec<Record> {
    let of_count = |r: &&Record| r.kind == Kind::Metric && r.metric.as_deref() == Some(COUNT);
    let counts: HashMap<(SuspectKey, &str), f64> =
        records.iter().filter(of_count).filter_map(|r| Some(((r.suspect(), r.metric_of.as_deref()?), r.value?))).collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let families = Families::of(records);
    let judged = |r: &Record| {
        let may_be_proven = matches!(r.verdict, Some(Verdict::Proven | Verdict::Suggested | Verdict::NotShown));
        if r.kind != Kind::Mark || r.arm != Arm::Student || r.is_negative() || !may_be_proven {
            return None;
        }
        let log10_p = *counts.get(&(r.suspect(), r.mark.as_deref()?))?;
        let proven = at_most(log10_p, alpha / families.size(r).max(1) as f64);
        let verdict = if proven { Verdict::Proven } else { Verdict::NotShown };
        Some(Record { log10_p: Some(log10_p), verdict: Some(verdict), ..r.clone() })
    };
    records.iter().filter_map(judged).collect()
}

/// N* of each curve of `judged` ([`judged_by_count`]); what the students are worth is read off `records`.
pub(crate) fn n_star_by_count(judged: &[Record], records: &[Record]) -> Vec<NStar> {
    smallest_budgets(judged, &Worth::of(records))
}
