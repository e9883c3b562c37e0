//! The arms of one panel: lines, markers, bands, whiskers and signs, whatever the quantity.

use plotters::prelude::RGBColor;

use super::canvas::{Canvas, Marker, Point, Stroke};
use super::chart::{Chart, Dot};
use super::layout::SideLabel;
use super::palette::{ALARM, SOFT, dash, series, text};
use super::place::Place;

pub(crate) const DASH: (f64, f64) = (5.0, 3.5);
const APART_DASHES: [(f64, f64); 3] = [(1.5, 2.0), (7.0, 2.0), (3.0, 1.5)];
const TEACHER_DASH: (f64, f64) = (9.0, 3.0);
/// Half the width of a band that has one budget only.
const LONE_BAND: f64 = 6.0;

/// Dashes of the students without the `i`-th of the marks that were set apart.
pub(crate) fn apart_dash(i: usize) -> (f64, f64) {
    APART_DASHES[i % APART_DASHES.len()]
}

/// How students, controls and rivals are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Arms of one budget side by side, with whiskers; else on top of each other.
    pub(crate) apart: bool,
}

/// Draws every arm of a chart: bands first, then lines and markers, signs last.
pub(crate) fn arms(
    canvas: &Canvas<'_>,
    place: &Place<'_>,
    chart: &Chart,
    manner: Manner,
    y: &dyn Fn(f64) -> f64,
) -> anyhow::Result<()> {
    let x = |i: usize, arm: usize, dot: &Dot| {
        place.x(dot.budget)
            + match (manner.apart, arm) {
                (true, _) => place.dodge(i, arm),
                (false, 2) => place.rival_shift(i),
                (false, _) => place.shift(i),
            }
    };
    for (i, curve) in chart.curves.iter().enumerate() {
        for (arm, dots) in [(1, &curve.control), (0, &curve.student)] {
            band(canvas, dots, series(i).0, &|dot| x(i, arm, dot), y)?;
        }
    }
    let mut signs: Vec<Point> = Vec::new();
    for (i, curve) in chart.curves.iter().enumerate() {
        let (color, marker) = series(i);
        for (arm, dots, dash) in [(1, &curve.control, Some(DASH)), (0, &curve.student, dash(i)), (2, &curve.rival, None)] {
            let points: Vec<Point> = dots.iter().map(|dot| (x(i, arm, dot), y(dot.value))).collect();
            if points.len() > 1 && arm != 2 {
                canvas.line(&points, Stroke { color, width: if arm == 0 { 2.0 } else { 1.2 }, dash })?;
            }
            for (dot, &at) in dots.iter().zip(&points) {
                let ends = if manner.apart { dot.interval } else { None }.or((arm == 2).then_some(dot.range));
                if let Some((low, high)) = ends.filter(|_| arm == 0 || !place.crowded()) {
                    whisker(canvas, at.0, y(low), y(high), color)?;
                }
                let marker = if arm == 2 { Marker::Cross } else { marker };
                canvas.marker(at, marker, 3.8, color, arm == 0)?;
                if dot.positive {
                    plus(canvas, at, color)?;
                }
                signs.extend(dot.alarm.then_some(at));
            }
        }
        for (k, dots) in curve.apart.iter().enumerate() {
            let points: Vec<Point> = dots.iter().map(|dot| (x(i, 3 + k, dot), y(dot.value))).collect();
            if points.len() > 1 {
                canvas.line(&points, Stroke { color, width: 0.9, dash: Some(apart_dash(k)) })?;
            }
            for (dot, &at) in dots.iter().zip(&points) {
                canvas.marker(at, marker, 2.6, color, false)?;
                signs.extend(dot.alarm.then_some(at));
            }
        }
    }
    let lone = [(&chart.base, place.base_x(), Marker::Diamond), (&chart.stranger, place.stranger_x(), Marker::TriangleDown)];
    for (dot, x, marker) in lone {
        if let Some(dot) = dot {
            let (low, high) = dot.interval.unwrap_or(dot.range);
            whisker(canvas, x, y(low), y(high), SOFT)?;
            canvas.marker((x, y(dot.value)), marker, 4.5, SOFT, false)?;
            signs.extend(dot.alarm.then_some((x, y(dot.value))));
        }
    }
    signs.into_iter().try_for_each(|at| alarm(canvas, (at.0, (at.1 - 12.0).max(place.frame.top + 6.0))))
}

/// The sign of a false positive.
pub(crate) fn alarm(canvas: &Canvas<'_>, at: Point) -> anyhow::Result<()> {
    canvas.marker(at, Marker::Circle, 5.6, ALARM, true)?;
    canvas.text(at, "!", text(10.0).bold().colored(RGBColor(255, 255, 255)).centered())
}

/// The sign of a control that is a positive, on its marker.
pub(crate) fn plus(canvas: &Canvas<'_>, (x, y): Point, color: RGBColor) -> anyhow::Result<()> {
    let stroke = Stroke { color, width: 1.2, dash: None };
    canvas.line(&[(x - 2.4, y), (x + 2.4, y)], stroke)?;
    canvas.line(&[(x, y - 2.4), (x, y + 2.4)], stroke)
}

/// From the smallest to the largest over seeds.
fn band(
    canvas: &Canvas<'_>,
    dots: &[Dot],
    color: RGBColor,
    x: &dyn Fn(&Dot) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> anyhow::Result<()> {
    if dots.iter().all(|d| d.range.0 == d.range.1) {
        return Ok(());
    }
    if let [dot] = dots {
        let (left, right) = (x(dot) - LONE_BAND, x(dot) + LONE_BAND);
        return canvas.rectangle((left, y(dot.range.1)), (right, y(dot.range.0)), color, 0.2);
    }
    let upper = dots.iter().map(|d| (x(d), y(d.range.1)));
    let lower = dots.iter().rev().map(|d| (x(d), y(d.range.0)));
    canvas.area(&upper.chain(lower).collect::<Vec<_>>(), color, 0.2)
}

pub(crate) fn whisker(canvas: &Canvas<'_>, x: f64, low: f64, high: f64, color: RGBColor) -> anyhow::Result<()> {
    let stroke = Stroke { color, width: 1.1, dash: None };
    if (low - high).abs() < 0.5 {
        return Ok(());
    }
    canvas.line(&[(x, low), (x, high)], stroke)?;
    [low, high].into_iter().try_for_each(|end| canvas.line(&[(x - 2.2, end), (x + 2.2, end)], stroke))
}

/// Whether the teacher has more levels than can each be written beside its line.
pub(crate) fn many_teachers(chart: &Chart) -> bool {
    chart.teacher.len() > 3
}

/// The line of a teacher's level, and its label. Many levels wear the markers of their curves instead of labels.
pub(crate) fn teacher(
    canvas: &Canvas<'_>,
    place: &Place<'_>,
    many: bool,
    curve: Option<usize>,
    y: f64,
) -> anyhow::Result<Option<SideLabel>> {
    let (left, right) = (place.frame.left, place.frame.right);
    let color = curve.map_or(SOFT, |i| series(i).0);
    let line = |width| canvas.line(&[(left, y), (right, y)], Stroke { color, width, dash: Some(TEACHER_DASH) });
    if !many {
        line(1.2)?;
        return Ok(Some((y, "teacher".to_string(), color)));
    }
    line(0.7)?;
    if let Some(i) = curve {
        canvas.marker((right, y), series(i).1, 3.2, color, false)?;
    }
    Ok(None)
}
