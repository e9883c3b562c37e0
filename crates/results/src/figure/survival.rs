use plotters::prelude::RGBColor;

use super::canvas::{Canvas, Marker, Stroke};
use super::layout::{BODY, Legend, SMALL, Sample, SideLabel};
use super::multiples::{Multiples, Place, STAR_HEADING};
use super::palette::{INK, SOFT, dash, series, text};
use super::picture::Figure;
use super::scale::Axis;
use super::series::{Curve, Dot, Panel, Panels};
use crate::{Caption, Record};

pub(crate) const DASH: (f64, f64) = (5.0, 3.5);
const TEACHER_DASH: (f64, f64) = (9.0, 3.0);
const ALPHA_DASH: (f64, f64) = (2.0, 2.5);

/// Evidence (-log10 p) against queries: one panel per mark, one colour per setting (surface, loss, grid point), students solid and filled, their
/// controls dashed and hollow; rival, base and stranger at their place; alpha and the teacher's level as labelled lines; N*
/// ringed and written out. Several seeds: median, with a band from the smallest to the largest.
///
/// The scale is shared by all panels, and turns from linear to logarithmic when the evidence is large. `records` must have
/// been judged.
///
/// # Errors
/// When no student has a p-value.
pub fn survival_figure(records: &[Record], caption: &Caption, alpha: f64) -> anyhow::Result<Figure> {
    let panels = Panels::of(records, |record| record.evidence().map(|evidence| (evidence, None)))?;
    let level = |panel: &Panel| {
        let teacher = panel.teacher.iter().map(|(_, dot)| dot.value).fold(0.0, f64::max);
        Panels::without_teacher(panel).fold(teacher, f64::max)
    };
    let axis = Axis::evidence(panels.panels.iter().map(level).fold(-alpha.log10(), f64::max));
    let phrases = caption.lines(records);
    let figure = Multiples::new(&panels, &caption.title, &phrases, |width| legend(&panels, width));
    let svg = figure.draw(&caption.title, &phrases, |canvas, place| paint(canvas, place, &axis, alpha))?;
    Ok(Figure { svg })
}

fn paint(canvas: &Canvas<'_>, place: &Place<'_>, axis: &Axis, alpha: f64) -> anyhow::Result<()> {
    place.shade(canvas)?;
    let scale = if axis.is_compressed() { " (asinh scale)" } else { "" };
    let title = format!("evidence, \u{2212}log\u{2081}\u{2080} p{scale}");
    place.frame.draw(canvas, axis, if place.first_column { &title } else { "" })?;
    place.x_axis(canvas)?;

    let (left, right) = (place.frame.left, place.frame.right);
    let threshold = place.frame.y(axis, -alpha.log10());
    canvas.line(&[(left, threshold), (right, threshold)], Stroke { color: INK, width: 1.1, dash: Some(ALPHA_DASH) })?;
    let mut labels = vec![(threshold, format!("\u{3b1} = {alpha}"), INK)];
    for (curve, dot) in &place.panel.teacher {
        labels.extend(teacher(canvas, place, *curve, place.frame.y(axis, dot.value))?);
    }
    let highest = place.panel.teacher.iter().map(|(_, dot)| dot.value).fold(0.0, f64::max);
    labels.extend(place.many_teachers().then(|| (place.frame.y(axis, highest), "teachers".to_string(), SOFT)));
    place.frame.side_labels(canvas, labels)?;

    let y = |value: f64| place.frame.y(axis, value);
    for (i, curve) in place.panel.curves.iter().enumerate() {
        let (color, _) = series(i);
        for dots in [&curve.control, &curve.student] {
            band(canvas, place, dots, color, &y)?;
        }
    }
    for (i, curve) in place.panel.curves.iter().enumerate() {
        arms(canvas, place, i, curve, &y)?;
    }
    loners(canvas, place, &y)?;
    stars(canvas, place)
}

/// The line of a teacher's level, and its label. Many levels wear the markers of their curves instead of labels.
pub(crate) fn teacher(canvas: &Canvas<'_>, place: &Place<'_>, curve: Option<usize>, y: f64) -> anyhow::Result<Option<SideLabel>> {
    let (left, right) = (place.frame.left, place.frame.right);
    let color = curve.map_or(SOFT, |i| series(i).0);
    let line = |width| canvas.line(&[(left, y), (right, y)], Stroke { color, width, dash: Some(TEACHER_DASH) });
    if !place.many_teachers() {
        line(1.2)?;
        return Ok(Some((y, "teacher".to_string(), color)));
    }
    line(0.7)?;
    if let Some(i) = curve {
        canvas.marker((right, y), series(i).1, 3.2, color, false)?;
    }
    Ok(None)
}

fn band(canvas: &Canvas<'_>, place: &Place<'_>, dots: &[Dot], color: RGBColor, y: &dyn Fn(f64) -> f64) -> anyhow::Result<()> {
    if dots.len() < 2 || dots.iter().all(|d| d.range.0 == d.range.1) {
        return Ok(());
    }
    let upper = dots.iter().map(|d| (place.x(d.budget), y(d.range.1)));
    let lower = dots.iter().rev().map(|d| (place.x(d.budget), y(d.range.0)));
    canvas.area(&upper.chain(lower).collect::<Vec<_>>(), color, 0.16)
}

fn arms(canvas: &Canvas<'_>, place: &Place<'_>, i: usize, curve: &Curve, y: &dyn Fn(f64) -> f64) -> anyhow::Result<()> {
    let (color, marker) = series(i);
    let at = |dot: &Dot| (place.x(dot.budget) + place.shift(i), y(dot.value));
    for (dots, dash, filled) in [(&curve.control, Some(DASH), false), (&curve.student, dash(i), true)] {
        let points: Vec<_> = dots.iter().map(at).collect();
        if points.len() > 1 {
            canvas.line(&points, Stroke { color, width: if filled { 2.2 } else { 1.4 }, dash })?;
        }
        points.iter().try_for_each(|&point| canvas.marker(point, marker, 4.0, color, filled))?;
    }
    for dot in &curve.rival {
        canvas.marker((place.x(dot.budget) + place.rival_shift(i), y(dot.value)), Marker::Cross, 4.5, color, false)?;
    }
    if let Some(median) = place.panel.stars[i].as_ref().and_then(|star| star.median())
        && let Some(dot) = curve.student.iter().find(|dot| dot.budget == median)
    {
        canvas.marker(at(dot), Marker::Ring, 8.0, color, false)?;
    }
    Ok(())
}

/// Arms that were not distilled.
pub(crate) fn loners(canvas: &Canvas<'_>, place: &Place<'_>, y: &dyn Fn(f64) -> f64) -> anyhow::Result<()> {
    let lone =
        [(&place.panel.base, place.base_x(), Marker::Diamond), (&place.panel.stranger, place.stranger_x(), Marker::TriangleDown)];
    for (dot, x, marker) in lone {
        if let Some(dot) = dot {
            let (low, high) = dot.interval.unwrap_or(dot.range);
            whisker(canvas, x, y(low), y(high), SOFT)?;
            canvas.marker((x, y(dot.value)), marker, 4.5, SOFT, false)?;
        }
    }
    Ok(())
}

pub(crate) fn whisker(canvas: &Canvas<'_>, x: f64, low: f64, high: f64, color: RGBColor) -> anyhow::Result<()> {
    let stroke = Stroke { color, width: 1.2, dash: None };
    if (low - high).abs() < 0.5 {
        return Ok(());
    }
    canvas.line(&[(x, low), (x, high)], stroke)?;
    [low, high].into_iter().try_for_each(|end| canvas.line(&[(x - 2.5, end), (x + 2.5, end)], stroke))
}

/// N* of each curve, in words, under the panel's title.
fn stars(canvas: &Canvas<'_>, place: &Place<'_>) -> anyhow::Result<()> {
    let stars = place.stars();
    let Some(first) = stars.first() else { return Ok(()) };
    canvas.text((place.frame.left, place.star_y(first)), STAR_HEADING, text(BODY))?;
    for star in &stars {
        let y = place.star_y(star);
        let (color, marker) = series(star.curve);
        canvas.marker((star.x, y), marker, 3.6, color, true)?;
        canvas.text((star.x + 8.0, y), &star.words, text(SMALL))?;
    }
    Ok(())
}

/// First the colours, then the arms: the two are crossed in the panels.
pub(crate) fn legend(panels: &Panels, width: f64) -> Legend {
    let curves = panels.labels.iter().enumerate().map(|(i, label)| {
        let (color, marker) = series(i);
        (Sample::Line { color, dash: dash(i), marker, filled: true }, label.clone())
    });
    let line = |dash, filled| Sample::Line { color: INK, dash, marker: Marker::Circle, filled };
    let lone = |marker| Sample::Mark { color: SOFT, marker, filled: false };
    let mut arms = vec![(line(None, true), "student".to_string())];
    let any = |pick: fn(&Panel) -> bool| panels.panels.iter().any(pick);
    let mut add = |present: bool, sample: Sample, label: &str| {
        if present {
            arms.push((sample, label.to_string()));
        }
    };
    add(
        any(|p| p.curves.iter().any(|c| !c.control.is_empty())),
        line(Some(DASH), false),
        "control (student of the clean teacher)",
    );
    let cross = Sample::Mark { color: INK, marker: Marker::Cross, filled: false };
    add(any(|p| p.curves.iter().any(|c| !c.rival.is_empty())), cross, "rival (other teacher)");
    add(any(|p| p.base.is_some()), lone(Marker::Diamond), "base");
    add(any(|p| p.stranger.is_some()), lone(Marker::TriangleDown), "stranger");
    let ringed = |p: &Panel| p.stars.iter().flatten().any(|star| star.median().is_some());
    add(any(ringed), Sample::Star, "N*: proven from here on");
    add(panels.seeds > 1, Sample::Band, "range over seeds, median drawn");
    Legend::new(vec![curves.collect(), arms], width)
}
