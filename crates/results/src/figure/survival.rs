//! The two figures over query budgets: what survives, and how strong it is.

use super::canvas::Canvas;
use super::cell::Cell;
use super::evidence::Levels;
use super::legend::{legend, rows_legend};
use super::multiples::Multiples;
use super::palette::COLORS;
use super::picture::Figure;
use super::place::Place;
use super::rows::{MOST_CURVES, Rows};
use super::scale::Axis;
use super::series::{Panel, Panels};
use super::width::Width;
use super::{effect, evidence, worth};
use crate::{Caption, MIN_SEEDS_FOR_N_STAR, Record};

/// Evidence (-log10 p) and effect against queries, and below them on the same axis what the students are worth. Two columns wide, a mark
/// is a row: evidence left, effect right. One column wide, evidence alone; [`effect_figure`] has the rest.
///
/// One colour per setting (surface, loss, grid point), students solid and filled, their controls dashed and hollow, with a plus where
/// they are positives; students without one mark thin and hollow; rival, base and stranger at their place; alpha, Holm's level and the
/// teacher's as labelled lines; N* ringed; a false positive with a sign of its own; pale, what the count of distinct units says of the
/// same students. Several seeds: median, with a band from the smallest to the largest. A mark of which nothing is seen is a line of words.
///
/// More than twelve settings are a row each instead of a curve each: their names stand at the left, budgets have the colours.
///
/// The scale of evidence is shared by all panels, and turns from linear to logarithmic when the evidence is large. `records` must have
/// been judged at `alpha`.
///
/// # Errors
/// When no student has a p-value.
pub fn survival_figure(records: &[Record], caption: &Caption, alpha: f64, width: Width) -> anyhow::Result<Figure> {
    let panels = Panels::of(records, alpha)?;
    let both = panels.panels.iter().flat_map(|panel| [Cell::Evidence(panel), Cell::Effect(panel)]);
    let cells = match width {
        Width::Two => both.collect(),
        Width::One => panels.panels.iter().map(Cell::Evidence).collect(),
    };
    draw(&panels, cells, records, caption, alpha, width)
}

/// Effect per scored unit, with its 95 % interval, against queries: as in [`survival_figure`], but each panel has its own scale. More
/// curves than colours: whiskers of students only. Several seeds: bands of the medians' range, whiskers of median ends.
///
/// # Errors
/// When no student has a p-value.
pub fn effect_figure(records: &[Record], caption: &Caption, alpha: f64, width: Width) -> anyhow::Result<Figure> {
    let panels = Panels::of(records, alpha)?;
    let cells = panels.panels.iter().map(Cell::Effect).collect();
    draw(&panels, cells, records, caption, alpha, width)
}

fn draw(
    panels: &Panels,
    cells: Vec<Cell<'_>>,
    records: &[Record],
    caption: &Caption,
    alpha: f64,
    width: Width,
) -> anyhow::Result<Figure> {
    let levels = |panel: &Panel| Levels { alpha, tests: panel.tests };
    let strictest = panels.panels.iter().map(|panel| levels(panel).holm()).fold(-libm::log10(alpha), f64::max);
    let highest = panels.panels.iter().flat_map(|panel| {
        let counts = panel.counts.iter().flat_map(|count| &count.dots).map(|dot| dot.value);
        let teachers = panel.evidence.teacher.iter().map(|(_, dot)| dot.value);
        panel.evidence.values().chain(teachers).chain(counts).collect::<Vec<_>>()
    });
    let axis = Axis::evidence(highest.fold(strictest, f64::max));
    let has = |pick: fn(&Cell<'_>) -> bool| cells.iter().any(pick);
    let mut phrases = caption.lines(records);
    if has(|cell| matches!(cell, Cell::Effect(_))) {
        let of = if panels.labels.len() > COLORS { " of students" } else { "" };
        phrases.push(format!("whiskers: 95 % interval{of}"));
    }
    if let Some(primary) = panels.primary.as_ref().filter(|_| has(|cell| matches!(cell, Cell::Evidence(_)))) {
        phrases.push(format!("primary mark {primary}: the others are tested where it is proven"));
    }
    if panels.seeds < MIN_SEEDS_FOR_N_STAR && has(|cell| matches!(cell, Cell::Evidence(_))) {
        phrases.push(format!("fewer than {MIN_SEEDS_FOR_N_STAR} seeds: no N*"));
    }
    if panels.labels.len() > MOST_CURVES {
        let rows = Rows::new(panels, cells.clone(), width, &caption.title, &phrases, |room| rows_legend(panels, &cells, room));
        let of_cell = |cell: Cell<'_>| match cell {
            Cell::Evidence(panel) => Some(levels(panel)),
            Cell::Effect(_) | Cell::Worth(_) => None,
        };
        return Ok(Figure { svg: rows.draw(&caption.title, &phrases, &axis, of_cell)? });
    }
    let figure = Multiples::new(panels, cells.clone(), width, &caption.title, &phrases, |room| legend(panels, &cells, room));
    let paint = |canvas: &Canvas<'_>, place: &Place<'_>, cell: Cell<'_>| match cell {
        Cell::Evidence(panel) => evidence::paint(canvas, place, panel, &axis, levels(panel)),
        Cell::Effect(panel) => effect::paint(canvas, place, panel),
        Cell::Worth(panel) => worth::paint(canvas, place, panel),
    };
    Ok(Figure { svg: figure.draw(&caption.title, &phrases, paint)? })
}
