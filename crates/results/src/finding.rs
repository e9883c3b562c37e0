use std::collections::BTreeMap;

use serde::Serialize;

use crate::arms::Arms;
use crate::judge::mark_in_words;
use crate::words::{median, number, p_value, queries};
use crate::{Family, NStar, Record, Setting, Verdict, n_star};

/// What became of one mark in one setting: a row of the table, and its sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Name of the mark.
    pub mark: String,
    /// Whose key, where each account has one.
    pub account: Option<u32>,
    /// What sort of mark it is.
    pub family: Option<Family>,
    /// Surface, loss, compute, defence, attack and place on the grid.
    pub setting: Setting,
    /// Smallest budget from which it is proven.
    pub n_star: NStar,
    /// log10 p on the teacher, median over seeds.
    pub teacher_log10_p: Option<f64>,
    /// log10 p in the student of the largest budget, median over seeds.
    pub student_log10_p: Option<f64>,
    /// log10 p in that student's control, median over seeds.
    pub control_log10_p: Option<f64>,
    /// What was seen in that student, in the words of the mark (first seed).
    pub detail: Option<String>,
    /// Innocent accounts in those students, and how many of them fire.
    pub innocents: (u64, u64),
    /// What survived, in words.
    pub sentence: String,
}

/// One finding for each (mark, account, setting) with a judged student, watermarks first. `records` must have been
/// judged.
pub fn findings(records: &[Record]) -> Vec<Finding> {
    let arms = Arms::of(records);
    let mut found: Vec<Finding> = n_star(records).into_iter().filter_map(|star| finding(star, records, &arms)).collect();
    found.sort_by(|a, b| (a.family, &a.mark, a.account, &a.setting).cmp(&(b.family, &b.mark, b.account, &b.setting)));
    found
}

fn finding(star: NStar, records: &[Record], arms: &Arms<'_>) -> Option<Finding> {
    let curve: Vec<&Record> = records.iter().filter(|r| star.is_of(r)).collect();
    let last: Vec<&Record> = curve.iter().copied().filter(|r| r.budget_queries == Some(star.largest)).collect();
    let middle = |ps: Vec<Option<f64>>| median(&ps.into_iter().flatten().collect::<Vec<_>>());
    let innocent = || last.iter().flat_map(|r| arms.innocents(r));
    let fired = innocent().filter(|r| r.verdict == Some(Verdict::FalsePositive)).count() as u64;
    let innocents = (innocent().count() as u64, fired);
    Some(Finding {
        mark: star.mark.clone(),
        account: star.account,
        family: last.first()?.family,
        setting: star.setting.clone(),
        teacher_log10_p: middle(last.iter().map(|r| arms.teachers(r).first().and_then(|t| t.log10_p)).collect()),
        student_log10_p: middle(last.iter().map(|r| r.log10_p).collect()),
        control_log10_p: middle(last.iter().map(|r| arms.control(r).and_then(|c| c.log10_p)).collect()),
        detail: last.first()?.detail.clone(),
        sentence: sentence(&star, &curve, &last) + &of_innocents(innocents),
        innocents,
        n_star: star,
    })
}

fn of_innocents((tested, fired): (u64, u64)) -> String {
    if tested == 0 { String::new() } else { format!("; {fired} of {tested} innocent accounts fire") }
}

fn sentence(star: &NStar, curve: &[&Record], last: &[&Record]) -> String {
    let reason = |of: &[&Record]| of.iter().find_map(|r| r.reason.clone());
    let all = |verdict| !last.is_empty() && last.iter().all(|r| r.verdict == Some(verdict));
    let with = |text: &str, reason: Option<String>| reason.map_or(text.to_string(), |reason| format!("{text}: {reason}"));
    if all(Verdict::NotMeasurable) {
        return with("not measurable", reason(last));
    }
    if all(Verdict::NotPlanted) {
        return with("not planted", reason(last));
    }
    let seeds = star.by_seed.len();
    let proven = star.by_seed.iter().filter(|(_, n)| n.is_some()).count();
    if proven > 0 {
        let found = NStar { by_seed: star.by_seed.iter().copied().filter(|(_, n)| n.is_some()).collect(), ..star.clone() };
        let share = if seeds > 1 { format!(" in {proven} of {seeds} seeds") } else { String::new() };
        let smallest = curve.iter().filter_map(|r| r.budget_queries).min();
        let everywhere = star.by_seed.iter().all(|(_, n)| *n == smallest);
        let from = if everywhere { "at every budget run, from " } else { "from " };
        return format!("survives{share}: proven {from}{} queries on", found.words());
    }
    let earlier: Vec<u64> =
        curve.iter().filter(|r| r.verdict == Some(Verdict::Proven)).filter_map(|r| r.budget_queries).collect();
    if let Some(&budget) = earlier.iter().max() {
        return format!("does not last: proven at {} queries but not at {}", queries(budget), queries(star.largest));
    }
    if last.iter().any(|r| r.verdict == Some(Verdict::Suggested)) {
        let best = last.iter().filter_map(|r| r.log10_p_holm).min_by(f64::total_cmp).map(p_value).unwrap_or_default();
        return with(&format!("suggested, not proven (Holm p {best})"), reason(last));
    }
    let detectable = last.iter().filter_map(|r| r.detectable_effect).max_by(f64::total_cmp);
    let text = match detectable {
        Some(effect) => format!("not shown (an effect of {} would have been, power 0.8)", number(effect)),
        None => "not shown".to_string(),
    };
    with(&text, reason(last))
}

/// Suspects whose true key fires where it must not: each is a line of words.
pub fn false_positives(records: &[Record]) -> Vec<String> {
    use crate::arms::Describe;
    let fired = records.iter().filter(|r| r.verdict == Some(Verdict::FalsePositive));
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for record in fired {
        let line = format!(
            "FALSE POSITIVE: mark `{}` with its true key has p {} in {}",
            mark_in_words(record),
            record.log10_p.map(p_value).unwrap_or_default(),
            record.describe()
        );
        lines.insert(line.clone(), line);
    }
    lines.into_values().collect()
}
