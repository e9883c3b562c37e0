//! From records to what the panels draw: medians over seeds with their range.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use super::scale::Budgets;
use crate::judge::with_account;
use crate::setting::Names;
use crate::words::median;
use crate::{Arm, Family, Kind, NStar, Record, Setting, n_star};

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
}

/// All arms of one mark in one setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    pub(crate) student: Vec<Dot>,
    pub(crate) control: Vec<Dot>,
    pub(crate) rival: Vec<Dot>,
}

/// One mark, under one account's key where each has its own.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Its name, and its account.
    pub(crate) mark: String,
    /// What the effect is, if the records say.
    pub(crate) effect_unit: Option<String>,
    /// By curve number, as [`Panels::labels`].
    pub(crate) curves: Vec<Curve>,
    pub(crate) stars: Vec<Option<NStar>>,
    pub(crate) base: Option<Dot>,
    pub(crate) stranger: Option<Dot>,
    /// Levels of the teacher; with the number of its curve where there are several.
    pub(crate) teacher: Vec<(Option<usize>, Dot)>,
}

/// Everything a figure of small multiples shows.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    pub(crate) panels: Vec<Panel>,
    /// Names of the curves, shared by all panels.
    pub(crate) labels: Vec<String>,
    pub(crate) budgets: Budgets,
    pub(crate) seeds: usize,
}

/// A value and, if it has one, its interval.
pub(crate) type Measured = (f64, Option<(f64, f64)>);

/// What is drawn of a record, if it has it.
pub(crate) type Value = fn(&Record) -> Option<Measured>;

/// What has a panel of its own: a mark, under one account's key.
type Name<'a> = (Option<Family>, &'a str, Option<u32>);

impl Panels {
    /// # Errors
    /// When no student has a value to draw.
    pub(crate) fn of(records: &[Record], value: Value) -> anyhow::Result<Self> {
        let marks: Vec<&Record> = records.iter().filter(|r| r.kind == Kind::Mark && r.mark.is_some()).collect();
        let drawn = |r: &&&Record| r.arm == Arm::Student && !r.is_negative() && r.budget_queries.is_some() && value(r).is_some();
        let students: Vec<&Record> = marks.iter().filter(drawn).copied().collect();
        ensure!(!students.is_empty(), "no student has a measured mark to draw");
        let keys: Vec<Setting> = students.iter().map(|r| r.setting()).collect::<BTreeSet<_>>().into_iter().collect();
        let stars = n_star(records);
        let names: BTreeSet<Name<'_>> =
            students.iter().map(|r| (r.family, r.mark.as_deref().unwrap_or_default(), r.account)).collect();
        let panels = names.into_iter().map(|(_, mark, account)| {
            let of_mark = |r: &&Record| r.mark.as_deref() == Some(mark) && r.account == account;
            let records: Vec<&Record> = marks.iter().copied().filter(of_mark).collect();
            let stars: Vec<&NStar> = stars.iter().filter(|s| s.mark == mark && s.account == account).collect();
            panel(with_account(mark, account), &records, &keys, &stars, value)
        });
        let labels = Names::of(&keys);
        Ok(Self {
            panels: panels.collect(),
            labels: keys.iter().map(|key| labels.curve(key)).collect(),
            budgets: Budgets::new(students.iter().filter_map(|r| r.budget_queries).collect()),
            seeds: students.iter().map(|r| r.seed).collect::<BTreeSet<_>>().len(),
        })
    }

    /// Every value drawn, intervals and ranges included, the teacher's apart.
    pub(crate) fn without_teacher(panel: &Panel) -> impl Iterator<Item = f64> {
        let curves = panel.curves.iter().flat_map(|c| c.student.iter().chain(&c.control).chain(&c.rival));
        let dots = curves.chain(&panel.base).chain(&panel.stranger);
        dots.flat_map(|d| {
            let (low, high) = d.interval.unwrap_or(d.range);
            [d.value, d.range.0, d.range.1, low, high]
        })
    }
}

fn panel(mark: String, records: &[&Record], keys: &[Setting], stars: &[&NStar], value: Value) -> Panel {
    let of = |arm: Arm| records.iter().copied().filter(move |r| r.arm == arm && r.innocent != Some(true));
    let curve = |key: &Setting| {
        let along = |arm: Arm| dots(of(arm).filter(|r| r.has(key)), value);
        Curve { student: along(Arm::Student), control: along(Arm::Control), rival: along(Arm::Rival) }
    };
    let star = |key: &Setting| stars.iter().find(|star| star.setting == *key).map(|star| (*star).clone());
    let lone = |arm: Arm| dots(of(arm), value).into_iter().next();
    Panel {
        mark,
        effect_unit: records.iter().find_map(|r| r.effect_unit.clone()),
        curves: keys.iter().map(curve).collect(),
        stars: keys.iter().map(star).collect(),
        base: lone(Arm::Base),
        stranger: lone(Arm::Stranger),
        teacher: teachers(&of(Arm::Teacher).collect::<Vec<_>>(), keys, value),
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

fn dots<'a>(records: impl Iterator<Item = &'a Record>, value: Value) -> Vec<Dot> {
    let mut by_budget: BTreeMap<u64, Vec<Measured>> = BTreeMap::new();
    for record in records {
        if let Some(value) = value(record) {
            by_budget.entry(record.budget_queries.unwrap_or(0)).or_default().push(value);
        }
    }
    let dot = |(budget, values): (u64, Vec<Measured>)| {
        let middles: Vec<f64> = values.iter().map(|v| v.0).collect();
        let ends: Vec<(f64, f64)> = values.iter().filter_map(|v| v.1).collect();
        let end = |pick: fn(&(f64, f64)) -> f64| median(&ends.iter().map(pick).collect::<Vec<_>>());
        Some(Dot {
            budget,
            value: median(&middles)?,
            range: (
                middles.iter().copied().fold(f64::INFINITY, f64::min),
                middles.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
            interval: end(|e| e.0).zip(end(|e| e.1)),
        })
    };
    by_budget.into_iter().filter_map(dot).collect()
}
