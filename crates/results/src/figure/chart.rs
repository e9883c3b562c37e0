//! From records to the points of one panel: medians over seeds with their range.

use std::collections::{BTreeMap, BTreeSet};

use crate::words::median;
use crate::{Arm, Kind, Record, Setting, Verdict};

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dot {
    /// Query budget; 0 for arms that have none.
    pub(crate) budget: u64,
    /// Median over seeds.
    pub(crate) value: f64,
    /// Smallest and largest over seeds.
    pub(crate) range: (f64, f64),
    /// Median ends of the 95 % interval, if the measurement has one.
    pub(crate) interval: Option<(f64, f64)>,
    /// Whether a key fires here that must not.
    pub(crate) alarm: bool,
    /// Whether it is a control that must show the mark.
    pub(crate) positive: bool,
}

/// All arms in one setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    pub(crate) student: Vec<Dot>,
    pub(crate) control: Vec<Dot>,
    pub(crate) rival: Vec<Dot>,
    /// Students whose teachers lacked one mark each, in the order of these marks.
    pub(crate) apart: Vec<Vec<Dot>>,
}

/// What one panel draws.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// By curve number.
    pub(crate) curves: Vec<Curve>,
    pub(crate) base: Option<Dot>,
    pub(crate) stranger: Option<Dot>,
    /// Levels of the teacher; with the number of its curve where there are several.
    pub(crate) teacher: Vec<(Option<usize>, Dot)>,
    /// The teacher of each curve, by curve number.
    pub(crate) teacher_of: Vec<Option<Dot>>,
}

/// A value and, if it has one, its interval.
pub(crate) type Measured = (f64, Option<(f64, f64)>);

/// What is drawn of a record, if it has it.
pub(crate) type Value = fn(&Record) -> Option<Measured>;

impl Chart {
    /// Of `records`, with a curve for each of `keys`, and thin ones for the students without each of `lacked`.
    pub(crate) fn of(records: &[&Record], keys: &[Setting], lacked: &[String], value: Value) -> Self {
        let of = |arm: Arm| records.iter().copied().filter(move |r| r.arm == arm && r.innocent != Some(true));
        let curve = |key: &Setting| {
            let along = |arm: Arm| dots(of(arm).filter(|r| r.has(key)), value);
            let without = |mark: &String| dots(of(Arm::Apart).filter(|r| r.has(key) && r.lacks.as_ref() == Some(mark)), value);
            Curve {
                student: along(Arm::Student),
                control: along(Arm::Control),
                rival: along(Arm::Rival),
                apart: lacked.iter().map(without).collect(),
            }
        };
        let lone = |arm: Arm| dots(of(arm), value).into_iter().next();
        let teacher_of = |key: &Setting| {
            let own = |r: &&Record| {
                let beside = r.surface == "-" || r.surface == key.surface;
                beside && (&r.defence, &r.axes) == (&key.defence, &key.axes)
            };
            dots(of(Arm::Teacher).filter(own), value).into_iter().next()
        };
        Self {
            curves: keys.iter().map(curve).collect(),
            base: lone(Arm::Base),
            stranger: lone(Arm::Stranger),
            teacher: teachers(&of(Arm::Teacher).collect::<Vec<_>>(), keys, value),
            teacher_of: keys.iter().map(teacher_of).collect(),
        }
    }

    /// Every point but the teacher's.
    pub(crate) fn dots(&self) -> impl Iterator<Item = &Dot> {
        let curves =
            self.curves.iter().flat_map(|c| c.student.iter().chain(&c.control).chain(&c.rival).chain(c.apart.iter().flatten()));
        curves.chain(&self.base).chain(&self.stranger)
    }

    /// Every value drawn, intervals and ranges included, the teacher's apart.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.dots().flat_map(|d| {
            let (low, high) = d.interval.unwrap_or(d.range);
            [d.value, d.range.0, d.range.1, low, high]
        })
    }
}

/// A level for each teacher that was measured, by surface, defence and place on the grid; equal ones are one. The curve it belongs to
/// is named where it is one of several and has one curve only.
fn teachers(records: &[&Record], keys: &[Setting], value: Value) -> Vec<(Option<usize>, Dot)> {
    let place = |s: &Setting| (s.surface.clone(), s.defence.clone(), s.axes.clone());
    let places: BTreeSet<_> = records.iter().map(|r| place(&r.setting())).collect();
    let mut levels: Vec<(Vec<usize>, Dot)> = Vec::new();
    for (surface, defence, axes) in &places {
        let here = |r: &&&Record| (&r.surface, &r.defence, &r.axes) == (surface, defence, axes);
        let Some(dot) = dots(records.iter().filter(here).copied(), value).into_iter().next() else { continue };
        let beside = |key: &Setting| (surface == "-" || *surface == key.surface) && (&key.defence, &key.axes) == (defence, axes);
        let curves: Vec<usize> = keys.iter().enumerate().filter(|(_, key)| beside(key)).map(|(i, _)| i).collect();
        match levels.iter_mut().find(|(_, level)| *level == dot) {
            Some((members, _)) => members.extend(curves),
            None => levels.push((curves, dot)),
        }
    }
    let alone = levels.len() == 1;
    let named = |curves: &[usize]| if alone || curves.len() != 1 { None } else { curves.first().copied() };
    levels.iter().map(|(curves, dot)| (named(curves), *dot)).collect()
}

/// Medians over seeds, by budget.
pub(crate) fn dots<'a>(records: impl Iterator<Item = &'a Record>, value: Value) -> Vec<Dot> {
    let mut by_budget: BTreeMap<u64, Vec<(Measured, &Record)>> = BTreeMap::new();
    for record in records {
        if let Some(value) = value(record).filter(|(value, _)| value.is_finite()) {
            by_budget.entry(record.budget_queries.unwrap_or(0)).or_default().push((value, record));
        }
    }
    let dot = |(budget, found): (u64, Vec<(Measured, &Record)>)| {
        let middles: Vec<f64> = found.iter().map(|(value, _)| value.0).collect();
        let ends: Vec<(f64, f64)> = found.iter().filter_map(|(value, _)| value.1).collect();
        let end = |pick: fn(&(f64, f64)) -> f64| median(&ends.iter().map(pick).collect::<Vec<_>>());
        let is_mark = |r: &Record| r.kind == Kind::Mark;
        Some(Dot {
            budget,
            value: median(&middles)?,
            range: (
                middles.iter().copied().fold(f64::INFINITY, f64::min),
                middles.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
            interval: end(|e| e.0).zip(end(|e| e.1)),
            alarm: found.iter().any(|(_, r)| r.verdict == Some(Verdict::FalsePositive)),
            positive: found.iter().any(|(_, r)| is_mark(r) && r.arm == Arm::Control && !r.is_negative()),
        })
    };
    by_budget.into_iter().filter_map(dot).collect()
}
