//! Small multiples over query budgets: panels of marks, lines for the marks without one, what students are worth, a legend.

use super::canvas::{Canvas, Point, drawing, text_width};
use super::cell::Cell;
use super::chart::Chart;
use super::layout::{BODY, Frame, HEADING, MARGIN, SMALL, heading, heading_height, wrap};
use super::legend::Legend;
use super::palette::{COLORS, SOFT, series, text};
use super::place::{Place, Shared};
use super::said::Said;
use super::series::{Panel, Panels};
use super::width::Width;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 66.0;
/// Height of a panel's name, and of each line below it.
const TITLE_LINE: f64 = 26.0;
const SUB_LINE: f64 = 17.0;
const FOOTER: f64 = 42.0;
/// How much higher panels with very many curves are, and how much lower those of worth.
const CROWDED: f64 = 1.5;
const WORTH: f64 = 0.6;

/// What is written under a title: with the number of the curve whose marker stands before it.
struct Sub {
    curve: Option<usize>,
    x: f64,
    line: usize,
    words: String,
}

/// One after the other, in as many lines as it takes to keep within `room`.
fn subs(cell: Cell<'_>, room: f64) -> Vec<Sub> {
    match cell {
        Cell::Worth(_) => Vec::new(),
        Cell::Effect(panel) => {
            let words = panel.effect_unit.as_ref().map_or("effect per unit".to_string(), |unit| format!("effect: {unit}"));
            let lines = wrap(&words, " ", room, SMALL, false);
            lines.into_iter().enumerate().map(|(line, words)| Sub { curve: None, x: 0.0, line, words }).collect()
        }
        Cell::Evidence(panel) => {
            let (mut x, mut line) = (0.0, 0);
            let mut placed = Vec::new();
            for (curve, words) in said_of_stars(panel) {
                let wide = 10.0 + text_width(&words, SMALL, false);
                if x + wide > room && x > 0.0 {
                    (x, line) = (0.0, line + 1);
                }
                placed.push(Sub { curve, x, line, words });
                x += wide + 14.0;
            }
            placed
        }
    }
}

/// What is said of each curve of a panel; of very many, of those that are proven, and once of the others.
fn said_of_stars(panel: &Panel) -> Vec<(Option<usize>, String)> {
    let stars = || panel.stars.iter().enumerate().filter_map(|(i, star)| Some((i, star.as_ref()?)));
    if panel.stars.len() <= COLORS {
        let count = |i: usize| panel.counts.get(i).and_then(|count| count.star.as_ref());
        return stars().map(|(i, star)| (Some(i), star.in_figure_beside(count(i)))).collect();
    }
    let mut said: Vec<_> = stars().filter(|(_, star)| star.is_seen()).map(|(i, star)| (Some(i), star.in_figure())).collect();
    let mut unseen = stars().filter(|(_, star)| !star.is_seen());
    said.extend(unseen.next().map(|(_, star)| (None, format!("others {}", star.seen()))));
    said
}

/// Place of everything that does not depend on the values.
pub(crate) struct Multiples<'a> {
    cells: Vec<Cell<'a>>,
    worth: Vec<Cell<'a>>,
    said: Said<'a>,
    columns: usize,
    size: Point,
    plot: Point,
    /// Height of the heading of each row.
    headers: Vec<f64>,
    top: f64,
    legend: Legend,
    shared: Shared<'a>,
}

impl<'a> Multiples<'a> {
    /// `cells` go row by row; what students are worth stands in a row of its own below.
    pub(crate) fn new(
        panels: &'a Panels,
        cells: Vec<Cell<'a>>,
        width: Width,
        title: &str,
        phrases: &[String],
        legend: impl FnOnce(f64) -> Legend,
    ) -> Self {
        let columns = width.columns();
        let plot = match width {
            Width::One => (240.0, 150.0),
            Width::Two => (262.0, 150.0),
        };
        // curves that colours alone do not tell apart need more room
        let plot = if panels.labels.len() > COLORS { (plot.0, CROWDED * plot.1) } else { plot };
        let width = 2.0 * MARGIN + columns as f64 * (LEFT + plot.0 + RIGHT);
        let worth: Vec<Cell<'_>> = panels.worth.iter().take(columns).map(Cell::Worth).collect();
        let sub_lines = |cell: &Cell<'_>| subs(*cell, plot.0 + RIGHT - 6.0).last().map_or(0, |sub| sub.line + 1);
        let header = |row: &[Cell<'_>]| TITLE_LINE + SUB_LINE * row.iter().map(sub_lines).max().unwrap_or_default() as f64;
        let headers = cells.chunks(columns).map(header).collect();
        let has = |pick: fn(&Chart) -> bool| cells.iter().chain(&worth).any(|cell| pick(cell.chart()));
        let shared = Shared {
            budgets: &panels.budgets,
            curves: panels.labels.len(),
            apart: panels.lacked.len(),
            base: has(|chart| chart.base.is_some()),
            stranger: has(|chart| chart.stranger.is_some()),
        };
        let legend = legend(width);
        let top = heading_height(width, title, phrases) + 4.0;
        let mut multiples = Self {
            cells,
            worth,
            said: Said::new(&panels.lines, width),
            columns,
            size: (width, 0.0),
            plot,
            headers,
            top,
            legend,
            shared,
        };
        multiples.size.1 = multiples.legend_top() + multiples.legend.height() + MARGIN;
        multiples
    }

    /// Where a row begins; of the row after the last, where the rows end.
    fn row_top(&self, row: usize) -> f64 {
        self.top + self.headers.iter().take(row).map(|header| header + self.plot.1 + FOOTER).sum::<f64>()
    }

    fn lines_top(&self) -> f64 {
        self.row_top(self.headers.len())
    }

    fn worth_top(&self) -> f64 {
        self.lines_top() + self.said.height()
    }

    fn legend_top(&self) -> f64 {
        let worth = if self.worth.is_empty() { 0.0 } else { TITLE_LINE + WORTH * self.plot.1 + FOOTER };
        self.worth_top() + worth + 6.0
    }

    /// Draws heading, panels (each by `paint`), lines and legend.
    pub(crate) fn draw(
        &self,
        title: &str,
        phrases: &[String],
        paint: impl Fn(&Canvas<'_>, &Place<'_>, Cell<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        drawing(self.size, title, |canvas| {
            heading(canvas, self.size.0, title, phrases)?;
            for (i, &cell) in self.cells.iter().enumerate() {
                let (row, column) = (i / self.columns, i % self.columns);
                let header = self.headers[row];
                self.panel(canvas, cell, column, (self.row_top(row) + header, self.plot.1), header, &paint)?;
            }
            self.said.draw(canvas, self.lines_top())?;
            for (column, &cell) in self.worth.iter().enumerate() {
                self.panel(canvas, cell, column, (self.worth_top() + TITLE_LINE, WORTH * self.plot.1), TITLE_LINE, &paint)?;
            }
            self.legend.draw(canvas, self.legend_top())
        })
    }

    fn panel(
        &self,
        canvas: &Canvas<'_>,
        cell: Cell<'_>,
        column: usize,
        (top, height): (f64, f64),
        header: f64,
        paint: &impl Fn(&Canvas<'_>, &Place<'_>, Cell<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let left = MARGIN + column as f64 * (LEFT + self.plot.0 + RIGHT) + LEFT;
        let frame = Frame { left, top, right: left + self.plot.0, bottom: top + height };
        let room = self.plot.0 + RIGHT - 6.0;
        let y = top - header + 10.0;
        canvas.text((left, y), cell.title(), text(HEADING).bold())?;
        let after = left + text_width(cell.title(), HEADING, true) + 10.0;
        let note = cell.note();
        if !note.is_empty() && after + text_width(note, SMALL, false) <= left + room {
            canvas.text((after, y), note, text(SMALL).colored(SOFT))?;
        }
        for sub in subs(cell, room) {
            let (x, y) = (left + sub.x, y + 17.0 + SUB_LINE * sub.line as f64);
            let indent = match sub.curve {
                Some(curve) => {
                    let (color, marker) = series(curve);
                    canvas.marker((x + 4.0, y), marker, 3.6, color, true)?;
                    12.0
                }
                None => 0.0,
            };
            canvas.text((x + indent, y), &sub.words, text(SMALL).colored(SOFT))?;
        }
        let place = Place { frame, shared: &self.shared };
        paint(canvas, &place, cell)?;
        place.x_axis(canvas, text(BODY).colored(SOFT).centered())
    }
}
