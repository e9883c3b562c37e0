//! What a figure says in words instead of an empty panel.

use super::canvas::{Canvas, text_width};
use super::layout::{MARGIN, SMALL, wrap};
use super::line::Line;
use super::palette::{SOFT, text};

/// Height of a line of words, and room around each mark's.
const LINE: f64 = 15.0;
const GAP: f64 = 7.0;

/// The lines of marks without a panel, wrapped.
pub(crate) struct Said<'a> {
    marks: Vec<(&'a str, Vec<String>)>,
}

impl<'a> Said<'a> {
    /// Within a page of `width`.
    pub(crate) fn new(lines: &'a [Line], width: f64) -> Self {
        let wrapped =
            |line: &Line| wrap(&format!("{}: {}", line.mark, line.words), " ", width - 2.0 * MARGIN - 12.0, SMALL, false);
        Self { marks: lines.iter().map(|line| (line.mark.as_str(), wrapped(line))).collect() }
    }

    /// Height of everything, 0 where there is nothing to say.
    pub(crate) fn height(&self) -> f64 {
        let lines = self.marks.iter().map(|(_, lines)| lines.len() as f64 * LINE + GAP).sum::<f64>();
        if lines > 0.0 { lines + GAP } else { 0.0 }
    }

    /// Draws it with its top at `top`.
    pub(crate) fn draw(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let mut y = top + GAP;
        for (mark, lines) in &self.marks {
            for (i, words) in lines.iter().enumerate() {
                let (name, rest) = match words.strip_prefix(mark) {
                    Some(rest) if i == 0 => (*mark, rest),
                    _ => ("", words.as_str()),
                };
                if !name.is_empty() {
                    canvas.text((MARGIN, y), name, text(SMALL).bold())?;
                }
                canvas.text((MARGIN + text_width(name, SMALL, true), y), rest, text(SMALL).colored(SOFT))?;
                y += LINE;
            }
            y += GAP;
        }
        Ok(())
    }
}
