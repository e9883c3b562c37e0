//! Where points stand in one panel, from left to right.

use super::canvas::{Canvas, Stroke, Type, text_width};
use super::layout::{Frame, SMALL};
use super::palette::{COLORS, INK, SOFT, text};
use super::scale::Budgets;
use crate::words::queries;

const GUTTER: f64 = 44.0;
const PAD: f64 = 18.0;
/// Distance between two markers that stand at one budget.
const DODGE: f64 = 4.5;
const SHIFT: f64 = 4.0;
/// Width that all rivals keep within.
const RIVALS: f64 = 30.0;

/// What all panels of a figure share.
pub(crate) struct Shared<'a> {
    pub(crate) budgets: &'a Budgets,
    /// Number of curves.
    pub(crate) curves: usize,
    /// Number of students beside each whose teachers lacked a mark.
    pub(crate) apart: usize,
    /// Whether any panel has a base, and a stranger.
    pub(crate) base: bool,
    pub(crate) stranger: bool,
}

/// One panel's frame and horizontal mapping.
pub(crate) struct Place<'a> {
    pub(crate) frame: Frame,
    pub(crate) shared: &'a Shared<'a>,
}

impl Place<'_> {
    /// Where a budget is drawn.
    pub(crate) fn x(&self, budget: u64) -> f64 {
        let left = self.gutter_end() + PAD;
        left + self.shared.budgets.at(budget) * (self.frame.right - self.right_pad() - left)
    }

    /// Whether there are more curves than colours.
    pub(crate) fn crowded(&self) -> bool {
        self.shared.curves > COLORS
    }

    /// Sideways shift of the `i`-th curve as a whole, so that curves that lie on each other do not hide each other; together they
    /// keep within the pad.
    pub(crate) fn shift(&self, i: usize) -> f64 {
        let n = self.shared.curves as f64;
        (i as f64 - 0.5 * (n - 1.0)) * SHIFT.min(2.0 * (PAD - 3.0) / (n - 1.0).max(1.0))
    }

    /// Sideways shift of the `i`-th curve's rival: right of all curves, where it is beside the largest budget.
    pub(crate) fn rival_shift(&self, i: usize) -> f64 {
        let n = self.shared.curves;
        self.shift(n - 1) + 8.0 + 6.0_f64.min(RIVALS / n as f64) * i as f64
    }

    /// Room for the rivals.
    fn right_pad(&self) -> f64 {
        let n = self.shared.curves;
        if self.crowded() { self.shift(n - 1) + 8.0 + RIVALS } else { PAD.max(8.0 * n as f64 + 6.0) }
    }

    /// Sideways shift of the `arm`-th arm of the `i`-th curve: no two cover each other, and together they keep
    /// within the pad.
    pub(crate) fn dodge(&self, i: usize, arm: usize) -> f64 {
        let arms = 3 + self.shared.apart;
        let slots = (arms * self.shared.curves) as f64;
        let step = DODGE.min(2.0 * (PAD - 3.0) / slots);
        ((arms * i + arm) as f64 - 0.5 * (slots - 1.0)) * step
    }

    /// Middle of the slots left of the query axis, for arms without a budget: base first, stranger last.
    pub(crate) fn base_x(&self) -> f64 {
        self.frame.left + 0.5 * GUTTER
    }

    pub(crate) fn stranger_x(&self) -> f64 {
        self.gutter_end() - 0.5 * GUTTER
    }

    fn gutter_end(&self) -> f64 {
        self.frame.left + (usize::from(self.shared.base) + usize::from(self.shared.stranger)) as f64 * GUTTER
    }

    /// Shade of the slots without a budget; drawn first.
    pub(crate) fn shade(&self, canvas: &Canvas<'_>) -> anyhow::Result<()> {
        let end = self.gutter_end();
        if end > self.frame.left { self.frame.shade(canvas, end) } else { Ok(()) }
    }

    /// Numbers and title of the query axis: the budgets run, then powers of ten where there is room.
    pub(crate) fn x_axis(&self, canvas: &Canvas<'_>, title: Type) -> anyhow::Result<()> {
        let y = self.frame.bottom + 12.0;
        if self.shared.base {
            canvas.text((self.base_x(), y), "base", text(SMALL).centered())?;
        }
        if self.shared.stranger {
            canvas.text((self.stranger_x(), y), "stranger", text(SMALL).centered())?;
        }
        let budgets = self.shared.budgets;
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
        canvas.text((middle, self.frame.bottom + 27.0), "queries to the teacher", title)
    }
}
