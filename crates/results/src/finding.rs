use std::collections::BTreeMap;

use serde::Serialize;

use crate::again::Again;
use crate::arms::Arms;
use crate::counted::{judged_by_count, n_star_by_count};
use crate::gate::goes_first;
use crate::level::mark_in_words;
use crate::retention::Retention;
use crate::words::{median, number, p_value, queries};
use crate::worth::Worth;
use crate::{Family, NStar, Record, Setting, Verdict, n_star};

/// Evidence and effect of one arm, medians over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Seen {
    /// log10 p.
    pub log10_p: Option<f64>,
    /// Effect per scored unit.
    pub effect: Option<f64>,
    /// Ends of its 95 % interval.
    pub interval: Option<(f64, f64)>,
}

impl Seen {
    fn over(records: &[&Record]) -> Self {
        let middle = |of: fn(&Record) -> Option<f64>| median(&records.iter().filter_map(|r| of(r)).collect::<Vec<_>>());
        Self {
            log10_p: middle(|r| r.log10_p),
            effect: middle(|r| r.effect),
            interval: middle(|r| r.effect_low).zip(middle(|r| r.effect_high)),
        }
    }
}

/// One mark in the student whose teacher lacked another one, or this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenApart {
    /// The mark that the teacher lacked.
    pub lacks: String,
    /// What was seen.
    pub seen: Seen,
    /// The verdict, in words.
    pub verdict: String,
}

/// What became of one mark in one setting: a row of the table, and its sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Name of the mark.
    pub mark: String,
    /// Whose key, where each account has one.
    pub account: Option<u32>,
    /// Whether it is the primary mark.
    pub primary: bool,
    /// What sort of mark it is.
    pub family: Option<Family>,
    /// Surface, loss, compute, defence, attack and place on the grid.
    pub setting: Setting,
    /// Smallest budget from which it is proven.
    pub n_star: NStar,
    /// The same by the older test, the count of distinct units, where the mark has one.
    pub n_star_by_count: Option<NStar>,
    /// What the effects are.
    pub effect_unit: Option<String>,
    /// The teacher.
    pub teacher: Seen,
    /// The student of the largest budget.
    pub student: Seen,
    /// That student's control.
    pub control: Seen,
    /// The students beside it whose teachers lacked one mark each, by its name.
    pub apart: Vec<SeenApart>,
    /// Whether the control is a positive: nobody planted the mark, and the control learned from the same model.
    pub control_positive: bool,
    /// P(proven again) of that student, median over seeds ([`proven_again`](crate::proven_again)); behind a primary mark, of both.
    pub again: Option<f64>,
    /// What was seen in that student, in the words of the mark (first seed).
    pub detail: Option<String>,
    /// Innocent accounts in those students, and how many of them fire.
    pub innocents: (u64, u64),
    /// What was shown, in words.
    pub sentence: String,
}

/// One finding for each (mark, account, setting) with a judged student, watermarks first. `records` must have been
/// judged at `alpha`.
pub fn findings(records: &[Record], alpha: f64) -> Vec<Finding> {
    let view = Look {
        records,
        arms: Arms::of(records),
        worth: Worth::of(records),
        again: Again::of(records, alpha),
        retention: Retention::of(records),
        by_count: n_star_by_count(&judged_by_count(records, alpha), records),
        alpha,
    };
    let mut found: Vec<Finding> = n_star(records).into_iter().filter_map(|star| view.finding(star)).collect();
    found.sort_by(|a, b| (a.family, &a.mark, a.account, &a.setting).cmp(&(b.family, &b.mark, b.account, &b.setting)));
    found
}

struct Look<'a> {
    records: &'a [Record],
    arms: Arms<'a>,
    worth: Worth<'a>,
    again: Again<'a>,
    retention: Retention<'a>,
    by_count: Vec<NStar>,
    alpha: f64,
}

impl Look<'_> {
    fn finding(&self, star: NStar) -> Option<Finding> {
        let curve: Vec<&Record> = self.records.iter().filter(|r| star.is_of(r)).collect();
        let last: Vec<&Record> = curve.iter().copied().filter(|r| r.budget_queries == Some(star.largest)).collect();
        let innocent = || last.iter().flat_map(|r| self.arms.innocents(r));
        let fired = innocent().filter(|r| r.verdict == Some(Verdict::FalsePositive)).count() as u64;
        let innocents = (innocent().count() as u64, fired);
        let teachers: Vec<&Record> = last.iter().filter_map(|r| self.arms.teachers(r).first().copied()).collect();
        let controls: Vec<&Record> = last.iter().filter_map(|r| self.arms.control(r)).collect();
        Some(Finding {
            mark: star.mark.clone(),
            account: star.account,
            primary: last.iter().any(|r| goes_first(r)),
            family: last.first()?.family,
            setting: star.setting.clone(),
            effect_unit: curve.iter().find_map(|r| r.effect_unit.clone()),
            teacher: Seen::over(&teachers),
            student: Seen::over(&last),
            control: Seen::over(&controls),
            apart: self.apart(&last),
            control_positive: controls.iter().any(|control| !control.is_negative()),
            again: median(&last.iter().filter_map(|r| self.again.p(r)).collect::<Vec<_>>()),
            detail: last.first()?.detail.clone(),
            sentence: self.sentence(&star, &curve, &last)
                + &self.of_retention(&star, &last)
                + &self.of_worth(&star, &last)
                + &of_innocents(innocents)
                + &of_apart(&star.mark, &self.apart(&last)),
            innocents,
            n_star_by_count: self.by_count.iter().find(|count| count.is_as(&star)).cloned(),
            n_star: star,
        })
    }

    fn apart(&self, last: &[&Record]) -> Vec<SeenApart> {
        let mut by_lacked: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for apart in last.iter().flat_map(|record| self.arms.apart(record)) {
            by_lacked.entry(apart.lacks.as_deref().unwrap_or_default()).or_default().push(apart);
        }
        let verdict = |records: &[&Record]| {
            let first = records.first().and_then(|r| r.verdict);
            let proven = records.iter().filter(|r| r.verdict == Some(Verdict::Proven)).count();
            match first.filter(|first| records.iter().all(|r| r.verdict == Some(*first))) {
                Some(verdict) => verdict.words().to_string(),
                None => format!("proven in {proven} of {} seeds", records.len()),
            }
        };
        let found = |(lacks, records): (&str, Vec<&Record>)| SeenApart {
            lacks: lacks.to_string(),
            seen: Seen::over(&records),
            verdict: verdict(&records),
        };
        by_lacked.into_iter().map(found).collect()
    }

    /// What share of the teacher's effect is left, of all seeds together, where the mark is proven.
    fn of_retention(&self, star: &NStar, last: &[&Record]) -> String {
        let Some(student) = last.first().filter(|_| star.is_seen()) else { return String::new() };
        let kept = self.retention.over_seeds(student).or_else(|| self.retention.of_seed(student));
        kept.map_or(String::new(), |kept| {
            let ends = kept.interval.map_or(String::new(), |ends| format!(" ({:.2} to {:.2})", ends.low, ends.high));
            format!("; keeps {:.2}{ends} of the teacher's effect", kept.share)
        })
    }

    /// That the student is not worth its base, where that is so and the mark is proven all the same.
    fn of_worth(&self, star: &NStar, last: &[&Record]) -> String {
        if !star.is_seen() {
            return String::new();
        }
        let beside = last.iter().filter(|r| star.no_theft.contains(&r.seed)).find_map(|r| self.worth.beside_base(r));
        beside.map_or(String::new(), |loss| {
            let unit = if loss.unit.is_empty() { String::new() } else { format!(" {}", loss.unit) };
            format!("; no theft: its {} is {}{unit}, that of its base {}", loss.what, number(loss.student), number(loss.base))
        })
    }

    fn sentence(&self, star: &NStar, curve: &[&Record], last: &[&Record]) -> String {
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
        let found: Vec<u64> = star.by_seed.iter().filter_map(|(_, n)| *n).collect();
        if let (Some(&low), Some(&high)) = (found.iter().min(), found.iter().max()) {
            let share = if seeds > 1 { format!(" in {} of {seeds} seeds", found.len()) } else { String::new() };
            let smallest = curve.iter().filter_map(|r| r.budget_queries).min();
            let everywhere = star.by_seed.iter().all(|(_, n)| *n == smallest);
            let from = if everywhere { "at every budget run, from " } else { "from " };
            let range = if low == high { queries(low) } else { format!("{} to {}", queries(low), queries(high)) };
            return format!("survives{share}: proven {from}{range} queries on");
        }
        let earlier = curve.iter().filter(|r| r.verdict == Some(Verdict::Proven)).filter_map(|r| r.budget_queries).max();
        let earlier = earlier
            .map_or(String::new(), |budget| format!("proven at {} queries, but at {} ", queries(budget), queries(star.largest)));
        if last.iter().any(|r| r.verdict == Some(Verdict::Suggested)) {
            let best = last.iter().filter_map(|r| r.log10_p_holm).min_by(f64::total_cmp).map(p_value).unwrap_or_default();
            return with(&format!("{earlier}suggested, not proven at {} (Holm p {best})", self.alpha), reason(last));
        }
        let detectable = last.iter().filter_map(|r| r.detectable_effect).max_by(f64::total_cmp);
        let text = match detectable {
            Some(effect) => format!("{earlier}not shown by this audit (detectable from {} on, power 0.8)", number(effect)),
            None => format!("{earlier}not shown by this audit"),
        };
        with(&text, reason(last))
    }
}

/// What the other students whose teachers lacked one mark say of `mark`; the one that lacks this very mark is a negative and speaks up by
/// firing, and what holds of the mark wherever it is asked is said once.
fn of_apart(mark: &str, apart: &[SeenApart]) -> String {
    let unsaid = [Verdict::NotPlanted, Verdict::NotMeasurable].map(Verdict::words);
    let others = apart.iter().filter(|apart| apart.lacks != mark && !unsaid.contains(&apart.verdict.as_str()));
    others.map(|apart| format!("; in the student without {}: {}", apart.lacks, apart.verdict)).collect()
}

fn of_innocents((tested, fired): (u64, u64)) -> String {
    if tested == 0 { String::new() } else { format!("; {fired} of {tested} innocent accounts fire") }
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
