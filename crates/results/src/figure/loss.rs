use std::collections::BTreeMap;

use anyhow::ensure;
use plotters::prelude::RGBColor;
use serde::{Deserialize, Serialize};

use super::arms::{DASH, apart_dash};
use super::canvas::{Canvas, Point, Stroke, drawing, text_width};
use super::layout::{BODY, Frame, MARGIN, SMALL, heading, heading_height, panel_title, spread};
use super::palette::{INK, SOFT, dash, pale, series, text};
use super::picture::Figure;
use super::scale::Axis;
use super::width::Width;
use crate::setting::Names;
use crate::words::queries;
use crate::{Arm, Setting};

/// One named loss curve.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossSeries {
    /// Panel it is drawn in ("teachers", "students, text").
    pub group: String,
    /// Name at the end of its line; should be short.
    pub name: String,
    /// Whose loss it is: a control or rival, or a student without one mark, is drawn dashed, in the colour of the student of the same rank in its group.
    pub arm: Arm,
    /// Name of the loss: "cross_entropy" of a model trained on text, else the distillation's. Absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// The place of the model on the experiment's grid: value by axis. What differs between curves is added to their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
    /// (step, loss in nats/token), by step.
    pub points: Vec<(u64, f64)>,
}

const LEFT: f64 = 56.0;
const HEADER: f64 = 26.0;
const FOOTER: f64 = 42.0;
const GAP: f64 = 10.0;
/// A plot at least, and its height.
const LEAST: f64 = 170.0;
const HEIGHT: f64 = 170.0;
const LABEL_STEP: f64 = SMALL + 1.5;
/// Length of the sample of a line beside its name: more than one dash of any.
const SAMPLE: f64 = 22.0;
/// One in so many points is in the window that a line is the mean of.
const WINDOW: usize = 16;

/// Loss against training step: one panel per group and loss, in the order given, each line named at its end. A line is the mean over
/// neighbouring steps; what was logged stands pale behind it.
///
/// # Errors
/// When there is no finite point.
pub fn loss_figure(curves: &[LossSeries], title: &str, subtitle: &str, width: Width) -> anyhow::Result<Figure> {
    let curves = named(curves);
    type Group<'a> = (&'a str, &'a Option<String>);
    let mut groups: Vec<(Group<'_>, Vec<&LossSeries>)> = Vec::new();
    for curve in curves.iter().filter(|curve| curve.points.iter().any(|point| point.1.is_finite())) {
        let group = (curve.group.as_str(), &curve.loss);
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, members)) => members.push(curve),
            None => groups.push((group, vec![curve])),
        }
    }
    ensure!(!groups.is_empty(), "no loss curve has a finite point");
    let side = curves.iter().map(|curve| text_width(&curve.name, SMALL, false)).fold(0.0, f64::max) + SAMPLE + 12.0;
    let columns = groups.len().min(width.columns());
    // a panel with its names is as wide as the other figures' panels
    let room = match width {
        Width::One => 362.0,
        Width::Two => 384.0,
    };
    let most = groups.iter().map(|(_, members)| members.len()).max().unwrap_or_default() as f64;
    // a panel with many lines grows until their names fit beside it
    let plot = ((room - LEFT - side - GAP).max(LEAST), HEIGHT.max(most * LABEL_STEP));
    let panel = (LEFT + plot.0 + side + GAP, HEADER + plot.1 + FOOTER);
    let width = 2.0 * MARGIN + columns as f64 * panel.0;
    let phrases = [subtitle.to_string(), "lines: running mean; pale: as logged".to_string()];
    let phrases: Vec<String> = phrases.into_iter().filter(|phrase| !phrase.is_empty()).collect();
    let top = heading_height(width, title, &phrases) + 4.0;
    let height = top + groups.len().div_ceil(columns) as f64 * panel.1 + MARGIN;
    let svg = drawing((width, height), title, |canvas| {
        heading(canvas, width, title, &phrases)?;
        for (i, ((name, loss), members)) in groups.iter().enumerate() {
            let left = MARGIN + (i % columns) as f64 * panel.0 + LEFT;
            let top = top + (i / columns) as f64 * panel.1 + HEADER;
            let frame = Frame { left, top, right: left + plot.0, bottom: top + plot.1 };
            panel_title(canvas, (left, top - HEADER + 12.0), name)?;
            paint(canvas, frame, &in_words(loss.as_deref()), members)?;
        }
        Ok(())
    })?;
    Ok(Figure { svg })
}

/// What a loss is, by its name, and its unit: cross-entropy with tokens, or a divergence from the teacher's law. They are not on one scale.
fn in_words(loss: Option<&str>) -> String {
    match loss {
        None => "loss, nats/token".to_string(),
        Some("cross_entropy" | "sequence_kd") => "cross-entropy (CE), nats/token".to_string(),
        Some("total_variation") => "total variation, 0 to 1".to_string(),
        Some("ranking") => "ranking loss by pair of tokens".to_string(),
        Some(name) if name.ends_with("_kl") => format!("KL divergence, {name}, nats/token"),
        Some(name) => format!("loss {name}, nats/token"),
    }
}

/// The mean of each point's neighbourhood, as wide on both sides as the beginning allows, where curves are steep. At the end, where there
/// are no later points, the line through the neighbourhood: the last point alone, perhaps of half a batch, says nothing.
fn smoothed(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let half = points.len() / (2 * WINDOW);
    let mean = |i: usize| {
        let reach = half.min(i);
        let window = &points[i - reach..points.len().min(i + reach + 1)];
        let n = window.len() as f64;
        let level = window.iter().map(|point| point.1).sum::<f64>() / n;
        // 0 where the window is as wide on both sides
        let off_centre = reach as f64 - (n - 1.0) / 2.0;
        let places = (0..window.len()).map(|at| at as f64 - (n - 1.0) / 2.0);
        let spread: f64 = places.clone().map(|place| place * place).sum();
        let slope = places.zip(window).map(|(place, point)| place * point.1).sum::<f64>() / spread.max(1.0);
        level + slope * off_centre
    };
    (0..points.len()).map(|i| (points[i].0, mean(i))).collect()
}

/// With the place on the grid in their names, where there are several.
fn named(curves: &[LossSeries]) -> Vec<LossSeries> {
    let setting = |curve: &LossSeries| Setting { axes: curve.axes.clone(), ..Setting::default() };
    let names = Names::of(&curves.iter().map(setting).collect::<Vec<_>>());
    let name = |curve: &LossSeries| {
        let parts = [curve.name.clone(), names.point(&setting(curve), false)];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        LossSeries { name: parts.join(", "), ..curve.clone() }
    };
    curves.iter().map(name).collect()
}

fn paint(canvas: &Canvas<'_>, frame: Frame, measure: &str, curves: &[&LossSeries]) -> anyhow::Result<()> {
    let finite = || curves.iter().flat_map(|c| c.points.iter()).filter(|point| point.1.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p.1), h.max(p.1)));
    let last = finite().map(|point| point.0).max().unwrap_or(1).max(1);
    let pad = 0.05 * (high - low).max(1e-3);
    let axis = Axis::linear(low - pad, high + pad);
    frame.draw(canvas, &axis, measure)?;
    let x = |step: u64| frame.left + step as f64 / last as f64 * (frame.right - frame.left);
    for tick in Axis::linear(0.0, last as f64).ticks {
        let at = x(tick as u64);
        canvas.line(&[(at, frame.bottom), (at, frame.bottom + 3.5)], Stroke { color: INK, width: 0.8, dash: None })?;
        canvas.text((at, frame.bottom + 12.0), &queries(tick as u64), text(SMALL).centered())?;
    }
    let middle = 0.5 * (frame.left + frame.right);
    canvas.text((middle, frame.bottom + 28.0), "step", text(BODY).colored(SOFT).centered())?;

    let looks = looks(curves);
    let (mut ends, mut lines) = (Vec::new(), Vec::new());
    for (i, curve) in curves.iter().enumerate() {
        let (color, dash) = looks[i];
        let finite: Vec<(u64, f64)> = curve.points.iter().copied().filter(|point| point.1.is_finite()).collect();
        let drawn = |points: &[(u64, f64)]| -> Vec<Point> {
            points.iter().map(|&(step, loss)| (x(step), frame.y(&axis, loss))).collect()
        };
        let points = drawn(&smoothed(&finite));
        lines.push((points.clone(), color, dash));
        canvas.line(&drawn(&finite), Stroke { color: pale(color), width: 0.7, dash: None })?;
        ends.extend(points.last().map(|&end| (end, i)));
    }
    for (points, color, dash) in &lines {
        canvas.line(points, Stroke { color: *color, width: 1.6, dash: *dash })?;
    }
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let heights = spread(&ends.iter().map(|(end, _)| end.1).collect::<Vec<_>>(), LABEL_STEP, frame.top, frame.bottom);
    for ((end, i), y) in ends.into_iter().zip(heights) {
        let (color, dash) = looks[i];
        let start = frame.right + 6.0;
        canvas.line(&[end, (start, y)], Stroke { color: SOFT, width: 0.6, dash: Some((1.0, 2.5)) })?;
        canvas.line(&[(start, y), (start + SAMPLE, y)], Stroke { color, width: 1.6, dash })?;
        canvas.text((start + SAMPLE + 4.0, y), &curves[i].name, text(SMALL))?;
    }
    Ok(())
}

type Look = (RGBColor, Option<(f64, f64)>);

fn looks(curves: &[&LossSeries]) -> Vec<Look> {
    let look = |i: usize| {
        let arm = curves[i].arm;
        let paired = |arm: Arm| matches!(arm, Arm::Control | Arm::Apart | Arm::Rival);
        let rank = curves[..i].iter().filter(|other| if paired(arm) { other.arm == arm } else { !paired(other.arm) }).count();
        let dash = match arm {
            Arm::Control => Some(DASH),
            Arm::Apart => Some(apart_dash(rank)),
            Arm::Rival => Some((12.0, 4.0)),
            _ => dash(rank),
        };
        (series(rank).0, dash)
    };
    (0..curves.len()).map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_lines_and_flattens_noise() {
        let line: Vec<(u64, f64)> = (0..200).map(|i| (i, 3.0 - 0.01 * i as f64)).collect();
        assert!(smoothed(&line).iter().zip(&line).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-12));
        let noise: Vec<(u64, f64)> = (0..200).map(|i| (i, if i % 2 == 0 { 1.0 } else { -1.0 })).collect();
        assert!(smoothed(&noise)[10..].iter().all(|point| point.1.abs() < 0.5));
        assert!(smoothed(&noise)[10..190].iter().all(|point| point.1.abs() < 0.1));
        // one wild point at the end is one of many
        let mut wild = line.clone();
        wild[199].1 += 1.0;
        assert!((smoothed(&wild)[199].1 - line[199].1).abs() < 0.5);
        assert_eq!(smoothed(&[(5, 1.5)]), [(5, 1.5)]);
        assert_eq!(smoothed(&[]), []);
    }

    #[test]
    fn losses_say_what_they_measure() {
        let cases = [
            ("sequence_kd", "(CE), nats"),
            ("cross_entropy", "CE"),
            ("topk_kl", "KL"),
            ("full_kl", "KL"),
            ("other", "loss other, nats"),
            ("total_variation", "0 to 1"),
            ("ranking", "pair"),
        ];
        for (name, part) in cases {
            assert!(in_words(Some(name)).contains(part), "{name}");
        }
    }
}
