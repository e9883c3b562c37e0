//! Panels of evidence: -log10 p, with the levels it is held against.

use super::arms::{Manner, arms, many_teachers, teacher};
use super::canvas::{Canvas, Marker, Stroke};
use super::palette::{INK, SOFT, series};
use super::place::Place;
use super::scale::Axis;
use super::series::Panel;

const LEVEL_DASH: (f64, f64) = (2.0, 2.5);
const HOLM_DASH: (f64, f64) = (5.0, 2.0);

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
        (self.tests.max(1) as f64 / self.alpha).log10()
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
    level(y(-levels.alpha.log10()), LEVEL_DASH, format!("\u{3b1} = {}", levels.alpha))?;
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
