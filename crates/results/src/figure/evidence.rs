//! Panels of evidence: -log10 p, with the levels it is held against.

use super::arms::{Manner, arms, many_teachers, teacher};
use super::canvas::{Canvas, Marker, Point, Stroke};
use super::palette::{INK, SOFT, pale, series};
use super::place::Place;
use super::scale::Axis;
use super::series::{Count, Panel};

pub(crate) const LEVEL_DASH: (f64, f64) = (2.0, 2.5);
pub(crate) const HOLM_DASH: (f64, f64) = (5.0, 2.0);
const COUNT_WIDTH: f64 = 1.6;
const COUNT_MARKER: f64 = 2.8;

/// What evidence is held against.
#[derive(Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) alpha: f64,
    /// Tests of one student over which Holm's correction runs.
    pub(crate) tests: usize,
}

impl Levels {
    /// Evidence that Holm's first, strictest step asks for.
    pub(crate) fn holm(self) -> f64 {
        libm::log10(self.tests.max(1) as f64 / self.alpha)
    }
}

pub(crate) fn paint(canvas: &Canvas<'_>, place: &Place<'_>, panel: &Panel, axis: &Axis, levels: Levels) -> anyhow::Result<()> {
    place.shade(canvas)?;
    let scale = if axis.is_compressed() { " (asinh)" } else { "" };
    place.frame.draw(canvas, axis, &format!("evidence, \u{2212}log\u{2081}\u{2080} p{scale}"))?;
    let (left, right) = (place.frame.left, place.frame.right);
    let y = |value: f64| place.frame.y(axis, value);
    let mut labels = Vec::new();
    let mut level = |at: f64, dash, label: String| {
        labels.push((at, label, INK));
        canvas.line(&[(left, at), (right, at)], Stroke { color: INK, width: 1.0, dash: Some(dash) })
    };
    level(y(-libm::log10(levels.alpha)), LEVEL_DASH, format!("\u{3b1} = {}", levels.alpha))?;
    if levels.tests > 1 {
        level(y(levels.holm()), HOLM_DASH, format!("\u{3b1}/{} (Holm)", levels.tests))?;
    }
    let chart = &panel.evidence;
    let many = many_teachers(chart);
    for (curve, dot) in &chart.teacher {
        labels.extend(teacher(canvas, place, many, *curve, y(dot.value))?);
    }
    let highest = chart.teacher.iter().map(|(_, dot)| dot.value).fold(0.0, f64::max);
    labels.extend(many.then(|| (y(highest), "teachers".to_string(), SOFT)));
    place.frame.side_labels(canvas, labels)?;
    for (i, count) in panel.counts.iter().enumerate() {
        paint_count(canvas, place, i, count, &y)?;
    }
    arms(canvas, place, chart, Manner { apart: false }, &y)?;
    for (i, curve) in chart.curves.iter().enumerate() {
        if let Some(median) = panel.stars.get(i).and_then(Option::as_ref).and_then(|star| star.median())
            && let Some(dot) = curve.student.iter().find(|dot| dot.budget == median)
        {
            canvas.marker((place.x(dot.budget) + place.shift(i), y(dot.value)), Marker::Ring, 7.5, series(i).0, false)?;
        }
    }
    Ok(())
}

/// The older test's evidence (medians), pale behind the test's own.
fn paint_count(canvas: &Canvas<'_>, place: &Place<'_>, i: usize, count: &Count, y: &dyn Fn(f64) -> f64) -> anyhow::Result<()> {
    let (color, marker) = (pale(series(i).0), series(i).1);
    let points: Vec<Point> = count.dots.iter().map(|dot| (place.x(dot.budget) + place.shift(i), y(dot.value))).collect();
    if points.len() > 1 {
        canvas.line(&points, Stroke { color, width: COUNT_WIDTH, dash: None })?;
    }
    points.into_iter().try_for_each(|at| canvas.marker(at, marker, COUNT_MARKER, color, true))
}
