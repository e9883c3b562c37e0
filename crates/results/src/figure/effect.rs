//! Panels of effect: per scored unit, with its 95 % interval, which does not grow with the audit.

use super::arms::{Manner, arms, many_teachers, teacher};
use super::canvas::{Canvas, Stroke};
use super::chart::{Chart, Dot};
use super::palette::{INK, SOFT, series};
use super::place::Place;
use super::scale::Axis;
use super::series::Panel;
use crate::words::number;

/// Room for the teacher: farther above the rest than this many times the rest's span, it is written at the edge instead of
/// flattening everything else.
const TEACHER_REACH: f64 = 1.2;

fn arrow(up: bool) -> char {
    if up { '\u{2191}' } else { '\u{2193}' }
}

/// The scale of a chart with `mark` on it, and what is left of the teachers' levels: those within reach are on the scale.
pub(crate) fn scale(chart: &Chart, mark: Option<f64>) -> (Axis, impl Fn(&Dot) -> bool, f64) {
    let (low, high) =
        chart.values().chain(mark).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h): (f64, f64), v| (l.min(v), h.max(v)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let span = (high - low).max(1e-9);
    let near = move |dot: &Dot| dot.value <= high + TEACHER_REACH * span && dot.value >= low - TEACHER_REACH * span;
    let teachers = chart.teacher.iter().map(|(_, dot)| dot).filter(|dot| near(dot)).map(|dot| dot.value);
    let (least, most) = teachers.fold((low, high), |(l, h), v| (l.min(v), h.max(v)));
    let pad = 0.06 * (most - least).max(1e-9);
    (Axis::linear(least - pad, most + pad), near, high)
}

pub(crate) fn paint(canvas: &Canvas<'_>, place: &Place<'_>, panel: &Panel) -> anyhow::Result<()> {
    let chart = &panel.effect;
    let (axis, near, high) = scale(chart, Some(0.0));
    place.shade(canvas)?;
    place.frame.draw(canvas, &axis, "effect")?;
    let (left, right) = (place.frame.left, place.frame.right);
    let y = |value: f64| place.frame.y(&axis, value);
    canvas.line(&[(left, y(0.0)), (right, y(0.0))], Stroke { color: INK, width: 1.0, dash: Some((2.0, 2.5)) })?;
    let mut labels = vec![(y(0.0), "no effect".to_string(), INK)];
    let many = many_teachers(chart);
    let mut beyond = Vec::new();
    for (curve, dot) in &chart.teacher {
        let at = y(dot.value);
        if near(dot) {
            labels.extend(teacher(canvas, place, many, *curve, at)?);
        } else if many {
            beyond.push(dot.value);
        } else {
            let (arrow, color) = (arrow(dot.value > high), curve.map_or(SOFT, |i| series(i).0));
            labels.push((at, format!("{arrow} teacher"), color));
            labels.push((at + 1.0, format!("   {}", number(dot.value)), color));
        }
    }
    if many {
        let shown = chart.teacher.iter().map(|(_, dot)| dot).filter(|dot| near(dot)).map(|dot| dot.value).reduce(f64::max);
        labels.extend(shown.map(|value| (y(value), "teachers".to_string(), SOFT)));
        for above in [true, false] {
            let there: Vec<f64> = beyond.iter().copied().filter(|value| (*value > high) == above).collect();
            let ends = [f64::min, f64::max].map(|end| there.iter().copied().reduce(end));
            if let [Some(least), Some(most)] = ends {
                let at = y(most);
                labels.push((at, format!("{} {} teachers", arrow(above), there.len()), SOFT));
                labels.push((at + 1.0, format!("   {} to", number(least)), SOFT));
                labels.push((at + 2.0, format!("   {}", number(most)), SOFT));
            }
        }
    }
    place.frame.side_labels(canvas, labels)?;
    arms(canvas, place, chart, Manner { apart: true }, &y)
}
