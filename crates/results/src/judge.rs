use std::collections::BTreeMap;

use stats::combine::holm;
use stats::power::detectable_effect;

use crate::arms::{Arms, Describe};
use crate::{Arm, Kind, Record, SuspectKey, Verdict};

/// Holm-adjusted p up to which an effect that is not proven is called suggested (DESIGN 6).
const SUGGESTED_ALPHA: f64 = 0.05;

/// Power at which the detectable effect of a failed test is stated (DESIGN 6).
const POWER: f64 = 0.8;

/// Slack on log10 p against log10 alpha. The smallest p of 999 decoys is 1/1000, which must count as at most 0.001 although
/// neither logarithm is exact.
const LOG10_SLACK: f64 = 1e-9;

/// Why no verdict can be given.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum JudgeError {
    /// A student's mark has no control beside it.
    #[error(
        "no verdict without the control: mark `{mark}` was measured in {suspect}, but not in the control of the same surface, \
         loss, budget and seed (a student of the clean teacher); measure that arm too"
    )]
    NoControl {
        /// Name of the mark.
        mark: String,
        /// The student, in words.
        suspect: String,
    },
    /// A planted mark was not measured on the teacher.
    #[error(
        "no verdict without the teacher: mark `{mark}` was measured in {suspect}, but not on the teacher of seed {seed}, \
         so nobody knows whether it was planted; measure that arm too"
    )]
    NoTeacher {
        /// Name of the mark.
        mark: String,
        /// The suspect, in words.
        suspect: String,
        /// Seed of both.
        seed: u64,
    },
    /// Two records measure the same mark in the same suspect through the same view and access.
    #[error("mark `{mark}` has two records for {suspect} with the same view and access; keep one")]
    Twice {
        /// Name of the mark.
        mark: String,
        /// The suspect, in words.
        suspect: String,
    },
    /// A mark record lacks what no verdict can do without.
    #[error("a mark record of {suspect} {problem}")]
    Malformed {
        /// The suspect, in words.
        suspect: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Fills `log10_p_holm`, `verdict`, `detectable_effect` and `reason` of every mark record, as DESIGN 6 has it.
///
/// - *Holm* runs over all marks tested on one suspect (seed, arm, surface, loss, compute, budget).
/// - *Proven*: Holm p and, where there are decoys, decoy p are at most `alpha`, and no negative arm has p at most `alpha`
///   with the true key. Negatives of a planted mark: the control of the same point, and every rival, base, stranger and
///   clean teacher of the seed; of an intrinsic one: rival, base and stranger of the seed (its control is a positive).
/// - *Suggested*: Holm p at most 0.05. *Not shown*: else, with the effect this audit would have shown with power 0.8.
/// - *Not planted*: a planted mark whose own test fails on the teacher. A false positive elsewhere does not make a mark
///   "not planted": it keeps every suspect, the teacher too, from being proven, and the reason names it.
/// - *Not measurable*: the record has no p; its `reason` says what the test needs.
/// - Negative arms get *clean* or *false positive* instead, by their p with the true key alone, planted or not.
///
/// Judging judged records again changes nothing. Metrics are left alone.
///
/// # Errors
/// [`JudgeError`], in words: above all, there is no verdict without the control.
pub fn judge(records: &mut [Record], alpha: f64) -> Result<(), JudgeError> {
    check(records)?;
    let family_sizes = adjust(records);
    let verdicts: Vec<Option<Ruling>> = {
        let arms = Arms::of(records);
        records
            .iter()
            .map(|record| match record.kind {
                Kind::Mark => rule(record, &arms, family_sizes[&record.suspect()], alpha).map(Some),
                Kind::Metric => Ok(None),
            })
            .collect::<Result<_, _>>()?
    };
    for (record, ruling) in records.iter_mut().zip(verdicts) {
        if let Some(ruling) = ruling {
            record.verdict = Some(ruling.verdict);
            record.detectable_effect = ruling.detectable_effect;
            record.reason = ruling.reason;
        }
    }
    Ok(())
}

struct Ruling {
    verdict: Verdict,
    detectable_effect: Option<f64>,
    reason: Option<String>,
}

impl Ruling {
    fn new(verdict: Verdict, reason: Option<String>) -> Self {
        Self { verdict, reason, detectable_effect: None }
    }
}

fn rule(record: &Record, arms: &Arms<'_>, family_size: usize, alpha: f64) -> Result<Ruling, JudgeError> {
    let planted = record.planted == Some(true);
    let Some(log10_p) = record.log10_p else {
        let needs = record.reason.clone().unwrap_or_else(|| match &record.access {
            Some(access) => format!("needs {access} access"),
            None => "needs more access than the suspect grants".to_string(),
        });
        return Ok(Ruling::new(Verdict::NotMeasurable, Some(needs)));
    };
    if record.arm.is_negative(planted) {
        let verdict = if at_most(log10_p, alpha) { Verdict::FalsePositive } else { Verdict::Clean };
        return Ok(Ruling::new(verdict, None));
    }
    let mark = || record.mark.clone().unwrap_or_default();
    if record.arm == Arm::Student && arms.control(record).is_none_or(|control| control.log10_p.is_none()) {
        return Err(JudgeError::NoControl { mark: mark(), suspect: record.describe() });
    }
    if planted {
        let teachers = arms.teachers(record);
        if teachers.is_empty() {
            return Err(JudgeError::NoTeacher { mark: mark(), suspect: record.describe(), seed: record.seed });
        }
        if !teachers.iter().any(|teacher| passes(teacher, alpha)) {
            return Ok(Ruling::new(Verdict::NotPlanted, Some("its own test does not find it in the teacher".to_string())));
        }
    }

    let spoiled: Vec<String> = arms
        .negatives(record)
        .into_iter()
        .filter(|negative| negative.log10_p.is_some_and(|p| at_most(p, alpha)))
        .map(Describe::describe)
        .collect();
    if passes(record, alpha) && spoiled.is_empty() {
        return Ok(Ruling::new(Verdict::Proven, None));
    }
    let mut reasons = Vec::new();
    if !spoiled.is_empty() {
        reasons.push(format!("the true key also fires where it must not: {}", spoiled.join(", ")));
    }
    if let Some(decoy) = record.log10_p_decoy.filter(|&p| !at_most(p, alpha)) {
        reasons.push(format!("among decoy keys p is {:.3}", 10f64.powf(decoy)));
    }
    let reason = Some(reasons.join("; ")).filter(|text| !text.is_empty());
    if record.log10_p_holm.is_some_and(|p| at_most(p, SUGGESTED_ALPHA)) {
        return Ok(Ruling::new(Verdict::Suggested, reason));
    }
    Ok(Ruling { detectable_effect: detectable(record, alpha, family_size), ..Ruling::new(Verdict::NotShown, reason) })
}

/// The suspect's own test, whatever the negatives say.
fn passes(record: &Record, alpha: f64) -> bool {
    record.log10_p_holm.is_some_and(|p| at_most(p, alpha)) && record.log10_p_decoy.is_none_or(|p| at_most(p, alpha))
}

pub(crate) fn at_most(log10_p: f64, alpha: f64) -> bool {
    log10_p <= alpha.log10() + LOG10_SLACK
}

/// Smallest effect that this audit would have shown with power 0.8 at `alpha / family_size`, Holm's strictest step: exact
/// for a binomial null, else from the width of the effect's 95 % interval by the normal approximation.
fn detectable(record: &Record, alpha: f64, family_size: usize) -> Option<f64> {
    let alpha = alpha / family_size.max(1) as f64;
    if let (Some(n), Some(gamma)) = (record.n, record.null.as_deref().and_then(binomial_rate)) {
        return detectable_effect(n, gamma, alpha, POWER);
    }
    let standard_error = (record.effect_high? - record.effect_low?) / (2.0 * 1.959_964);
    let effect = (upper_normal_quantile(alpha) + upper_normal_quantile(1.0 - POWER)) * standard_error;
    (effect.is_finite() && effect > 0.0).then_some(effect)
}

/// 0.25 of "Binomial(T, 0.25)".
fn binomial_rate(null: &str) -> Option<f64> {
    let (_, rate) = null.strip_prefix("Binomial(")?.strip_suffix(')')?.split_once(',')?;
    rate.trim().parse().ok().filter(|rate| (0.0..1.0).contains(rate) && *rate > 0.0)
}

/// z with P[Z > z] = `p`, by bisection: slow, exact enough, and needed a few times per report.
fn upper_normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if stats::tail::log10_normal_sf(middle) > p.log10() { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn check(records: &[Record]) -> Result<(), JudgeError> {
    let mut seen = std::collections::BTreeSet::new();
    for record in records.iter().filter(|record| record.kind == Kind::Mark) {
        let malformed = |problem: &str| JudgeError::Malformed { suspect: record.describe(), problem: problem.to_string() };
        let mark = record.mark.clone().ok_or_else(|| malformed("does not name its mark"))?;
        if record.planted.is_none() {
            return Err(malformed(&format!("does not say whether mark `{mark}` was planted")));
        }
        if let Some(p) = [record.log10_p, record.log10_p_decoy].into_iter().flatten().find(|p| !p.is_finite() || *p > 0.0) {
            return Err(malformed(&format!("gives mark `{mark}` a log10 p of {p}, which no probability has")));
        }
        if !seen.insert((record.suspect(), mark.clone(), record.view, record.access.clone())) {
            return Err(JudgeError::Twice { mark, suspect: record.describe() });
        }
    }
    Ok(())
}

/// Fills `log10_p_holm`; returns the number of tests of each suspect.
fn adjust(records: &mut [Record]) -> BTreeMap<SuspectKey, usize> {
    let mut families: BTreeMap<SuspectKey, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter_mut().enumerate().filter(|(_, record)| record.kind == Kind::Mark) {
        record.log10_p_holm = None;
        let family = families.entry(record.suspect()).or_default();
        if record.log10_p.is_some() {
            family.push(i);
        }
    }
    for family in families.values() {
        let log10_ps: Vec<f64> = family.iter().filter_map(|&i| records[i].log10_p).collect();
        for (&i, adjusted) in family.iter().zip(holm(&log10_ps)) {
            records[i].log10_p_holm = Some(adjusted);
        }
    }
    families.into_iter().map(|(suspect, family)| (suspect, family.len())).collect()
}
