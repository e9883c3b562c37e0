//! Every mark in every suspect at a glance: a row for each mark, a column for each kind of suspect, a number in each cell.

use anyhow::ensure;
use plotters::prelude::RGBColor;

use super::canvas::{Canvas, Stroke, drawing, text_width};
use super::layout::{BODY, MARGIN, SMALL, heading, heading_height, wrap};
use super::palette::{ALARM, INK, SOFT, text};
use super::picture::Figure;
use super::scale::Axis;
use super::table_of_cells::{Cell, Group, TableOfCells};
use super::width::Width;
use crate::{Caption, Record};

/// Fewer rows than this need no heat map: the curves say it all.
pub(crate) const FEWEST_ROWS: usize = 4;

const ROW: f64 = 19.0;
/// A column at least: three digits fit.
const NARROWEST: f64 = 27.0;
const WIDEST: f64 = 62.0;
/// Between groups of columns, and between blocks of groups.
const GAP: f64 = 12.0;
const BELOW: f64 = 18.0;
const LINE: f64 = 14.0;
/// Height and width of the scale.
const SCALE: (f64, f64) = (12.0, 210.0);

/// Evidence (-log10 p) as a number on a colour: rows are marks, or the alternatives of a grid; columns are the teacher, students by budget,
/// control and rival of each surface, and the base and the stranger. Several seeds: the median; bold where the mark is proven in every
/// seed. A false positive is framed. The darker a cell, the stronger the evidence; the order of darkness holds in grey too.
///
/// # Errors
/// When there are too few marks to be a table of, or no suspect has a p-value.
pub fn heat_figure(records: &[Record], caption: &Caption, width: Width) -> anyhow::Result<Figure> {
    let table = TableOfCells::of(records);
    ensure!(table.groups.iter().any(|group| !group.columns.is_empty()), "no suspect has a p-value to draw");
    let mut phrases = caption.lines(&[]);
    let seeds = if table.seeds > 1 { format!("median of {} seeds", table.seeds) } else { "1 seed".to_string() };
    phrases.push(format!("numbers: \u{2212}log\u{2081}\u{2080} p, {seeds}"));
    phrases.push(format!("bold: proven{}", if table.seeds > 1 { " in every seed" } else { "" }));
    let page = match width {
        Width::One => 398.0,
        Width::Two => 804.0,
    };
    let plan = Plan::new(&table, page, heading_height(page, &caption.title, &phrases) + 8.0);
    let svg = drawing((page, plan.height()), &caption.title, |canvas| {
        heading(canvas, page, &caption.title, &phrases)?;
        plan.paint(canvas)
    })?;
    Ok(Figure { svg })
}

/// Whether records have enough marks, or alternatives of a mark, for a heat map.
pub(crate) fn is_worth_a_heat_map(records: &[Record]) -> bool {
    TableOfCells::of(records).rows.len() >= FEWEST_ROWS
}

/// Where everything stands.
struct Plan<'a> {
    table: &'a TableOfCells,
    /// Groups side by side, one list below the other.
    blocks: Vec<Vec<(usize, &'a Group)>>,
    /// Names of the rows, wrapped.
    names: Vec<Vec<String>>,
    page: f64,
    left: f64,
    column: f64,
    top: f64,
    /// Height of what stands above the cells, by block: names of groups, then of columns.
    headers: Vec<(f64, f64)>,
    axis: Axis,
}

impl<'a> Plan<'a> {
    fn new(table: &'a TableOfCells, page: f64, top: f64) -> Self {
        let longest = |words: &mut dyn Iterator<Item = &str>| words.map(|w| text_width(w, SMALL, false)).fold(0.0, f64::max);
        let whole = longest(&mut table.rows.iter().map(String::as_str));
        let words = longest(&mut table.rows.iter().flat_map(|name| name.split(' ')));
        let room = whole.min(0.3 * page).max(words);
        let left = MARGIN + room + 10.0;
        let space = page - MARGIN - left;
        let mut blocks: Vec<Vec<(usize, &Group)>> = Vec::new();
        let mut used = 0.0;
        for one in table.groups.iter().enumerate().filter(|(_, group)| !group.columns.is_empty()) {
            let needed = width_of(one.1, NARROWEST) + GAP;
            match blocks.last_mut() {
                Some(block) if used + needed <= space + GAP => {
                    used += needed;
                    block.push(one);
                }
                _ => {
                    used = needed;
                    blocks.push(vec![one]);
                }
            }
        }
        // the widest column with which every block fits
        let taken = |block: &Vec<(usize, &Group)>, column| {
            block.iter().map(|(_, group)| width_of(group, column)).sum::<f64>() + (block.len() - 1) as f64 * GAP
        };
        let steps = (0..=70).map(|step| WIDEST - 0.5 * f64::from(step)).take_while(|column| *column > NARROWEST);
        let fits = |column: &f64| blocks.iter().all(|block| taken(block, *column) <= space);
        let column = steps.into_iter().find(fits).unwrap_or(NARROWEST);
        let header = |block: &Vec<(usize, &Group)>| {
            let groups = block.iter().map(|(_, group)| title(group, column).len()).max().unwrap_or(0) as f64 * LINE;
            let names = block.iter().flat_map(|(_, group)| group.columns.iter().map(|column| column.name.as_str()));
            (groups, longest(&mut names.into_iter()) + 12.0)
        };
        Self {
            table,
            headers: blocks.iter().map(header).collect(),
            blocks,
            names: table.rows.iter().map(|name| wrap(name, " ", room, SMALL, false)).collect(),
            page,
            left,
            column,
            top,
            axis: Axis::evidence(table.most_evidence().max(13.0)),
        }
    }

    fn row_height(&self, row: usize) -> f64 {
        ROW + LINE * self.names[row].len().saturating_sub(1) as f64
    }

    fn row_top(&self, row: usize) -> f64 {
        (0..row).map(|row| self.row_height(row)).sum()
    }

    fn block_top(&self, block: usize) -> f64 {
        let rows = self.row_top(self.names.len());
        self.top + self.headers[..block].iter().map(|(groups, names)| groups + names + rows + BELOW).sum::<f64>()
    }

    fn height(&self) -> f64 {
        self.block_top(self.blocks.len()) + SCALE.0 + (1.5 + self.words().len() as f64) * LINE + MARGIN
    }

    /// What stands below the scale, in lines.
    fn words(&self) -> Vec<String> {
        let words = [", n/m: not measurable", ", framed: a key that fires where it must not"];
        let shown = [self.table.has_unmeasured(), self.table.has_false_positives()];
        let said: String = words.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(words, _)| words).collect();
        wrap(&format!("\u{2212}log\u{2081}\u{2080} p{said}"), " ", self.page - MARGIN - self.left, SMALL, false)
    }

    fn paint(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        for (block, groups) in self.blocks.iter().enumerate() {
            let (titles, names) = self.headers[block];
            let top = self.block_top(block);
            let cells = top + titles + names;
            for (row, lines) in self.names.iter().enumerate() {
                let middle = cells + self.row_top(row) + 0.5 * self.row_height(row);
                for (i, line) in lines.iter().enumerate() {
                    let y = middle + LINE * (i as f64 - 0.5 * (lines.len() - 1) as f64);
                    canvas.text((self.left - 8.0, y), line, text(SMALL).right())?;
                }
            }
            let mut x = self.left;
            for (_, group) in groups {
                for (i, line) in title(group, self.column).iter().enumerate() {
                    canvas.text((x, top + LINE * (i as f64 + 0.5)), line, text(BODY).bold())?;
                }
                for column in &group.columns {
                    // plotters turns a text about its middle
                    let length = text_width(&column.name, SMALL, false);
                    let at = (x + 0.5 * self.column, cells - 5.0 - 0.5 * length);
                    canvas.text(at, &column.name, text(SMALL).colored(SOFT).upward())?;
                    for (row, cell) in column.cells.iter().enumerate() {
                        let y = cells + self.row_top(row);
                        self.cell(canvas, (x, y), self.row_height(row), cell.as_ref())?;
                    }
                    x += self.column;
                }
                x += width_of(group, self.column) - group.columns.len() as f64 * self.column + GAP;
            }
        }
        self.scale(canvas, self.block_top(self.blocks.len()))
    }

    fn cell(&self, canvas: &Canvas<'_>, (x, y): (f64, f64), height: f64, cell: Option<&Cell>) -> anyhow::Result<()> {
        let (inner, opposite) = ((x + 0.5, y + 0.5), (x + self.column - 0.5, y + height - 0.5));
        let middle = (x + 0.5 * self.column, y + 0.5 * height);
        let Some(cell) = cell else { return Ok(()) };
        let Some(evidence) = cell.evidence else {
            canvas.rectangle(inner, opposite, RGBColor(240, 240, 240), 1.0)?;
            return canvas.text(middle, "n/m", text(SMALL).colored(SOFT).centered());
        };
        let share = self.share(evidence);
        canvas.rectangle(inner, opposite, shade(share), 1.0)?;
        let color = if share > 0.55 { RGBColor(255, 255, 255) } else { INK };
        let style = text(SMALL).colored(color).centered();
        canvas.text(middle, &digits(evidence), if cell.proven { style.bold() } else { style })?;
        if cell.false_positive {
            let (right, bottom) = (opposite.0 - 1.0, opposite.1 - 1.0);
            let (left, top) = (inner.0 + 1.0, inner.1 + 1.0);
            let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
            canvas.line(&frame, Stroke { color: ALARM, width: 2.0, dash: None })?;
        }
        Ok(())
    }

    /// Place of some evidence on the scale, 0 to 1.
    fn share(&self, evidence: f64) -> f64 {
        let (low, high) = (self.axis.at(0.0), self.axis.at(self.table.most_evidence().max(13.0)));
        ((self.axis.at(evidence) - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn scale(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let (height, width) = (SCALE.0, SCALE.1.min(self.page - MARGIN - self.left));
        let steps = 60;
        for i in 0..steps {
            let at = |i: i32| self.left + width * f64::from(i) / f64::from(steps);
            let share = (f64::from(i) + 0.5) / f64::from(steps);
            canvas.rectangle((at(i), top), (at(i + 1) + 0.4, top + height), shade(share), 1.0)?;
        }
        let most = self.table.most_evidence().max(13.0);
        let mut free = f64::NEG_INFINITY;
        for tick in self.axis.ticks.iter().copied().filter(|tick| *tick <= most) {
            let at = self.left + width * self.share(tick);
            let label = self.axis.label(tick);
            let half = 0.5 * text_width(&label, SMALL, false);
            canvas.line(&[(at, top + height), (at, top + height + 3.0)], Stroke { color: INK, width: 0.8, dash: None })?;
            if at - half > free {
                canvas.text((at, top + height + 11.0), &label, text(SMALL).centered())?;
                free = at + half + 4.0;
            }
        }
        let y = top + height + 11.0 + LINE;
        for (i, line) in self.words().iter().enumerate() {
            canvas.text((self.left, y + LINE * i as f64), line, text(SMALL).colored(SOFT))?;
        }
        Ok(())
    }
}

/// Room that a group takes: its columns, or the longest word of its name.
fn width_of(group: &Group, column: f64) -> f64 {
    let words = group.name.split(' ').map(|word| text_width(word, BODY, true));
    words.fold(group.columns.len() as f64 * column, f64::max)
}

/// The name of a group in lines.
fn title(group: &Group, column: f64) -> Vec<String> {
    wrap(&group.name, " ", width_of(group, column), BODY, true)
}

/// Evidence with as many digits as mean something, and as fit: 19 k for 19,381.
fn digits(evidence: f64) -> String {
    match evidence {
        ..9.95 => format!("{evidence:.1}"),
        ..9_999.5 => format!("{evidence:.0}"),
        _ => format!("{:.0} k", evidence / 1_000.0),
    }
}

/// White to dark blue by way of Okabe and Ito's blue: lightness falls all the way.
fn shade(share: f64) -> RGBColor {
    const STOPS: [(f64, [f64; 3]); 3] = [(0.0, [250.0, 250.0, 250.0]), (0.6, [64.0, 146.0, 200.0]), (1.0, [8.0, 48.0, 90.0])];
    let above = STOPS.iter().position(|(at, _)| *at >= share).unwrap_or(2).max(1);
    let ((low, from), (high, to)) = (STOPS[above - 1], STOPS[above]);
    let part = (share - low) / (high - low);
    let mix = |i: usize| (from[i] + part * (to[i] - from[i])).round() as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn darkness_grows_with_evidence() {
        let light = |i: u32| {
            let RGBColor(r, g, b) = shade(f64::from(i) / 100.0);
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        assert!((0..100).all(|i| light(i) > light(i + 1)));
        let written = [0.04, 9.94, 157.3, 9_999.0, 19_381.0].map(digits);
        assert_eq!(written, ["0.0", "9.9", "157", "9999", "19 k"]);
    }
}
