//! Where things are on the page, and the parts that all figures share.

use plotters::prelude::RGBColor;
use plotters::style::text_anchor::VPos;

use super::canvas::{Canvas, Marker, Point, Stroke, text_width};
use super::palette::{GRID, INK, SHADE, SOFT, text};
use super::scale::Axis;

pub(crate) const MARGIN: f64 = 18.0;
/// Sizes of type, in SVG units: the smallest is still 10 pixels in a PNG at half the usual scale.
pub(crate) const TITLE: f64 = 17.0;
pub(crate) const HEADING: f64 = 14.0;
pub(crate) const BODY: f64 = 12.0;
pub(crate) const SMALL: f64 = 11.0;

const LEGEND_ROW: f64 = 20.0;
const LEGEND_SAMPLE: f64 = 34.0;
const LEGEND_GAP: f64 = 20.0;

/// Height, text and colour of a label beside a frame.
pub(crate) type SideLabel = (f64, String, RGBColor);

/// The rectangle that data are drawn in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Frame {
    pub(crate) fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.at(value).clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// Horizontal rules and numbers of the vertical axis, and the two axis lines.
    pub(crate) fn draw(&self, canvas: &Canvas<'_>, axis: &Axis, title: &str) -> anyhow::Result<()> {
        let mut last = f64::INFINITY;
        for &tick in &axis.ticks {
            let y = self.y(axis, tick);
            canvas.line(&[(self.left, y), (self.right, y)], Stroke { color: GRID, width: 0.8, dash: None })?;
            if last - y >= SMALL {
                canvas.text((self.left - 6.0, y), &axis.label(tick), text(SMALL).right())?;
                last = y;
            }
        }
        let stroke = Stroke { color: INK, width: 1.0, dash: None };
        canvas.line(&[(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], stroke)?;
        if !title.is_empty() {
            canvas.text((self.left - 42.0, 0.5 * (self.top + self.bottom)), title, text(BODY).upward())?;
        }
        Ok(())
    }

    pub(crate) fn shade(&self, canvas: &Canvas<'_>, right: f64) -> anyhow::Result<()> {
        canvas.rectangle((self.left, self.top), (right, self.bottom), SHADE, 1.0)
    }

    /// Labels right of the frame at the heights of their lines, pushed apart where they would touch.
    pub(crate) fn side_labels(&self, canvas: &Canvas<'_>, mut labels: Vec<SideLabel>) -> anyhow::Result<()> {
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let heights = spread(&labels.iter().map(|l| l.0).collect::<Vec<_>>(), SMALL + 1.5, self.top, self.bottom);
        for ((anchor, label, color), y) in labels.into_iter().zip(heights) {
            canvas.line(&[(self.right + 1.0, anchor), (self.right + 6.0, y)], Stroke { color, width: 0.8, dash: None })?;
            canvas.text((self.right + 8.0, y), &label, text(SMALL).colored(color))?;
        }
        Ok(())
    }
}

/// Moves sorted heights as little as a single pass down and one up need so that neighbours are `gap` apart, within `top` to
/// `bottom` while there is room.
pub(crate) fn spread(heights: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut placed = heights.to_vec();
    let mut floor = top;
    for y in &mut placed {
        *y = y.max(floor);
        floor = *y + gap;
    }
    let mut ceiling = bottom;
    for y in placed.iter_mut().rev() {
        *y = y.min(ceiling);
        ceiling = *y - gap;
    }
    placed
}

/// Title and subtitle; returns the height they end at.
pub(crate) fn heading(canvas: &Canvas<'_>, width: f64, title: &str, phrases: &[String]) -> anyhow::Result<f64> {
    let mut y = MARGIN + 0.5 * TITLE;
    for line in wrap(title, " ", width - 2.0 * MARGIN, TITLE, true) {
        canvas.text((MARGIN, y), &line, text(TITLE).bold())?;
        y += TITLE * 1.25;
    }
    y += 1.0;
    for line in wrap(&phrases.join(SEPARATOR), SEPARATOR, width - 2.0 * MARGIN, BODY, false) {
        canvas.text((MARGIN, y), &line, text(BODY).colored(SOFT))?;
        y += BODY * 1.35;
    }
    Ok(y)
}

/// Height that [`heading`] will take.
pub(crate) fn heading_height(width: f64, title: &str, phrases: &[String]) -> f64 {
    let lines = |text: &str, separator, size, bold| wrap(text, separator, width - 2.0 * MARGIN, size, bold).len() as f64;
    MARGIN
        + 0.5 * TITLE
        + 1.0
        + lines(title, " ", TITLE, true) * TITLE * 1.25
        + lines(&phrases.join(SEPARATOR), SEPARATOR, BODY, false) * BODY * 1.35
}

const SEPARATOR: &str = "  \u{b7}  ";

fn wrap(text: &str, separator: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(separator).filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line}{separator}{word}"), size, bold) <= width => {
                line.push_str(separator);
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// What a legend entry shows beside its words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    /// A line with a marker on it.
    Line { color: RGBColor, dash: Option<(f64, f64)>, marker: Marker, filled: bool },
    /// A marker alone.
    Mark { color: RGBColor, marker: Marker, filled: bool },
    /// A range band.
    Band,
    /// A marker with the ring that N* wears.
    Star,
}

/// Rows of entries; each inner list begins on a row of its own and flows on where the page ends.
pub(crate) struct Legend {
    rows: Vec<Vec<(Sample, String)>>,
}

impl Legend {
    pub(crate) fn new(groups: Vec<Vec<(Sample, String)>>, width: f64) -> Self {
        let room = width - 2.0 * MARGIN;
        let mut rows: Vec<Vec<(Sample, String)>> = Vec::new();
        for group in groups {
            let mut used = f64::INFINITY;
            for entry in group {
                let wide = LEGEND_SAMPLE + text_width(&entry.1, BODY, false) + LEGEND_GAP;
                if used + wide - LEGEND_GAP > room {
                    rows.push(Vec::new());
                    used = 0.0;
                }
                used += wide;
                if let Some(row) = rows.last_mut() {
                    row.push(entry);
                }
            }
        }
        Self { rows }
    }

    pub(crate) fn height(&self) -> f64 {
        self.rows.len() as f64 * LEGEND_ROW
    }

    /// Draws it with its top at `top`.
    pub(crate) fn draw(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        for (i, row) in self.rows.iter().enumerate() {
            let y = top + (i as f64 + 0.5) * LEGEND_ROW;
            let mut x = MARGIN;
            for (sample, label) in row {
                draw_sample(canvas, (x, y), *sample)?;
                canvas.text((x + LEGEND_SAMPLE, y), label, text(BODY))?;
                x += LEGEND_SAMPLE + text_width(label, BODY, false) + LEGEND_GAP;
            }
        }
        Ok(())
    }
}

fn draw_sample(canvas: &Canvas<'_>, (x, y): Point, sample: Sample) -> anyhow::Result<()> {
    let (end, middle) = (x + LEGEND_SAMPLE - 8.0, x + 0.5 * (LEGEND_SAMPLE - 8.0));
    match sample {
        Sample::Line { color, dash, marker, filled } => {
            // outwards from the marker, so that both ends show the same dashes
            canvas.line(&[(middle, y), (x, y)], Stroke { color, width: 1.8, dash })?;
            canvas.line(&[(middle, y), (end, y)], Stroke { color, width: 1.8, dash })?;
            canvas.marker((middle, y), marker, 4.0, color, filled)
        }
        Sample::Mark { color, marker, filled } => canvas.marker((middle, y), marker, 4.5, color, filled),
        Sample::Band => canvas.rectangle((x, y - 5.0), (end, y + 5.0), SOFT, 0.25),
        Sample::Star => {
            canvas.marker((middle, y), Marker::Circle, 4.0, INK, true)?;
            canvas.marker((middle, y), Marker::Ring, 7.5, INK, false)
        }
    }
}

/// Heading of one panel.
pub(crate) fn panel_title(canvas: &Canvas<'_>, at: Point, title: &str) -> anyhow::Result<()> {
    let style = text(HEADING).bold();
    canvas.text(at, title, super::canvas::Type { v: VPos::Center, ..style })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_pushed_apart_but_stay_on_the_page() {
        let placed = spread(&[10.0, 11.0, 12.0, 99.0], 10.0, 0.0, 100.0);
        assert_eq!(placed, [10.0, 20.0, 30.0, 99.0]);
        let placed = spread(&[95.0, 96.0, 97.0], 10.0, 0.0, 100.0);
        assert_eq!(placed, [80.0, 90.0, 100.0]);
    }

    #[test]
    fn long_text_wraps_between_words_only() {
        super::super::font::register().unwrap();
        let lines = wrap("one two three four five six", " ", 80.0, 12.0, false);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "one two three four five six");
        assert!(lines.iter().all(|line| text_width(line, 12.0, false) <= 80.0));
    }
}
