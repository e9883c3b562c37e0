use std::collections::BTreeMap;

use stats::NullKind;
use stats::audit_size::detectable_by_bound;
use stats::power::detectable_effect;
use stats::repeat::upper_normal_quantile;

use crate::arms::{Arms, Describe};
use crate::gate::{Families, adjust, goes_first};
use crate::level::{at_most, mark_in_words};
use crate::{Arm, Kind, Record, SuspectKey, Verdict};

/// Holm-adjusted p up to which an effect that is not proven is called suggested (DESIGN 6).
pub(crate) const SUGGESTED_ALPHA: f64 = 0.05;

/// Power at which the detectable effect of a failed test is stated (DESIGN 6).
const POWER: f64 = 0.8;

/// Reason of records whose experiment has no control by design.
const NO_CONTROL: &str = "no control: the experiment has no student of the unmarked server beside it";

/// Why no verdict can be given.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum JudgeError {
    /// A student's mark has no control beside it.
    #[error(
        "no verdict without the control: mark `{mark}` was measured in {suspect}, but not in the control of the same surface, \
         loss, budget, attack, grid point and seed (a student of the clean teacher); measure that arm too"
    )]
    NoControl {
        /// Name of the mark.
        mark: String,
        /// The student, in words.
        suspect: String,
    },
    /// A planted mark was not measured on the teacher.
    #[error(
        "no verdict without the teacher: mark `{mark}` was measured in {suspect}, but not on the teacher of the same grid point \
         and seed {seed}, so nobody knows whether it was planted; measure that arm too"
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
/// Suspects are compared at one grid point and defence. A mark with a key for each account is one mark for each account.
///
/// - *Holm* runs over all marks and accounts tested on one suspect (seed, arm, setting, budget). Where a primary mark was named before the
///   run ([`Record::primary`]), it is tested alone in a student (its accounts by Holm among themselves). The others are tested by Holm
///   only if it is proven there, under each account that bought; else they are not shown. The chance of a false proof in a student stays at
///   most `alpha`.
/// - *Proven*: Holm p and, where there are decoys, decoy p are at most `alpha`, and no negative fires. A p that is only an
///   approximation ([`NullKind::exact`](stats::NullKind::exact)) proves nothing without decoys. Negatives of a planted mark: the
///   control of the same point, the student there whose teacher lacked this mark alone, every rival, base, stranger and clean teacher of the seed, and the innocent accounts of the
///   suspect; of an intrinsic one: rival, base and stranger of the seed (its control is a positive).
/// - A negative *fires* when its p with the true key is at most `alpha`: the Holm p where it names an account, because then
///   many keys are asked of one model.
/// - *Suggested*: Holm p at most 0.05. *Not shown*: else, with the effect this audit would have shown with power 0.8.
/// - *Not planted*: a planted mark whose own test fails on the teacher. A false positive elsewhere does not make a mark
///   "not planted": it keeps every suspect, the teacher too, from being proven, and the reason names it.
/// - A *suspect from outside* ([`Arm::Suspect`]) has no control. In its place stand models of which somebody says that they never met the
///   teacher ([`Arm::Negative`]): without one, where none can be measured, and where any negative fires, a mark is *inconclusive*, whatever
///   its p.
/// - *Not measurable*: the record has no p, and its `reason` says what the test needs; or it is a student's whose control has none, the
///   mark being planted; or a student's, in an experiment that has
///   no control by design ([`Record::uncontrolled`]).
/// - Negatives get *clean* or *false positive* instead, planted or not.
///
/// Judging judged records again changes nothing. Metrics are left alone.
///
/// # Errors
/// [`JudgeError`], in words: above all, there is no verdict without the control.
pub fn judge(records: &mut [Record], alpha: f64) -> Result<(), JudgeError> {
    check(records)?;
    adjust(records, |record| !unconfirmed(record));
    let verdicts: Vec<Option<Ruling>> = {
        let mut bench = Bench { arms: Arms::of(records), families: Families::of(records), closed: BTreeMap::new(), alpha };
        for first in records.iter().filter(|record| goes_first(record) && !record.is_negative()) {
            if bench.rule(first)?.verdict != Verdict::Proven {
                bench.closed.insert(first.suspect(), first.mark.clone().unwrap_or_default());
            }
        }
        records
            .iter()
            .map(|record| match record.kind {
                Kind::Mark => bench.rule(record).map(Some),
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

/// What verdicts are given by.
struct Bench<'a> {
    arms: Arms<'a>,
    families: Families,
    /// Suspects whose primary mark is not proven, with its name: no other mark is tested on them.
    closed: BTreeMap<SuspectKey, String>,
    alpha: f64,
}

impl Bench<'_> {
    fn rule(&self, record: &Record) -> Result<Ruling, JudgeError> {
        let alpha = self.alpha;
        if record.log10_p.is_none() {
            let needs = record.reason.clone().unwrap_or_else(|| match &record.access {
                Some(access) => format!("needs {access} access"),
                None => "needs more access than the suspect grants".to_string(),
            });
            return Ok(Ruling::new(Verdict::NotMeasurable, Some(needs)));
        }
        if record.is_negative() {
            let verdict = if fires(record, alpha) { Verdict::FalsePositive } else { Verdict::Clean };
            return Ok(Ruling::new(verdict, None));
        }
        if record.arm == Arm::Student && record.uncontrolled == Some(true) {
            return Ok(Ruling::new(Verdict::NotMeasurable, Some(NO_CONTROL.to_string())));
        }
        if let Some(ruling) = self.unplanted_or_uncontrolled(record)? {
            return Ok(ruling);
        }
        let spoiled = self.spoiled(record);
        if let Some(reason) = self.undecided(record, &spoiled) {
            let detectable_effect = detectable(record, alpha, self.families.size(record)).filter(|_| !passes(record, alpha));
            return Ok(Ruling { detectable_effect, ..Ruling::new(Verdict::Inconclusive, Some(reason)) });
        }
        if let Some(primary) = self.closed.get(&record.suspect()).filter(|_| !goes_first(record)) {
            let reason = format!("the primary mark `{primary}` is not proven in this suspect");
            return Ok(Ruling::new(Verdict::NotShown, Some(reason)));
        }
        if passes(record, alpha) && spoiled.is_empty() {
            return Ok(Ruling::new(Verdict::Proven, None));
        }
        let mut reasons = Vec::new();
        if !spoiled.is_empty() {
            reasons.push(also_fires(&spoiled));
        }
        if let Some(decoy) = record.log10_p_decoy.filter(|&p| !at_most(p, alpha)) {
            reasons.push(format!("among decoy keys p is {:.3}", libm::pow(10f64, decoy)));
        }
        if unconfirmed(record) {
            reasons.push("its p is an approximation, and no decoy keys were tried".to_string());
        }
        let reason = Some(reasons.join("; ")).filter(|text| !text.is_empty());
        if record.log10_p_holm.is_some_and(|p| at_most(p, SUGGESTED_ALPHA)) {
            return Ok(Ruling::new(Verdict::Suggested, reason));
        }
        let detectable_effect = detectable(record, alpha, self.families.size(record));
        Ok(Ruling { detectable_effect, ..Ruling::new(Verdict::NotShown, reason) })
    }

    /// Whose keys fire although they must not, in words: beside them `record` proves nothing.
    fn spoiled(&self, record: &Record) -> Vec<String> {
        let negatives = self.arms.negatives(record).into_iter().filter(|negative| fires(negative, self.alpha));
        negatives
            .map(|negative| match negative.account {
                Some(account) if negative.innocent == Some(true) => {
                    format!("innocent account {account} in {}", negative.describe())
                }
                _ => negative.describe(),
            })
            .collect()
    }

    /// Why nothing is to be said of a mark in a suspect from outside, whatever its p: no negative stays at chance beside it.
    fn undecided(&self, record: &Record, spoiled: &[String]) -> Option<String> {
        if record.arm != Arm::Suspect {
            return None;
        }
        if !spoiled.is_empty() {
            return Some(format!("{}; so it proves nothing here", also_fires(spoiled)));
        }
        let negatives: Vec<&Record> = self.arms.named_negatives(record).collect();
        if negatives.iter().any(|negative| negative.log10_p.is_some()) {
            return None;
        }
        Some(match negatives.first() {
            None => "no negative was named: nobody saw that it stays silent in models that never met the teacher".to_string(),
            Some(negative) => {
                let why = negative.reason.clone().unwrap_or_else(|| "its access is too small".to_string());
                format!("no named negative can be measured by it: {} {why}", negative.describe())
            }
        })
    }

    /// What is to be said of a mark without its control, or that the teacher does not show.
    fn unplanted_or_uncontrolled(&self, record: &Record) -> Result<Option<Ruling>, JudgeError> {
        let planted = record.planted == Some(true);
        let mark = || mark_in_words(record);
        if record.arm.has_control() {
            let control = self.arms.control(record);
            let unmeasurable = control.and_then(|control| control.reason.as_deref().filter(|_| control.log10_p.is_none()));
            match (control, unmeasurable) {
                (Some(control), None) if control.log10_p.is_some() => {}
                // the control of an intrinsic mark is no negative: without its p the student is judged beside the others
                (Some(_), Some(_)) if !planted => {}
                (Some(_), Some(why)) => {
                    let reason = format!("its control cannot be measured: {why}");
                    return Ok(Some(Ruling::new(Verdict::NotMeasurable, Some(reason))));
                }
                _ => return Err(JudgeError::NoControl { mark: mark(), suspect: record.describe() }),
            }
        }
        if planted {
            let teachers = self.arms.teachers(record);
            if teachers.is_empty() {
                return Err(JudgeError::NoTeacher { mark: mark(), suspect: record.describe(), seed: record.seed });
            }
            if !teachers.iter().any(|teacher| passes(teacher, self.alpha)) {
                let reason = "its own test does not find it in the teacher".to_string();
                return Ok(Some(Ruling::new(Verdict::NotPlanted, Some(reason))));
            }
        }
        Ok(None)
    }
}

/// The suspect's own test, whatever the negatives say.
pub(crate) fn passes(record: &Record, alpha: f64) -> bool {
    record.log10_p_holm.is_some_and(|p| at_most(p, alpha))
        && record.log10_p_decoy.is_none_or(|p| at_most(p, alpha))
        && !unconfirmed(record)
}

fn also_fires(spoiled: &[String]) -> String {
    format!("the true key also fires where it must not: {}", spoiled.join(", "))
}

/// Whether p is an approximation without decoy keys beside it.
pub(crate) fn unconfirmed(record: &Record) -> bool {
    record.log10_p_decoy.is_none() && record.null_law.is_some_and(|law| !law.exact())
}

/// Whether the key of a negative does what it must not.
pub(crate) fn fires(negative: &Record, alpha: f64) -> bool {
    let p = if negative.account.is_some() { negative.log10_p_holm } else { negative.log10_p };
    p.is_some_and(|p| at_most(p, alpha))
}

/// Smallest effect that this audit would have shown with power 0.8 at `alpha / family_size`, Holm's strictest step (alpha itself for a
/// primary mark of one key): exact for a binomial null, else from the width of the effect's 95 % interval by the normal approximation,
/// where p is Chernoff's bound at the z that this bound asks for.
fn detectable(record: &Record, alpha: f64, family_size: usize) -> Option<f64> {
    let alpha = alpha / family_size.max(1) as f64;
    if let (Some(n), Some(NullKind::Binomial), Some(rate)) = (record.n, record.null_law, record.null_mean) {
        return detectable_effect(n, rate, alpha, POWER);
    }
    let standard_error = (record.effect_high? - record.effect_low?) / (2.0 * 1.959_964);
    if standard_error.is_nan() || standard_error < 0.0 {
        return None;
    }
    let effect = match record.null_law {
        Some(law) if law.bound() => detectable_by_bound(standard_error, alpha, POWER),
        _ => (upper_normal_quantile(alpha) + upper_normal_quantile(1.0 - POWER)) * standard_error,
    };
    (effect.is_finite() && effect > 0.0).then_some(effect)
}

fn check(records: &[Record]) -> Result<(), JudgeError> {
    let mut seen = std::collections::BTreeSet::new();
    for record in records.iter().filter(|record| record.kind == Kind::Mark) {
        let malformed = |problem: &str| JudgeError::Malformed { suspect: record.describe(), problem: problem.to_string() };
        record.mark.as_ref().ok_or_else(|| malformed("does not name its mark"))?;
        let mark = mark_in_words(record);
        if record.planted.is_none() {
            return Err(malformed(&format!("does not say whether mark `{mark}` was planted")));
        }
        let rate = record.null_mean.filter(|_| record.null_law == Some(NullKind::Binomial));
        if let Some(rate) = rate.filter(|rate| !(*rate > 0.0 && *rate < 1.0)) {
            return Err(malformed(&format!(
                "gives mark `{mark}` a binomial null of rate {rate}, expected a rate between 0 and 1"
            )));
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
