//! How much of the teacher's effect is left in a student.

use std::collections::HashMap;

use stats::Interval;
use stats::interval::{Estimate, two_level_bootstrap};

use crate::arms::Arms;
use crate::{Arm, Kind, Record, Setting, SuspectKey};

/// Metric of a mark: its effect, with the interval that answers alone move it by.
const OVER_ANSWERS: &str = "effect_over_answers";

/// Half the width of a 95 % interval in standard errors.
const HALF_WIDTH: f64 = 1.959_964;

/// Draws of the bootstrap.
const DRAWS: u64 = 2_000;

/// The effects of a student, its teacher and its control.
type Effects = [Estimate; 3];

/// Points of one curve that differ in their seeds: mark, account, view, setting and budget.
type Point<'a> = (Option<&'a str>, Option<u32>, String, Setting, Option<u64>);

/// Retention R = (effect_student - effect_control) / (effect_teacher - effect_control), methods 0.9: the share of the
/// teacher's effect above the null that is left in a student, with the paired control as the null.
///
/// `None` without control or teacher, for an intrinsic mark (whose control is no null), or when the teacher's effect does not
/// exceed the control's.
pub fn retention(student: &Record, records: &[Record]) -> Option<f64> {
    let found = effects(student, &Arms::of(records), &HashMap::new())?;
    Some(share(&found.map(|effect| effect.value)))
}

/// The share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Retained {
    pub share: f64,
    pub interval: Option<Interval>,
}

/// Retention of the students of one report.
pub(crate) struct Retention<'a> {
    arms: Arms<'a>,
    over_answers: HashMap<(SuspectKey, &'a str), (f64, f64)>,
    by_point: HashMap<Point<'a>, Vec<Effects>>,
}

impl<'a> Retention<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let of_answers = |r: &&Record| r.kind == Kind::Metric && r.metric.as_deref() == Some(OVER_ANSWERS);
        let ends = |r: &'a Record| Some(((r.suspect(), r.metric_of.as_deref()?), r.low.zip(r.high)?));
        let over_answers = records.iter().filter(of_answers).filter_map(ends).collect();
        let arms = Arms::of(records);
        let mut by_point: HashMap<Point<'_>, Vec<Effects>> = HashMap::new();
        for student in records.iter().filter(|r| r.kind == Kind::Mark && r.arm == Arm::Student) {
            if let Some(found) = effects(student, &arms, &over_answers) {
                by_point.entry(point(student)).or_default().push(found);
            }
        }
        Self { arms, over_answers, by_point }
    }

    /// Of one student. Its interval is a parametric bootstrap: each of the three effects is drawn from the normal law with its own interval,
    /// over answers where the mark has one.
    pub(crate) fn of_seed(&self, student: &Record) -> Option<Retained> {
        Some(retained(&[effects(student, &self.arms, &self.over_answers)?]))
    }

    /// Over all seeds of the student's point, two at least: the quotient of the sums of both differences. Its interval is a bootstrap over seeds and
    /// over answers (methods 0.9).
    pub(crate) fn over_seeds(&self, student: &Record) -> Option<Retained> {
        self.by_point.get(&point(student)).filter(|seeds| seeds.len() > 1).map(|seeds| retained(seeds))
    }
}

fn point(student: &Record) -> Point<'_> {
    let view = student.view.map(|view| format!("{view:?}")).unwrap_or_default();
    (student.mark.as_deref(), student.account, view, student.setting(), student.budget_queries)
}

fn effects(student: &Record, arms: &Arms<'_>, over_answers: &HashMap<(SuspectKey, &str), (f64, f64)>) -> Option<Effects> {
    if student.arm != Arm::Student || student.planted != Some(true) {
        return None;
    }
    let of = |record: &Record| {
        let mark = record.mark.as_deref().unwrap_or_default();
        let own = || record.effect_low.zip(record.effect_high);
        // of a mark with a key for each account no interval over answers is kept
        let ends = over_answers.get(&(record.suspect(), mark)).copied().filter(|_| record.account.is_none()).or_else(own);
        let standard_error = ends.map_or(f64::NAN, |(low, high)| (high - low) / (2.0 * HALF_WIDTH));
        Some(Estimate { value: record.effect?, standard_error })
    };
    let found = [of(student)?, of(arms.teachers(student).first()?)?, of(arms.control(student)?)?];
    (found[1].value > found[2].value).then_some(found)
}

fn share([student, teacher, control]: &[f64; 3]) -> f64 {
    (student - control) / (teacher - control)
}

fn retained(seeds: &[Effects]) -> Retained {
    let all = |seeds: &[[f64; 3]]| {
        let add = |sum: [f64; 3], one: &[f64; 3]| std::array::from_fn(|i| sum[i] + one[i]);
        share(&seeds.iter().fold([0.0; 3], add))
    };
    let measured: Vec<[f64; 3]> = seeds.iter().map(|seed| seed.map(|effect| effect.value)).collect();
    Retained { share: all(&measured), interval: two_level_bootstrap(seeds, all, 0.95, DRAWS, 0) }
}
