//! Very many settings: a row for each, so that each keeps its name, and a column for each panel. What a curve shows over budgets stands in
//! one row, a marker for each budget.

use super::arms::alarm;
use super::canvas::{Canvas, Marker, Point, Stroke, drawing, text_width};
use super::cell::Cell;
use super::chart::{Chart, Dot};
use super::effect::scale;
use super::evidence::{HOLM_DASH, LEVEL_DASH, Levels};
use super::layout::{BODY, HEADING, MARGIN, SMALL, heading, heading_height, wrap};
use super::legend::Legend;
use super::palette::{GRID, INK, SHADE, SOFT, series, text};
use super::said::Said;
use super::scale::Axis;
use super::series::Panels;
use super::width::Width;
use crate::words::number;

/// More curves than this are rows.
pub(crate) const MOST_CURVES: usize = 12;

/// Height of a row whose name has one line, and of each further line.
const ROW: f64 = 13.5;
const LINE: f64 = 12.0;
/// Between names and panels, and between panels: room for the numbers at their ends.
const GAP: f64 = 26.0;
/// A panel at least.
const NARROWEST: f64 = 118.0;
const TITLE_LINE: f64 = 17.0;
const SUB_LINE: f64 = 14.0;
/// Above a frame for its numbers; below it for numbers and the name of the axis.
const ABOVE: f64 = 20.0;
const BELOW: f64 = 40.0;
const STUDENT: f64 = 3.0;
const OTHER: f64 = 2.4;

/// Place of everything that does not depend on the values.
pub(crate) struct Rows<'a> {
    panels: &'a Panels,
    /// Panels that stand side by side, one list below the other.
    blocks: Vec<Vec<Cell<'a>>>,
    /// Names of the rows, wrapped: curves first, then models without a budget.
    names: Vec<Vec<String>>,
    base: bool,
    stranger: bool,
    size: Point,
    /// Where the first panel begins, and how wide each is.
    left: f64,
    panel: f64,
    /// Height of what stands above each block's frames.
    headers: Vec<f64>,
    top: f64,
    said: Said<'a>,
    legend: Legend,
}

/// Width of the page: that of the panels over queries.
fn page(width: Width) -> f64 {
    match width {
        Width::One => 398.0,
        Width::Two => 804.0,
    }
}

impl<'a> Rows<'a> {
    /// A block holds as many of `cells`, and of what students are worth, as fit side by side.
    pub(crate) fn new(
        panels: &'a Panels,
        cells: Vec<Cell<'a>>,
        width: Width,
        title: &str,
        phrases: &[String],
        legend: impl FnOnce(f64) -> Legend,
    ) -> Self {
        let (columns, wide) = (width.columns(), page(width));
        let worth = panels.worth.iter().take(columns).map(Cell::Worth);
        // evidence and effect of a mark stay side by side
        let pairs = cells.iter().any(|cell| matches!(cell, Cell::Evidence(_)))
            && cells.iter().any(|cell| matches!(cell, Cell::Effect(_)));
        let cells: Vec<Cell<'_>> = cells.into_iter().chain(worth).collect();
        let has = |pick: fn(&Chart) -> bool| cells.iter().any(|cell| pick(cell.chart()));
        let (base, stranger) = (has(|chart| chart.base.is_some()), has(|chart| chart.stranger.is_some()));
        let lone =
            [(base, "base"), (stranger, "stranger")].into_iter().filter(|(shown, _)| *shown).map(|(_, name)| name.to_string());
        let names: Vec<String> = panels.labels.iter().cloned().chain(lone).collect();
        let most = 0.4 * (wide - 2.0 * MARGIN);
        let longest =
            |words: &mut dyn Iterator<Item = &str>| words.map(|word| text_width(word, SMALL, false)).fold(0.0, f64::max);
        let whole = longest(&mut names.iter().map(String::as_str));
        let room = whole.min(most).max(longest(&mut names.iter().flat_map(|name| name.split(' '))));
        let left = MARGIN + room + 14.0;
        let space = wide - MARGIN - left;
        let fit = (((space + GAP) / (NARROWEST + GAP)) as usize).max(1);
        let fit = if pairs && fit > 1 { fit - fit % 2 } else { fit }.min(cells.len().max(1));
        let panel = (space - (fit - 1) as f64 * GAP) / fit as f64;
        let blocks: Vec<Vec<Cell<'_>>> = cells.chunks(fit).map(<[Cell<'_>]>::to_vec).collect();
        let header = |block: &Vec<Cell<'_>>| {
            let lines = |cell: &Cell<'_>| {
                let (titles, subs) = head(*cell, panel);
                TITLE_LINE * titles.len() as f64 + SUB_LINE * subs.len() as f64
            };
            block.iter().map(lines).fold(0.0, f64::max) + ABOVE
        };
        let mut rows = Self {
            panels,
            headers: blocks.iter().map(header).collect(),
            blocks,
            names: names.iter().map(|name| wrap(name, " ", room, SMALL, false)).collect(),
            base,
            stranger,
            size: (wide, 0.0),
            left,
            panel,
            top: heading_height(wide, title, phrases) + 6.0,
            said: Said::new(&panels.lines, wide),
            legend: legend(wide),
        };
        rows.size.1 = rows.legend_top() + rows.legend.height() + MARGIN;
        rows
    }

    fn row_height(&self, row: usize) -> f64 {
        ROW + LINE * self.names[row].len().saturating_sub(1) as f64
    }

    fn rows_height(&self) -> f64 {
        (0..self.names.len()).map(|row| self.row_height(row)).sum()
    }

    /// Where a block begins; of the block after the last, where the blocks end.
    fn block_top(&self, block: usize) -> f64 {
        self.top + self.headers.iter().take(block).map(|header| header + self.rows_height() + BELOW).sum::<f64>()
    }

    fn said_top(&self) -> f64 {
        self.block_top(self.blocks.len())
    }

    fn legend_top(&self) -> f64 {
        self.said_top() + self.said.height() + 6.0
    }

    /// Draws heading, blocks, lines and legend.
    pub(crate) fn draw(
        &self,
        title: &str,
        phrases: &[String],
        evidence: &Axis,
        levels: impl Fn(Cell<'_>) -> Option<Levels>,
    ) -> anyhow::Result<String> {
        drawing(self.size, title, |canvas| {
            heading(canvas, self.size.0, title, phrases)?;
            for (i, cells) in self.blocks.iter().enumerate() {
                let top = self.block_top(i) + self.headers[i];
                self.names(canvas, top)?;
                for (column, &cell) in cells.iter().enumerate() {
                    let left = self.left + column as f64 * (self.panel + GAP);
                    self.head(canvas, cell, (left, self.block_top(i)))?;
                    let (axis, near) = match cell {
                        Cell::Evidence(_) => (evidence.clone(), None),
                        Cell::Effect(_) | Cell::Worth(_) => {
                            let zero = matches!(cell, Cell::Effect(_)).then_some(0.0);
                            let (axis, near, _) = scale(cell.chart(), zero);
                            (axis, Some(near))
                        }
                    };
                    let place = Place { rows: self, axis, left, top };
                    place.frame(canvas, cell, levels(cell))?;
                    place.values(canvas, cell, &|dot| near.as_ref().is_none_or(|near| near(dot)))?;
                }
            }
            self.said.draw(canvas, self.said_top())?;
            self.legend.draw(canvas, self.legend_top())
        })
    }

    /// Names of the rows, every other one on a band.
    fn names(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let mut y = top;
        for (row, lines) in self.names.iter().enumerate() {
            let height = self.row_height(row);
            if row % 2 == 0 {
                canvas.rectangle((MARGIN - 4.0, y), (self.size.0 - MARGIN, y + height), SHADE, 1.0)?;
            }
            for (i, line) in lines.iter().enumerate() {
                let middle = y + 0.5 * height + LINE * (i as f64 - 0.5 * (lines.len() - 1) as f64);
                canvas.text((MARGIN, middle), line, text(SMALL))?;
            }
            y += height;
        }
        Ok(())
    }

    fn head(&self, canvas: &Canvas<'_>, cell: Cell<'_>, (left, top): Point) -> anyhow::Result<()> {
        let (titles, subs) = head(cell, self.panel);
        let mut y = top + 0.5 * TITLE_LINE;
        for line in titles {
            canvas.text((left, y), &line, text(HEADING).bold())?;
            y += TITLE_LINE;
        }
        for line in subs {
            canvas.text((left, y - 1.0), &line, text(SMALL).colored(SOFT))?;
            y += SUB_LINE;
        }
        Ok(())
    }
}

/// What stands above a panel: its title, and words below it.
fn head(cell: Cell<'_>, room: f64) -> (Vec<String>, Vec<String>) {
    let mut words = match cell {
        Cell::Effect(panel) => {
            vec![panel.effect_unit.as_ref().map_or("effect per unit".to_string(), |unit| format!("effect: {unit}"))]
        }
        Cell::Evidence(_) | Cell::Worth(_) => Vec::new(),
    };
    words.extend(Some(cell.note().to_string()).filter(|note| !note.is_empty()));
    words.extend(teachers_beyond(cell));
    let title = wrap(cell.title(), " ", room, HEADING, true);
    (title, words.iter().flat_map(|words| wrap(words, " ", room, SMALL, false)).collect())
}

/// What is said of teachers that are farther away than the scale goes.
fn teachers_beyond(cell: Cell<'_>) -> Option<String> {
    let zero = match cell {
        Cell::Evidence(_) => return None,
        Cell::Effect(_) => Some(0.0),
        Cell::Worth(_) => None,
    };
    let (_, near, _) = scale(cell.chart(), zero);
    let beyond: Vec<f64> =
        cell.chart().teacher.iter().map(|(_, dot)| dot).filter(|dot| !near(dot)).map(|dot| dot.value).collect();
    let least = beyond.iter().copied().reduce(f64::min)?;
    let most = beyond.iter().copied().reduce(f64::max)?;
    let range = if most > least { format!("{} to {}", number(least), number(most)) } else { number(least) };
    Some(format!("teacher {range}, off the scale"))
}

/// One panel's place and scale.
struct Place<'a> {
    rows: &'a Rows<'a>,
    axis: Axis,
    left: f64,
    top: f64,
}

impl Place<'_> {
    fn right(&self) -> f64 {
        self.left + self.rows.panel
    }

    fn bottom(&self) -> f64 {
        self.top + self.rows.rows_height()
    }

    fn x(&self, value: f64) -> f64 {
        self.left + self.axis.at(value).clamp(0.0, 1.0) * self.rows.panel
    }

    /// Middle of a row.
    fn y(&self, row: usize) -> f64 {
        let above: f64 = (0..row).map(|row| self.rows.row_height(row)).sum();
        self.top + above + 0.5 * self.rows.row_height(row)
    }

    /// Rules, numbers above and below, the levels that values are held against, and the name of the axis.
    fn frame(&self, canvas: &Canvas<'_>, cell: Cell<'_>, levels: Option<Levels>) -> anyhow::Result<()> {
        let upright = |x: f64, stroke| canvas.line(&[(x, self.top), (x, self.bottom())], stroke);
        let mut end = f64::NEG_INFINITY;
        for &tick in &self.axis.ticks {
            let (x, label) = (self.x(tick), self.axis.label(tick));
            upright(x, Stroke { color: GRID, width: 0.8, dash: None })?;
            let half = 0.5 * text_width(&label, SMALL, false);
            if x - half > end + 3.0 {
                canvas.text((x, self.top - 8.0), &label, text(SMALL).centered())?;
                canvas.text((x, self.bottom() + 10.0), &label, text(SMALL).centered())?;
                end = x + half;
            }
        }
        for y in [self.top, self.bottom()] {
            canvas.line(&[(self.left, y), (self.right(), y)], Stroke { color: INK, width: 1.0, dash: None })?;
        }
        let (name, base) = match cell {
            Cell::Evidence(_) if self.axis.is_compressed() => ("\u{2212}log\u{2081}\u{2080} p (asinh)", None),
            Cell::Evidence(_) => ("\u{2212}log\u{2081}\u{2080} p", None),
            Cell::Effect(_) => ("effect", Some(0.0)),
            Cell::Worth(worth) => ("worth", worth.chart.base.map(|dot| dot.value)),
        };
        let middle = 0.5 * (self.left + self.right());
        canvas.text((middle, self.bottom() + 25.0), name, text(BODY).colored(SOFT).centered())?;
        if let Some(value) = base {
            upright(self.x(value), Stroke { color: INK, width: 1.0, dash: Some(LEVEL_DASH) })?;
        }
        if let Some(levels) = levels {
            upright(self.x(-libm::log10(levels.alpha)), Stroke { color: INK, width: 1.0, dash: Some(LEVEL_DASH) })?;
            if levels.tests > 1 {
                upright(self.x(levels.holm()), Stroke { color: INK, width: 1.0, dash: Some(HOLM_DASH) })?;
            }
        }
        Ok(())
    }

    /// Every arm of every row; `near` says which teachers are on the scale.
    fn values(&self, canvas: &Canvas<'_>, cell: Cell<'_>, near: &dyn Fn(&Dot) -> bool) -> anyhow::Result<()> {
        let (chart, budgets) = (cell.chart(), self.rows.panels.budgets.all());
        for (row, curve) in chart.curves.iter().enumerate() {
            let y = self.y(row);
            if let Some(teacher) = chart.teacher_of.get(row).and_then(Option::as_ref).filter(|dot| near(dot)) {
                let x = self.x(teacher.value);
                canvas.line(&[(x, y - 5.0), (x, y + 5.0)], Stroke { color: SOFT, width: 1.6, dash: None })?;
            }
            let without = curve.apart.iter().flatten().map(|dot| (dot, Marker::Triangle));
            let controls = curve.control.iter().map(|dot| (dot, Marker::Circle));
            for (dot, marker) in controls.chain(without).chain(curve.rival.iter().map(|dot| (dot, Marker::Cross))) {
                canvas.marker((self.x(dot.value), y), marker, OTHER, SOFT, false)?;
            }
            let look = |dot: &Dot| series(budgets.iter().position(|&budget| budget == dot.budget).unwrap_or_default());
            if let Some(largest) = curve.student.last() {
                let evidence = matches!(cell, Cell::Evidence(_));
                let ends = if evidence { largest.range } else { largest.interval.unwrap_or(largest.range) };
                self.whisker(canvas, y, ends, look(largest).0)?;
            }
            for dot in &curve.student {
                let (color, marker) = look(dot);
                canvas.marker((self.x(dot.value), y), marker, STUDENT, color, true)?;
            }
            if let Cell::Evidence(panel) = cell
                && let Some(median) = panel.stars.get(row).and_then(Option::as_ref).and_then(|star| star.median())
                && let Some(dot) = curve.student.iter().find(|dot| dot.budget == median)
            {
                canvas.marker((self.x(dot.value), y), Marker::Ring, 5.6, INK, false)?;
            }
            let dots = curve.student.iter().chain(&curve.control).chain(&curve.rival).chain(curve.apart.iter().flatten());
            self.sign(canvas, y, dots)?;
        }
        let lone = [(self.rows.base, &chart.base, Marker::Diamond), (self.rows.stranger, &chart.stranger, Marker::TriangleDown)];
        for (row, (_, dot, marker)) in lone.into_iter().filter(|(shown, ..)| *shown).enumerate() {
            let y = self.y(chart.curves.len() + row);
            if let Some(dot) = dot {
                self.whisker(canvas, y, dot.interval.unwrap_or(dot.range), SOFT)?;
                canvas.marker((self.x(dot.value), y), marker, STUDENT, SOFT, false)?;
            }
            self.sign(canvas, y, dot.iter())?;
        }
        Ok(())
    }

    /// From end to end along a row.
    fn whisker(
        &self,
        canvas: &Canvas<'_>,
        y: f64,
        (low, high): (f64, f64),
        color: plotters::prelude::RGBColor,
    ) -> anyhow::Result<()> {
        let (low, high) = (self.x(low), self.x(high));
        if high - low < 0.5 {
            return Ok(());
        }
        canvas.line(&[(low, y), (high, y)], Stroke { color, width: 1.1, dash: None })
    }

    /// One sign for all false positives of a row, right of them.
    fn sign<'b>(&self, canvas: &Canvas<'_>, y: f64, dots: impl Iterator<Item = &'b Dot>) -> anyhow::Result<()> {
        let farthest = dots.filter(|dot| dot.alarm).map(|dot| self.x(dot.value)).reduce(f64::max);
        farthest.map_or(Ok(()), |x| alarm(canvas, ((x + 10.0).min(self.right() - 3.0), y)))
    }
}
