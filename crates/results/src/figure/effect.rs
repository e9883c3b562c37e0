use super::canvas::{Canvas, Marker, Stroke};
use super::layout::Frame;
use super::multiples::{Multiples, Place};
use super::palette::{COLORS, INK, SOFT, dash, series};
use super::picture::Figure;
use super::scale::Axis;
use super::series::{Dot, Panels};
use super::survival::{self, DASH, legend, loners, whisker};
use crate::words::number;
use crate::{Caption, Record};

/// Room for the teacher: farther above the rest than this many times the rest's span, it is written at the edge instead of
/// flattening everything else.
const TEACHER_REACH: f64 = 1.2;

/// Effect per scored unit, with its 95 % interval, against queries: panels, colours and markers as in
/// [`survival_figure`](crate::survival_figure). Unlike evidence it does not grow with the audit. Each panel has its own
/// scale. More curves than colours: whiskers of students only. Several seeds: medians of effect and interval ends.
///
/// # Errors
/// When no student has an effect.
pub fn effect_figure(records: &[Record], caption: &Caption) -> anyhow::Result<Figure> {
    let mut panels = Panels::of(records, |r| r.effect.map(|effect| (effect, r.effect_low.zip(r.effect_high))))?;
    for panel in &mut panels.panels {
        // N* belongs to the other figure
        panel.stars.fill(None);
    }
    let mut phrases = caption.lines(records);
    if panels.seeds > 1 {
        phrases.push("medians over seeds".to_string());
        // there is no band here
        panels.seeds = 1;
    }
    let crowded = panels.labels.len() > COLORS;
    phrases.push(if crowded { "whiskers: 95 % interval of students" } else { "whiskers: 95 % interval" }.to_string());
    let figure = Multiples::new(&panels, &caption.title, &phrases, |width| legend(&panels, width));
    let svg = figure.draw(&caption.title, &phrases, paint)?;
    Ok(Figure { svg })
}

fn arrow(up: bool) -> char {
    if up { '\u{2191}' } else { '\u{2193}' }
}

fn paint(canvas: &Canvas<'_>, place: &Place<'_>) -> anyhow::Result<()> {
    let values: Vec<f64> = Panels::without_teacher(place.panel).chain([0.0]).collect();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let span = (high - low).max(1e-9);
    let teacher = |dot: &Dot| dot.value <= high + TEACHER_REACH * span && dot.value >= low - TEACHER_REACH * span;
    let shown: Vec<f64> =
        place.panel.teacher.iter().map(|(_, dot)| dot).filter(|dot| teacher(dot)).map(|dot| dot.value).collect();
    let (low, high) = shown.iter().fold((low, high), |(l, h), &v| (l.min(v), h.max(v)));
    let pad = 0.06 * (high - low).max(1e-9);
    let axis = Axis::linear(low - pad, high + pad);

    place.shade(canvas)?;
    let title = place.panel.effect_unit.as_deref().unwrap_or("effect per unit");
    place.frame.draw(canvas, &axis, title)?;
    place.x_axis(canvas)?;
    let Frame { left, right, .. } = place.frame;
    let y = |value: f64| place.frame.y(&axis, value);
    canvas.line(&[(left, y(0.0)), (right, y(0.0))], Stroke { color: INK, width: 1.1, dash: Some((2.0, 2.5)) })?;
    let mut labels = vec![(y(0.0), "no effect".to_string(), INK)];
    let mut beyond = Vec::new();
    for (curve, dot) in &place.panel.teacher {
        let at = y(dot.value);
        if teacher(dot) {
            labels.extend(survival::teacher(canvas, place, *curve, at)?);
        } else if place.many_teachers() {
            beyond.push(dot.value);
        } else {
            let (arrow, color) = (arrow(dot.value > high), curve.map_or(SOFT, |i| series(i).0));
            labels.push((at, format!("{arrow} teacher"), color));
            labels.push((at + 1.0, format!("   {}", number(dot.value)), color));
        }
    }
    if place.many_teachers() {
        let shown = shown.iter().copied().reduce(f64::max);
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

    for (i, curve) in place.panel.curves.iter().enumerate() {
        let (color, marker) = series(i);
        let arms = [(&curve.student, dash(i), marker), (&curve.control, Some(DASH), marker), (&curve.rival, None, Marker::Cross)];
        for (arm, (dots, dash, marker)) in arms.into_iter().enumerate() {
            let at = |dot: &Dot| (place.x(dot.budget) + place.dodge(i, arm), y(dot.value));
            let points: Vec<_> = dots.iter().map(at).collect();
            if points.len() > 1 && marker != Marker::Cross {
                canvas.line(&points, Stroke { color, width: if arm == 0 { 1.8 } else { 1.1 }, dash })?;
            }
            for (dot, &point) in dots.iter().zip(&points) {
                let (low, high) = dot.interval.unwrap_or(dot.range);
                if arm == 0 || !place.crowded() {
                    whisker(canvas, point.0, y(low), y(high), color)?;
                }
                canvas.marker(point, marker, 3.8, color, arm == 0)?;
            }
        }
    }
    loners(canvas, place, &y)
}
