//! Where things are on the page, and the parts that all figures share.

use plotters::prelude::RGBColor;
use plotters::style::text_anchor::VPos;

use super::canvas::{Canvas, Point, Stroke, text_width};
use super::palette::{GRID, INK, SHADE, SOFT, text};
use super::scale::Axis;

pub(crate) const MARGIN: f64 = 18.0;
/// Sizes of type, in SVG units: the smallest is still 10 pixels in a PNG at half the usual scale.
pub(crate) const TITLE: f64 = 17.0;
pub(crate) const HEADING: f64 = 14.0;
pub(crate) const BODY: f64 = 12.0;
pub(crate) const SMALL: f64 = 11.0;

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
    for line in subtitle(phrases, width - 2.0 * MARGIN) {
        canvas.text((MARGIN, y), &line, text(BODY).colored(SOFT))?;
        y += BODY * 1.35;
    }
    Ok(y)
}

/// Height that [`heading`] will take.
pub(crate) fn heading_height(width: f64, title: &str, phrases: &[String]) -> f64 {
    let room = width - 2.0 * MARGIN;
    let title = wrap(title, " ", room, TITLE, true).len() as f64;
    MARGIN + 0.5 * TITLE + 1.0 + title * TITLE * 1.25 + subtitle(phrases, room).len() as f64 * BODY * 1.35
}

const SEPARATOR: &str = "  \u{b7}  ";

/// Phrases in lines: broken between phrases, and within one only where it is wider than the page.
fn subtitle(phrases: &[String], room: f64) -> Vec<String> {
    let lines = wrap(&phrases.join(SEPARATOR), SEPARATOR, room, BODY, false);
    lines
        .iter()
        .flat_map(
            |line| if text_width(line, BODY, false) > room { wrap(line, " ", room, BODY, false) } else { vec![line.clone()] },
        )
        .collect()
}

/// `text` in lines no wider than `width`, broken at `separator`; a word that is wider stands alone.
pub(crate) fn wrap(text: &str, separator: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
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
