//! What colours, markers and signs mean.

use plotters::prelude::RGBColor;

use super::arms::{DASH, alarm, apart_dash, plus};
use super::canvas::{Canvas, Marker, Point, Stroke, text_width};
use super::cell::Cell;
use super::chart::{Chart, Dot};
use super::evidence::{HOLM_DASH, LEVEL_DASH};
use super::layout::{BODY, MARGIN, wrap};
use super::palette::{INK, SOFT, dash, pale, series, text};
use super::series::Panels;
use crate::words::queries;

const LINE: f64 = 15.0;
const ROW_GAP: f64 = 5.0;
const SAMPLE: f64 = 34.0;
const GAP: f64 = 20.0;

/// What an entry shows beside its words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    /// A line with a marker on it.
    Line { color: RGBColor, dash: Option<(f64, f64)>, marker: Marker, filled: bool },
    /// The same with the plus of a positive control.
    Positive,
    /// A marker alone.
    Mark { color: RGBColor, marker: Marker, filled: bool },
    /// A range band.
    Band,
    /// A marker with the ring that N* wears.
    Star,
    /// The sign of a false positive.
    Alarm,
    /// An upright line.
    Upright { color: RGBColor, width: f64, dash: Option<(f64, f64)> },
    /// A marker with a line through it that lies.
    Whisker { color: RGBColor, marker: Marker },
}

type Entry = (Sample, Vec<String>);

/// Rows of entries; each inner list begins on a row of its own and flows on where the page ends. Words wider than the page wrap.
pub(crate) struct Legend {
    rows: Vec<Vec<Entry>>,
}

fn wide(entry: &Entry) -> f64 {
    SAMPLE + entry.1.iter().map(|line| text_width(line, BODY, false)).fold(0.0, f64::max)
}

fn high(row: &[Entry]) -> f64 {
    row.iter().map(|entry| entry.1.len()).max().unwrap_or(1) as f64 * LINE + ROW_GAP
}

impl Legend {
    pub(crate) fn new(groups: Vec<Vec<(Sample, String)>>, width: f64) -> Self {
        let room = width - 2.0 * MARGIN;
        let mut rows: Vec<Vec<Entry>> = Vec::new();
        for group in groups {
            let mut used = f64::INFINITY;
            for (sample, words) in group {
                let entry = (sample, wrap(&words, " ", room - SAMPLE, BODY, false));
                if used + wide(&entry) > room {
                    rows.push(Vec::new());
                    used = 0.0;
                }
                used += wide(&entry) + GAP;
                if let Some(row) = rows.last_mut() {
                    row.push(entry);
                }
            }
        }
        Self { rows }
    }

    pub(crate) fn height(&self) -> f64 {
        self.rows.iter().map(|row| high(row)).sum()
    }

    /// Draws it with its top at `top`.
    pub(crate) fn draw(&self, canvas: &Canvas<'_>, top: f64) -> anyhow::Result<()> {
        let mut y = top + 0.5 * LINE;
        for row in &self.rows {
            let mut x = MARGIN;
            for entry in row {
                sample(canvas, (x, y), entry.0)?;
                for (i, line) in entry.1.iter().enumerate() {
                    canvas.text((x + SAMPLE, y + i as f64 * LINE), line, text(BODY))?;
                }
                x += wide(entry) + GAP;
            }
            y += high(row);
        }
        Ok(())
    }
}

fn sample(canvas: &Canvas<'_>, (x, y): Point, sample: Sample) -> anyhow::Result<()> {
    let (end, middle) = (x + SAMPLE - 8.0, x + 0.5 * (SAMPLE - 8.0));
    let line = |color, dash, marker, filled| {
        // outwards from the marker, so that both ends show the same dashes
        canvas.line(&[(middle, y), (x, y)], Stroke { color, width: 1.8, dash })?;
        canvas.line(&[(middle, y), (end, y)], Stroke { color, width: 1.8, dash })?;
        canvas.marker((middle, y), marker, 4.0, color, filled)
    };
    match sample {
        Sample::Line { color, dash, marker, filled } => line(color, dash, marker, filled),
        Sample::Positive => {
            line(INK, Some(DASH), Marker::Circle, false)?;
            plus(canvas, (middle, y), INK)
        }
        Sample::Mark { color, marker, filled } => canvas.marker((middle, y), marker, 4.5, color, filled),
        Sample::Band => canvas.rectangle((x, y - 5.0), (end, y + 5.0), SOFT, 0.25),
        Sample::Star => {
            canvas.marker((middle, y), Marker::Circle, 4.0, INK, true)?;
            canvas.marker((middle, y), Marker::Ring, 7.5, INK, false)
        }
        Sample::Alarm => alarm(canvas, (middle, y)),
        Sample::Upright { color, width, dash } => {
            canvas.line(&[(middle, y - 6.0), (middle, y + 6.0)], Stroke { color, width, dash })
        }
        Sample::Whisker { color, marker } => {
            canvas.line(&[(x, y), (end, y)], Stroke { color, width: 1.1, dash: None })?;
            canvas.marker((middle, y), marker, 3.4, color, true)
        }
    }
}

/// The same of rows: budgets have the colours there, and curves their names beside them.
pub(crate) fn rows_legend(panels: &Panels, cells: &[Cell<'_>], width: f64) -> Legend {
    let charts: Vec<&Chart> =
        cells.iter().map(|cell| cell.chart()).chain(panels.worth.iter().map(|worth| &worth.chart)).collect();
    let any = |pick: fn(&Chart) -> bool| charts.iter().any(|chart| pick(chart));
    let has = |pick: fn(&Cell<'_>) -> bool| cells.iter().any(pick);
    let evidence = has(|cell| matches!(cell, Cell::Evidence(_)));
    let several_tests = has(|cell| matches!(cell, Cell::Evidence(panel) if panel.tests > 1));
    let ringed =
        has(|cell| matches!(cell, Cell::Evidence(panel) if panel.stars.iter().flatten().any(|star| star.median().is_some())));
    let budgets = panels.budgets.all();
    let student = |(i, budget): (usize, &u64)| {
        let (color, marker) = series(i);
        let words = format!("student of {} queries", queries(*budget));
        match i + 1 == budgets.len() {
            true => (Sample::Whisker { color, marker }, format!("{words}, with its interval, or the range over seeds")),
            false => (Sample::Mark { color, marker, filled: true }, words),
        }
    };
    let lone = |marker| Sample::Mark { color: SOFT, marker, filled: false };
    let upright = |color, width, dash| Sample::Upright { color, width, dash };
    let lacked = panels.lacked.join(", ");
    let held_against = match evidence {
        true => "\u{3b1}; in panels of effect none, in those of worth the base",
        false => "no effect; in panels of worth the base",
    };
    let others = [
        (any(|c| c.teacher_of.iter().any(Option::is_some)), upright(SOFT, 1.6, None), "teacher".to_string()),
        (
            any(|c| c.curves.iter().any(|curve| !curve.control.is_empty())),
            lone(Marker::Circle),
            "control (student of the clean teacher)".to_string(),
        ),
        (!panels.lacked.is_empty(), lone(Marker::Triangle), format!("student without one mark ({lacked})")),
        (
            any(|c| c.curves.iter().any(|curve| !curve.rival.is_empty())),
            lone(Marker::Cross),
            "rival (student of another teacher)".to_string(),
        ),
        (true, upright(INK, 1.0, Some(LEVEL_DASH)), held_against.to_string()),
        (several_tests, upright(INK, 1.0, Some(HOLM_DASH)), "\u{3b1} over the number of tests (Holm's first step)".to_string()),
        (ringed, Sample::Star, "N*: proven from here on (median)".to_string()),
        (
            any(|c| c.dots().any(|dot| dot.alarm)),
            Sample::Alarm,
            "false positive in this row: a key fires where it must not".to_string(),
        ),
    ];
    let others = others.into_iter().filter(|(shown, ..)| *shown).map(|(_, sample, words)| (sample, words)).collect();
    Legend::new(vec![budgets.iter().enumerate().map(student).collect(), others], width)
}

/// First the colours, then the arms: the two are crossed in the panels. Only what is drawn is explained.
pub(crate) fn legend(panels: &Panels, cells: &[Cell<'_>], width: f64) -> Legend {
    let curves = panels.labels.iter().enumerate().map(|(i, label)| {
        let (color, marker) = series(i);
        (Sample::Line { color, dash: dash(i), marker, filled: true }, label.clone())
    });
    let charts: Vec<&Chart> =
        cells.iter().map(|cell| cell.chart()).chain(panels.worth.iter().map(|worth| &worth.chart)).collect();
    if charts.is_empty() {
        return Legend::new(Vec::new(), width);
    }
    let line = |dash, filled| Sample::Line { color: INK, dash, marker: Marker::Circle, filled };
    let lone = |marker| Sample::Mark { color: SOFT, marker, filled: false };
    let control = |wanted: bool| {
        charts.iter().any(|chart| chart.curves.iter().flat_map(|curve| &curve.control).any(|dot| dot.positive == wanted))
    };
    let any = |pick: fn(&Chart) -> bool| charts.iter().any(|chart| pick(chart));
    let ringed = cells.iter().any(|cell| match cell {
        Cell::Evidence(panel) => panel.stars.iter().flatten().any(|star| star.median().is_some()),
        _ => false,
    });
    let counts =
        cells.iter().any(|cell| matches!(cell, Cell::Evidence(panel) if panel.counts.iter().any(|count| !count.dots.is_empty())));
    let wide = |dot: &Dot| dot.range.0 != dot.range.1;
    let banded = charts.iter().any(|chart| chart.curves.iter().any(|c| c.student.iter().chain(&c.control).any(wide)));
    let cross = Sample::Mark { color: INK, marker: Marker::Cross, filled: false };
    let apart = panels.lacked.iter().enumerate().map(|(k, mark)| {
        let drawn =
            charts.iter().any(|chart| chart.curves.iter().any(|curve| curve.apart.get(k).is_some_and(|dots| !dots.is_empty())));
        (drawn, line(Some(apart_dash(k)), false), format!("student without {mark} (its teacher had every other mark)"))
    });
    let arms = [
        (true, line(None, true), "student"),
        (
            counts,
            Sample::Line { color: pale(INK), dash: None, marker: Marker::Circle, filled: true },
            "student by the older test, the count of distinct units",
        ),
        (control(false), line(Some(DASH), false), "control (student of the clean teacher)"),
        (control(true), Sample::Positive, "control that must show the mark (positive)"),
        (any(|c| c.curves.iter().any(|c| !c.rival.is_empty())), cross, "rival (student of another teacher)"),
        (any(|c| c.base.is_some()), lone(Marker::Diamond), "base"),
        (any(|c| c.stranger.is_some()), lone(Marker::TriangleDown), "stranger"),
        (ringed, Sample::Star, "N*: proven from here on (median)"),
        (banded, Sample::Band, "smallest to largest over seeds, median drawn"),
        (any(|c| c.dots().any(|dot| dot.alarm)), Sample::Alarm, "false positive: a key fires where it must not"),
    ];
    let arms = arms.map(|(shown, sample, label)| (shown, sample, label.to_string())).into_iter().chain(apart);
    let arms = arms.filter(|(shown, _, _)| *shown).map(|(_, sample, label)| (sample, label));
    Legend::new(vec![curves.collect(), arms.collect()], width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_leaves_the_page() {
        let label = "top_logprobs(k=20,post), after clean fine-tuning, behind rounding, delta=2, width=4, another=word";
        let entries = vec![vec![(Sample::Band, label.to_string()), (Sample::Star, "short".to_string())]];
        for width in [200.0, 398.0, 804.0] {
            let legend = Legend::new(entries.clone(), width);
            for row in &legend.rows {
                let used: f64 = row.iter().map(|entry| wide(entry) + GAP).sum::<f64>() - GAP;
                assert!(used <= width - 2.0 * MARGIN, "{width}: {used}");
            }
            let said: Vec<String> = legend.rows.iter().flatten().map(|entry| entry.1.join(" ")).collect();
            assert_eq!(said, [label, "short"], "{width}");
        }
        assert!(Legend::new(entries.clone(), 200.0).height() > Legend::new(entries, 804.0).height());
    }
}
