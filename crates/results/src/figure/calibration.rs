//! Observed against nominal false-positive rates.

use anyhow::ensure;
use plotters::prelude::RGBColor;
use stats::calibration::{Rate, band};

use super::canvas::{Canvas, Point, Stroke, drawing, text_width};
use super::layout::{BODY, Frame, MARGIN, SMALL, heading, heading_height};
use super::palette::{INK, SOFT, dash, series, text};
use super::picture::Figure;
use super::scale::Axis;

/// The p-values of one detector on unmarked texts.
#[derive(Debug, Clone, PartialEq)]
pub struct PValueSeries {
    /// Its name; without one it is a thin grey line behind the others.
    pub name: String,
    /// One p-value for each text, in any order.
    pub p: Vec<f64>,
}

/// Side of the square that data are drawn in.
const SIDE: f64 = 300.0;
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 46.0;
const GAP: f64 = 14.0;
const ROW: f64 = 15.0;
/// Points of a curve in each decade.
const STEPS: i32 = 60;
/// Levels whose observed rates are drawn with their intervals, where there is one detector.
const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];
/// Of lines without a name.
const FAINT: RGBColor = RGBColor(176, 176, 176);
/// Smallest power of ten that is drawn.
const LEAST: i32 = -6;

/// The share of unmarked texts with a p at or below each level, against that level, both on logarithmic axes. Valid p-values lie on the
/// diagonal or below it. A single detector gets the band that 95 % of samples of uniform p-values would stay in at each level, and 95 %
/// intervals of its rates.
///
/// # Errors
/// When there is no p-value.
pub fn calibration_figure(all: &[PValueSeries], title: &str, subtitle: &str) -> anyhow::Result<Figure> {
    let all: Vec<&PValueSeries> = all.iter().filter(|one| !one.p.is_empty()).collect();
    ensure!(!all.is_empty(), "no p-value to draw");
    let most = all.iter().map(|one| one.p.len()).max().unwrap_or(1) as f64;
    let least = (libm::log10(0.5 / most).floor() as i32).clamp(LEAST, -3);
    let names = all.iter().map(|one| text_width(&one.name, SMALL, false)).fold(0.0, f64::max);
    let side = if all.len() > 1 { names + 40.0 } else { 0.0 };
    let named = all.iter().filter(|one| !one.name.is_empty()).count();
    let width = 2.0 * MARGIN + LEFT + SIDE + GAP + side;
    let band = if all.len() == 1 { "grey: 95 % of samples of uniform p-values" } else { "" };
    let phrases = [subtitle, "dashed: as claimed; above it p-values are too small", band];
    let phrases: Vec<String> = phrases.into_iter().filter(|phrase| !phrase.is_empty()).map(str::to_string).collect();
    let top = heading_height(width, title, &phrases) + 10.0;
    let height = (top + SIDE + BOTTOM).max(top + named as f64 * ROW) + MARGIN;
    let svg = drawing((width, height), title, |canvas| {
        heading(canvas, width, title, &phrases)?;
        let left = MARGIN + LEFT;
        let frame = Frame { left, top, right: left + SIDE, bottom: top + SIDE };
        paint(canvas, frame, &Axis::decades(least, 0), &all)
    })?;
    Ok(Figure { svg })
}

fn paint(canvas: &Canvas<'_>, frame: Frame, axis: &Axis, all: &[&PValueSeries]) -> anyhow::Result<()> {
    let least = axis.ticks.first().copied().unwrap_or_default();
    let x = |level: f64| frame.left + axis.at(libm::log10(level)) * (frame.right - frame.left);
    let y = |share: f64| frame.y(axis, libm::log10(share.max(1e-300)));
    let steps = (-least) as i32 * STEPS;
    let levels: Vec<f64> = (0..=steps).map(|i| libm::pow(10f64, least + f64::from(i) / f64::from(STEPS))).collect();
    if let [one] = all {
        let texts = one.p.len() as u64;
        let ends: Vec<_> = levels.iter().filter(|level| **level < 1.0).map(|&level| (level, band(texts, level))).collect();
        let above = ends.iter().map(|(level, ends)| (x(*level), y(ends.high)));
        let below = ends.iter().rev().map(|(level, ends)| (x(*level), y(ends.low)));
        canvas.area(&above.chain(below).collect::<Vec<_>>(), SOFT, 0.18)?;
    }
    frame.draw(canvas, axis, "share of unmarked texts at or below it")?;
    for &tick in &axis.ticks {
        let at = x(libm::pow(10f64, tick));
        canvas.line(&[(at, frame.bottom), (at, frame.bottom + 3.5)], Stroke { color: INK, width: 0.8, dash: None })?;
        canvas.text((at, frame.bottom + 12.0), &axis.label(tick), text(SMALL).centered())?;
    }
    let middle = 0.5 * (frame.left + frame.right);
    canvas.text((middle, frame.bottom + 30.0), "p-value", text(BODY).colored(SOFT).centered())?;
    let corner = [(frame.left, frame.bottom), (frame.right, frame.top)];
    canvas.line(&corner, Stroke { color: INK, width: 1.0, dash: Some((4.0, 3.0)) })?;
    let (faint, named): (Vec<&PValueSeries>, Vec<&PValueSeries>) =
        all.iter().partition(|one| one.name.is_empty() && all.len() > 1);
    let named = named.into_iter().enumerate().map(|(i, one)| (Some(i), one));
    for (i, one) in faint.into_iter().map(|one| (None, one)).chain(named) {
        let mut sorted = one.p.clone();
        sorted.sort_by(f64::total_cmp);
        let below = |level: f64| sorted.partition_point(|p| *p <= level);
        let share = |level: f64| below(level) as f64 / sorted.len() as f64;
        let points: Vec<Point> =
            levels.iter().filter(|level| below(**level) > 0).map(|&level| (x(level), y(share(level)))).collect();
        let Some(i) = i else {
            canvas.line(&points, Stroke { color: FAINT, width: 0.7, dash: None })?;
            continue;
        };
        let (color, marker) = series(i);
        canvas.line(&points, Stroke { color, width: 1.6, dash: dash(i) })?;
        if all.len() > 1 {
            let (start, row) = (frame.right + GAP, frame.top + (i as f64 + 0.5) * ROW);
            canvas.line(&[(start, row), (start + 20.0, row)], Stroke { color, width: 1.6, dash: dash(i) })?;
            canvas.text((start + 26.0, row), &one.name, text(SMALL))?;
            continue;
        }
        for level in LEVELS {
            let Some(rate) = Rate::of(below(level) as u64, sorted.len() as u64) else { continue };
            let at = x(level);
            canvas.line(&[(at, y(rate.interval.low)), (at, y(rate.interval.high))], Stroke { color, width: 1.2, dash: None })?;
            if rate.hits > 0 {
                canvas.marker((at, y(rate.rate)), marker, 3.5, color, true)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(name: &str, texts: u32) -> PValueSeries {
        PValueSeries { name: name.into(), p: (0..texts).map(|i| (f64::from(i) + 0.5) / f64::from(texts)).collect() }
    }

    #[test]
    fn it_is_drawn_for_one_and_for_several() {
        let one = calibration_figure(&[uniform("a", 2_000)], "A detector", "2,000 texts").unwrap();
        for words in ["0.001", "p-value", "share of unmarked texts at or below it", "2,000 texts"] {
            assert!(one.svg.contains(words), "{words}");
        }
        assert!(one.png(1.0).unwrap().len() > 1_000);
        let several = calibration_figure(&[uniform("first", 10), uniform("nobody", 0), uniform("second", 50)], "t", "").unwrap();
        assert!(several.svg.contains("first") && several.svg.contains("second") && !several.svg.contains("nobody"));
        let behind = calibration_figure(&[uniform("", 40), uniform("before", 40)], "t", "").unwrap();
        assert!(behind.svg.contains("#B0B0B0") && behind.svg.contains("before"));
        assert!(calibration_figure(&[uniform("a", 0)], "t", "").is_err());
        // all zeros, or all ones
        let same = |p: f64| PValueSeries { name: String::new(), p: vec![p; 40] };
        assert!(calibration_figure(&[same(0.0)], "t", "").is_ok() && calibration_figure(&[same(1.0)], "t", "").is_ok());
    }
}
