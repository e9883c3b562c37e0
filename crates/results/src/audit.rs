//! What an audit of a model from outside found, in words.

use serde::Serialize;

use crate::arms::Arms;
use crate::judge::{fires, passes};
use crate::level::mark_in_words;
use crate::words::{number, p_value, ranged};
use crate::{Arm, Claim, Kind, Record, Verdict};

/// What an audit says of a suspect as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AuditOutcome {
    /// At least one mark is proven in it.
    #[serde(rename = "proven")]
    Proven,
    /// At least one mark could be tested beside negatives that stay at chance, and none is proven.
    #[serde(rename = "not proven")]
    NotProven,
    /// No mark could be tested so, or one that would be proven shows in a negative too.
    #[serde(rename = "inconclusive")]
    Inconclusive,
}

impl AuditOutcome {
    /// The words, as JSON has them.
    pub fn words(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::NotProven => "not proven",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What the `records` of an audit, judged at `alpha`, say of its suspect as a whole.
///
/// A mark that would be proven but for its negatives leaves the whole inconclusive: whoever reads "not proven" would take it for a result.
pub fn audit_outcome(records: &[Record], alpha: f64) -> AuditOutcome {
    let is = |wanted: &[Verdict]| of_suspect(records).any(|record| record.verdict.is_some_and(|v| wanted.contains(&v)));
    let spoiled = |record: &Record| record.verdict == Some(Verdict::Inconclusive) && passes(record, alpha);
    match () {
        () if is(&[Verdict::Proven]) => AuditOutcome::Proven,
        () if of_suspect(records).any(spoiled) => AuditOutcome::Inconclusive,
        () if is(&[Verdict::Suggested, Verdict::NotShown]) => AuditOutcome::NotProven,
        () => AuditOutcome::Inconclusive,
    }
}

/// The verdicts on the suspect's marks, in the order of the records; whose key must not fire has none.
pub fn of_suspect(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.kind == Kind::Mark && record.arm == Arm::Suspect && record.innocent != Some(true))
}

/// The models that must not show the mark of `record`, with what was found in each: the arms of the experiment, then the models from
/// outside, then the accounts that bought nothing.
pub fn negatives_of<'a>(records: &'a [Record], record: &Record) -> Vec<&'a Record> {
    let mut found = Arms::of(records).negatives(record);
    found.sort_by_key(|negative| (negative.innocent == Some(true), negative.arm, negative.model.clone(), negative.account));
    found
}

/// A negative in a few words: "clean twin", "stranger", "negative stories260k", "account 3 of the suspect".
pub fn negative_in_words(negative: &Record) -> String {
    match (negative.arm, &negative.model) {
        (Arm::Suspect, _) => format!("account {} of the suspect, which bought nothing", negative.account.unwrap_or_default()),
        (_, Some(model)) => format!("negative {model}"),
        (Arm::CleanTeacher, None) => "clean twin".to_string(),
        (arm, None) => arm.name().to_string(),
    }
}

/// What was measured, mark by mark, and what follows from it. `records` are those of one audit, judged at `alpha`.
pub fn audit_table(records: &[Record], alpha: f64) -> String {
    let mut parts = Vec::new();
    let tests = of_suspect(records).filter(|record| record.log10_p.is_some()).count();
    for record in of_suspect(records) {
        let verdict = record.verdict.map_or("not judged", Verdict::words);
        let shows = record.claim.filter(|_| record.verdict == Some(Verdict::Proven)).map_or("", |claim| match claim {
            Claim::Distillation => ", so the suspect learned from the owner's answers",
            Claim::Lineage => ", so the suspect comes from the owner's weights or data",
        });
        let mut lines = vec![format!("{}: {}{shows}", mark_in_words(record), verdict.to_uppercase())];
        let mut say = |text: String| lines.push(format!("  {text}"));
        if let Some(reason) = &record.reason {
            say(format!("because {reason}"));
        }
        if let Some(p) = record.log10_p {
            evidence(record, &mut say);
            let corrected = record.log10_p_holm.map(|holm| format!("; corrected for {} {}", in_number(tests), p_value(holm)));
            say(format!("p {}{}, level {alpha}", p_value(p), corrected.unwrap_or_default()));
            say(decoys(record, alpha));
        }
        if let Some(effect) = record.detectable_effect {
            say(format!("this audit would have shown an effect from {} on (power 0.8)", number(effect)));
        }
        let negatives = negatives_of(records, record);
        if !negatives.is_empty() {
            let said = negatives.iter().map(|negative| {
                let p = negative.log10_p.map_or("not measurable".to_string(), |p| format!("p {}", p_value(p)));
                let fired = if fires(negative, alpha) { " FIRES" } else { "" };
                format!("{} {p}{fired}", negative_in_words(negative))
            });
            say(format!("must not show it: {}", said.collect::<Vec<_>>().join("; ")));
        }
        let teacher = records.iter().find(|r| {
            (r.kind, r.arm, &r.mark, r.account) == (Kind::Mark, Arm::Teacher, &record.mark, record.account)
                && r.innocent != Some(true)
        });
        if let Some(p) = teacher.and_then(|teacher| teacher.log10_p) {
            say(format!("the owner's own model: p {}", p_value(p)));
        }
        parts.push(lines.join("\n"));
    }
    parts.push(verdict(records, alpha));
    parts.join("\n\n")
}

/// The whole verdict as one sentence.
fn verdict(records: &[Record], alpha: f64) -> String {
    let proven: Vec<String> =
        of_suspect(records).filter(|r| r.verdict == Some(Verdict::Proven)).map(|r| format!("`{}`", mark_in_words(r))).collect();
    let named = records.iter().any(|record| record.arm == Arm::Negative);
    match audit_outcome(records, alpha) {
        AuditOutcome::Proven => format!("Verdict: PROVEN, by {} at level {alpha}", proven.join(", ")),
        AuditOutcome::NotProven => {
            format!(
                "Verdict: NOT PROVEN at level {alpha}; that is not the same as innocent: a mark that this audit missed may be there"
            )
        }
        AuditOutcome::Inconclusive if !named => {
            "Verdict: INCONCLUSIVE, because no negative was named: name models that never met the teacher (--negative MODEL, \
             repeatable) and run the same audit again"
                .to_string()
        }
        AuditOutcome::Inconclusive => {
            "Verdict: INCONCLUSIVE: what was found shows in models that must not show it, or nothing could be tested beside them; each mark \
             above says why"
                .to_string()
        }
    }
}

fn evidence(record: &Record, say: &mut impl FnMut(String)) {
    if let Some(detail) = &record.detail {
        say(detail.clone());
    }
    if let (Some(statistic), Some(n)) = (record.statistic, record.n) {
        say(format!("statistic {} over {n} scored units", number(statistic)));
    }
    if let Some(effect) = record.effect {
        let ends = record.effect_low.zip(record.effect_high).filter(|(low, high)| high > low);
        let shown = ends.map_or_else(|| number(effect), |(low, high)| ranged(effect, low, high));
        let unit = record.effect_unit.as_ref().map_or(String::new(), |unit| format!(", {unit}"));
        say(format!("effect {shown}{unit} (95 % interval)"));
    }
    if let Some(null) = &record.null {
        say(format!("law without the mark: {null}"));
    }
}

/// What decoy keys say.
fn decoys(record: &Record, alpha: f64) -> String {
    let tried = record.decoys.unwrap_or_default();
    let fired = record.decoys_at_alpha.map_or(String::new(), |n| format!(", {n} of them reach {alpha}"));
    match record.log10_p_decoy {
        Some(rank) => format!("decoy keys: {tried} tried{fired}; rank of the true key among them p {}", p_value(rank)),
        None if tried > 0 => format!("decoy keys: {tried} tried as a self-test{fired}; the verdict asks for no rank"),
        None => "decoy keys: none, as this mark has no such key".to_string(),
    }
}

fn in_number(tests: usize) -> String {
    if tests == 1 { "1 test".to_string() } else { format!("{tests} tests") }
}
