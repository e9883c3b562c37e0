//! Panels of worth: what the students of each budget can do, beside their base and the teacher.

use super::arms::{Manner, arms, many_teachers, teacher};
use super::canvas::{Canvas, Stroke};
use super::effect::scale;
use super::palette::{INK, SOFT};
use super::place::Place;
use super::series::WorthPanel;

pub(crate) fn paint(canvas: &Canvas<'_>, place: &Place<'_>, worth: &WorthPanel) -> anyhow::Result<()> {
    let chart = &worth.chart;
    let (axis, near, _) = scale(chart, None);
    place.shade(canvas)?;
    place.frame.draw(canvas, &axis, "worth")?;
    let y = |value: f64| place.frame.y(&axis, value);
    let mut labels = Vec::new();
    if let Some(base) = &chart.base {
        let at = y(base.value);
        canvas.line(
            &[(place.frame.left, at), (place.frame.right, at)],
            Stroke { color: INK, width: 1.0, dash: Some((2.0, 2.5)) },
        )?;
        labels.push((at, "base".to_string(), INK));
    }
    let many = many_teachers(chart);
    for (curve, dot) in chart.teacher.iter().filter(|(_, dot)| near(dot)) {
        labels.extend(teacher(canvas, place, many, *curve, y(dot.value))?);
    }
    let highest = chart.teacher.iter().map(|(_, dot)| dot.value).filter(|_| many).reduce(f64::max);
    labels.extend(highest.map(|value| (y(value), "teachers".to_string(), SOFT)));
    place.frame.side_labels(canvas, labels)?;
    arms(canvas, place, chart, Manner { apart: false }, &y)
}
