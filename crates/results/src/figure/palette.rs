use plotters::prelude::RGBColor;

use super::canvas::{Marker, Type};
use plotters::style::text_anchor::{HPos, VPos};

pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
pub(crate) const SOFT: RGBColor = RGBColor(96, 96, 96);
pub(crate) const GRID: RGBColor = RGBColor(230, 230, 230);
/// Of the sign of a false positive alone.
pub(crate) const ALARM: RGBColor = RGBColor(176, 0, 32);
pub(crate) const SHADE: RGBColor = RGBColor(246, 246, 246);

/// Okabe and Ito's colours (Color Universal Design, 2008) that read on white, in an order whose neighbours differ in
/// lightness too; the marker tells them apart where there is no colour at all.
const SERIES: [(RGBColor, Marker); 6] = [
    (RGBColor(0, 114, 178), Marker::Circle),
    (RGBColor(213, 94, 0), Marker::Square),
    (RGBColor(0, 158, 115), Marker::Triangle),
    (RGBColor(204, 121, 167), Marker::Diamond),
    (RGBColor(86, 180, 233), Marker::TriangleDown),
    (RGBColor(230, 159, 0), Marker::Pentagon),
];

/// Number of series that colours alone tell apart.
pub(crate) const COLORS: usize = SERIES.len();

/// Colour and marker of the `i`-th series. Where colours have run out they come again with other markers: 36 pairs differ.
pub(crate) fn series(i: usize) -> (RGBColor, Marker) {
    (SERIES[i % COLORS].0, SERIES[(i + i / COLORS) % COLORS].1)
}

/// A colour thinned with white, for what stands behind.
pub(crate) fn pale(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let thin = |c: u8| (0.3 * f64::from(c) + 0.7 * 255.0).round() as u8;
    RGBColor(thin(r), thin(g), thin(b))
}

/// Dash of the `i`-th line where colours have run out.
pub(crate) fn dash(i: usize) -> Option<(f64, f64)> {
    [None, Some((7.0, 2.0)), Some((2.0, 2.5)), Some((10.0, 3.0))][(i / COLORS) % 4]
}

/// Running text, left-aligned on its middle.
pub(crate) fn text(size: f64) -> Type {
    Type { size, bold: false, color: INK, h: HPos::Left, v: VPos::Center, vertical: false }
}

impl Type {
    pub(crate) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) fn colored(self, color: RGBColor) -> Self {
        Self { color, ..self }
    }

    pub(crate) fn centered(self) -> Self {
        Self { h: HPos::Center, ..self }
    }

    pub(crate) fn right(self) -> Self {
        Self { h: HPos::Right, ..self }
    }

    pub(crate) fn upward(self) -> Self {
        Self { vertical: true, h: HPos::Center, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_of_36_series_look_alike() {
        let look = |i| {
            let (RGBColor(r, g, b), marker) = series(i);
            (r, g, b, format!("{marker:?}"))
        };
        assert_eq!((0..36).map(look).collect::<BTreeSet<_>>().len(), 36);
        assert!((0..COLORS).all(|i| dash(i).is_none()) && dash(COLORS).is_some());
    }
}
