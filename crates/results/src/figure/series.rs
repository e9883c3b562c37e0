//! From records to what the panels draw: medians over seeds with their range.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use super::scale::Budgets;
use crate::words::median;
use crate::{Arm, Family, Kind, NStar, Record, n_star};

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

/// All arms of one mark at one (surface, loss, compute).
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    pub(crate) student: Vec<Dot>,
    pub(crate) control: Vec<Dot>,
    pub(crate) rival: Vec<Dot>,
}

/// One mark.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) mark: String,
    /// What the effect is, if the records say.
    pub(crate) effect_unit: Option<String>,
    /// By curve number, as [`Panels::labels`].
    pub(crate) curves: Vec<Curve>,
    pub(crate) stars: Vec<Option<NStar>>,
    pub(crate) base: Option<Dot>,
    pub(crate) stranger: Option<Dot>,
    /// Level of the teacher; by curve number where it was measured by surface.
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

type CurveKey<'a> = (&'a str, &'a str, &'a str);

fn curve_key(record: &Record) -> CurveKey<'_> {
    (&record.surface, &record.loss, &record.compute)
}

impl Panels {
    /// # Errors
    /// When no student has a value to draw.
    pub(crate) fn of(records: &[Record], value: Value) -> anyhow::Result<Self> {
        let marks: Vec<&Record> = records.iter().filter(|r| r.kind == Kind::Mark && r.mark.is_some()).collect();
        let drawn = |r: &&&Record| r.arm == Arm::Student && r.budget_queries.is_some() && value(r).is_some();
        let students: Vec<&Record> = marks.iter().filter(drawn).copied().collect();
        ensure!(!students.is_empty(), "no student has a measured mark to draw");
        let keys: Vec<CurveKey<'_>> = students.iter().map(|r| curve_key(r)).collect::<BTreeSet<_>>().into_iter().collect();
        let stars = n_star(records);
        let names: BTreeSet<(Option<Family>, &str)> =
            students.iter().map(|r| (r.family, r.mark.as_deref().unwrap_or_default())).collect();
        let panels = names.into_iter().map(|(_, mark)| {
            let of_mark: Vec<&Record> = marks.iter().copied().filter(|r| r.mark.as_deref() == Some(mark)).collect();
            panel(mark, &of_mark, &keys, &stars, value)
        });
        Ok(Self {
            panels: panels.collect(),
            labels: labels(&keys),
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

fn panel(mark: &str, records: &[&Record], keys: &[CurveKey<'_>], stars: &[NStar], value: Value) -> Panel {
    let of = |arm: Arm| records.iter().copied().filter(move |r| r.arm == arm);
    let curve = |key: &CurveKey<'_>| {
        let along = |arm: Arm| dots(of(arm).filter(|r| curve_key(r) == *key), value);
        Curve { student: along(Arm::Student), control: along(Arm::Control), rival: along(Arm::Rival) }
    };
    let star = |key: &CurveKey<'_>| {
        let same = |s: &&NStar| s.mark == mark && (s.surface.as_str(), s.loss.as_str(), s.compute.as_str()) == *key;
        stars.iter().find(same).cloned()
    };
    let lone = |arm: Arm| dots(of(arm), value).into_iter().next();
    let surfaces: BTreeSet<&str> = of(Arm::Teacher).map(|r| r.surface.as_str()).collect();
    let teacher = surfaces.iter().filter_map(|surface| {
        let dot = dots(of(Arm::Teacher).filter(|r| r.surface == *surface), value).into_iter().next()?;
        let curve = if surfaces.len() > 1 { keys.iter().position(|key| key.0 == *surface) } else { None };
        Some((curve, dot))
    });
    Panel {
        mark: mark.to_string(),
        effect_unit: records.iter().find_map(|r| r.effect_unit.clone()),
        curves: keys.iter().map(curve).collect(),
        stars: keys.iter().map(star).collect(),
        base: lone(Arm::Base),
        stranger: lone(Arm::Stranger),
        teacher: teacher.collect(),
    }
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

/// Only what tells curves apart is named.
fn labels(keys: &[CurveKey<'_>]) -> Vec<String> {
    let several = |pick: fn(&CurveKey<'_>) -> String| keys.iter().map(pick).collect::<BTreeSet<_>>().len() > 1;
    let same_surface_twice = keys.iter().any(|a| keys.iter().any(|b| a.0 == b.0 && a.1 != b.1));
    let computes = several(|key| key.2.to_string());
    let label = |(surface, loss, compute): &CurveKey<'_>| {
        let mut label = surface.to_string();
        if same_surface_twice {
            label.push_str(&format!(", {loss}"));
        }
        if computes {
            label.push_str(&format!(", {compute}"));
        }
        label
    };
    keys.iter().map(label).collect()
}
