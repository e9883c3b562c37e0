//! Small multiples over query budgets: one panel per mark.

use super::canvas::{Canvas, Point, Stroke, drawing, text_width};
use super::layout::{BODY, Frame, Legend, MARGIN, SMALL, heading, heading_height, panel_title};
use super::palette::{COLORS, INK, SOFT, text};
use super::series::{Panel, Panels};
use crate::words::queries;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 66.0;
/// Height of a panel's heading: its name, and a line for N* where the figure has one.
const TITLE_LINE: f64 = 28.0;
const STAR_LINE: f64 = 18.0;
const FOOTER: f64 = 42.0;
const GUTTER: f64 = 46.0;
const PAD: f64 = 20.0;
/// How much higher panels with very many curves are.
const CROWDED: f64 = 1.5;
/// Distance between two markers that stand at one budget.
const DODGE: f64 = 4.5;
const SHIFT: f64 = 4.0;
/// Width that all rivals keep within.
const RIVALS: f64 = 30.0;

/// Place of everything that does not depend on the values.
pub(crate) struct Multiples<'a> {
    pub(crate) panels: &'a Panels,
    columns: usize,
    size: Point,
    plot: Point,
    header: f64,
    top: f64,
    star_lines: usize,
    legend: Legend,
}

/// Where N* of one curve is written, under the panel's title.
pub(crate) struct StarPlace {
    /// Number of the curve.
    pub(crate) curve: usize,
    /// From the left edge of the page, if `left` is.
    pub(crate) x: f64,
    line: usize,
    pub(crate) words: String,
}

/// Text before the first N*.
pub(crate) const STAR_HEADING: &str = "N*";

/// One after the other from `left` on, in as many lines as it takes to keep within `room`.
fn star_places(panel: &Panel, left: f64, room: f64) -> Vec<StarPlace> {
    let start = left + text_width(STAR_HEADING, BODY, true) + 10.0;
    let (mut x, mut line) = (start, 0);
    let mut places = Vec::new();
    for (curve, star) in panel.stars.iter().enumerate().filter_map(|(i, star)| Some((i, star.as_ref()?))) {
        let words = star.words();
        let wide = text_width(&words, SMALL, false);
        if x + 8.0 + wide > left + room && x > start {
            (x, line) = (start, line + 1);
        }
        places.push(StarPlace { curve, x, line, words });
        x += 8.0 + wide + 16.0;
    }
    places
}

/// One panel's frame and horizontal mapping.
pub(crate) struct Place<'a> {
    pub(crate) frame: Frame,
    pub(crate) panel: &'a Panel,
    pub(crate) first_column: bool,
    panels: &'a Panels,
    star_lines: usize,
    gutters: usize,
}

impl<'a> Multiples<'a> {
    pub(crate) fn new(panels: &'a Panels, title: &str, phrases: &[String], legend: impl FnOnce(f64) -> Legend) -> Self {
        let n = panels.panels.len();
        let columns = match n {
            1 => 1,
            2..=4 => 2,
            _ => 3,
        };
        let plot = match columns {
            1 => (500.0, 290.0),
            2 => (336.0, 196.0),
            _ => (290.0, 180.0),
        };
        // curves that colours alone do not tell apart need more room
        let plot = if panels.labels.len() > COLORS { (plot.0, CROWDED * plot.1) } else { plot };
        let width = 2.0 * MARGIN + columns as f64 * (LEFT + plot.0 + RIGHT);
        let legend = legend(width);
        let top = heading_height(width, title, phrases) + 4.0;
        let rows = n.div_ceil(columns) as f64;
        let star_lines = |panel| star_places(panel, 0.0, plot.0 + RIGHT).last().map_or(0, |place| place.line + 1);
        let star_lines = panels.panels.iter().map(star_lines).max().unwrap_or_default();
        let header = TITLE_LINE + STAR_LINE * star_lines as f64;
        let height = top + rows * (header + plot.1 + FOOTER) + 8.0 + legend.height() + MARGIN;
        Self { panels, columns, size: (width, height), plot, header, top, star_lines, legend }
    }

    /// Draws heading, panels (each by `paint`) and legend.
    pub(crate) fn draw(
        &self,
        title: &str,
        phrases: &[String],
        paint: impl Fn(&Canvas<'_>, &Place<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        drawing(self.size, title, |canvas| {
            heading(canvas, self.size.0, title, phrases)?;
            for (i, panel) in self.panels.panels.iter().enumerate() {
                let place = self.place(i, panel);
                panel_title(canvas, (place.frame.left, place.frame.top - self.header + 12.0), &panel.mark)?;
                paint(canvas, &place)?;
            }
            self.legend.draw(canvas, self.size.1 - MARGIN - self.legend.height())
        })
    }

    fn place(&self, i: usize, panel: &'a Panel) -> Place<'a> {
        let (row, column) = (i / self.columns, i % self.columns);
        let left = MARGIN + column as f64 * (LEFT + self.plot.0 + RIGHT) + LEFT;
        let top = self.top + row as f64 * (self.header + self.plot.1 + FOOTER) + self.header;
        let frame = Frame { left, top, right: left + self.plot.0, bottom: top + self.plot.1 };
        let has = |pick: fn(&Panel) -> bool| self.panels.panels.iter().any(pick);
        let gutters = usize::from(has(|p| p.base.is_some())) + usize::from(has(|p| p.stranger.is_some()));
        Place { frame, panel, first_column: column == 0, panels: self.panels, star_lines: self.star_lines, gutters }
    }
}

impl Place<'_> {
    /// Where N* of each curve is written.
    pub(crate) fn stars(&self) -> Vec<StarPlace> {
        star_places(self.panel, self.frame.left, self.frame.right - self.frame.left + RIGHT)
    }

    /// Middle of the line of an N*.
    pub(crate) fn star_y(&self, star: &StarPlace) -> f64 {
        self.frame.top - 16.0 - STAR_LINE * (self.star_lines - 1 - star.line) as f64
    }

    /// Where a budget is drawn.
    pub(crate) fn x(&self, budget: u64) -> f64 {
        let left = self.gutter_end() + PAD;
        left + self.panels.budgets.at(budget) * (self.frame.right - self.right_pad() - left)
    }

    /// Whether there are more curves than colours.
    pub(crate) fn crowded(&self) -> bool {
        self.panels.labels.len() > COLORS
    }

    /// Whether the teacher has more levels than can each be written beside its line.
    pub(crate) fn many_teachers(&self) -> bool {
        self.panel.teacher.len() > 3
    }

    /// Sideways shift of the `i`-th curve as a whole, so that curves that lie on each other do not hide each other; together they
    /// keep within the pad.
    pub(crate) fn shift(&self, i: usize) -> f64 {
        let n = self.panels.labels.len() as f64;
        (i as f64 - 0.5 * (n - 1.0)) * SHIFT.min(2.0 * (PAD - 3.0) / (n - 1.0).max(1.0))
    }

    /// Sideways shift of the `i`-th curve's rival: right of all curves, where it is beside the largest budget.
    pub(crate) fn rival_shift(&self, i: usize) -> f64 {
        let n = self.panels.labels.len();
        self.shift(n - 1) + 7.0 + 5.0_f64.min(RIVALS / n as f64) * i as f64
    }

    /// Room for the rivals.
    fn right_pad(&self) -> f64 {
        let n = self.panels.labels.len();
        if self.crowded() { self.shift(n - 1) + 7.0 + RIVALS } else { PAD.max(7.0 * n as f64 + 6.0) }
    }

    /// Sideways shift of the `arm`-th of three arms of the `i`-th curve: no two cover each other, and together they keep
    /// within the pad.
    pub(crate) fn dodge(&self, i: usize, arm: usize) -> f64 {
        let slots = 3.0 * self.panels.labels.len() as f64;
        let step = DODGE.min(2.0 * (PAD - 3.0) / slots);
        ((3 * i + arm) as f64 - 0.5 * (slots - 1.0)) * step
    }

    /// Middle of the slots left of the query axis, for arms without a budget: base first, stranger last.
    pub(crate) fn base_x(&self) -> f64 {
        self.frame.left + 0.5 * GUTTER
    }

    pub(crate) fn stranger_x(&self) -> f64 {
        self.gutter_end() - 0.5 * GUTTER
    }

    fn gutter_end(&self) -> f64 {
        self.frame.left + self.gutters as f64 * GUTTER
    }

    /// Shade of the slots without a budget; drawn first.
    pub(crate) fn shade(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        if self.gutters > 0 { self.frame.shade(canvas, self.gutter_end()) } else { Ok(()) }
    }

    /// Numbers and title of the query axis: the budgets run, then powers of ten where there is room.
    pub(crate) fn x_axis(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        let y = self.frame.bottom + 12.0;
        if self.panel.base.is_some() {
            canvas.text((self.base_x(), y), "base", text(SMALL).centered())?;
        }
        if self.panel.stranger.is_some() {
            canvas.text((self.stranger_x(), y), "stranger", text(SMALL).centered())?;
        }
        let budgets = &self.panels.budgets;
        // the ends first: they may not be crowded out
        let ends = [budgets.all().first(), budgets.all().last()].into_iter().flatten();
        let run = ends.chain(budgets.all()).map(|&budget| (budget, INK));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (budget, color) in run.chain(budgets.decades().map(|budget| (budget, SOFT))) {
            let (x, label) = (self.x(budget), queries(budget));
            let half = 0.5 * text_width(&label, SMALL, false) + 3.0;
            if color == INK {
                let stroke = Stroke { color, width: 0.8, dash: None };
                canvas.line(&[(x, self.frame.bottom), (x, self.frame.bottom + 3.5)], stroke)?;
            }
            if taken.iter().all(|&(left, right)| x + half < left || x - half > right) {
                canvas.text((x, y), &label, text(SMALL).colored(color).centered())?;
                taken.push((x - half, x + half));
            }
        }
        let middle = 0.5 * (self.gutter_end() + self.frame.right);
        canvas.text((middle, self.frame.bottom + 28.0), "queries to the teacher", text(BODY).colored(SOFT).centered())
    }
}
