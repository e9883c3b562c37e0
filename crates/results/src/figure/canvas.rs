use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon, Text};
use plotters::prelude::{DrawingArea, IntoDrawingArea, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, IntoTextStyle, ShapeStyle};
use store::plain;

use super::font;

/// Drawing units to an SVG unit. plotters places everything on whole units, which is too coarse for thin lines and small
/// text; the view box undoes the factor.
const FINE: f64 = 10.0;

/// plotters writes a font size divided by this.
const PLOTTERS_FONT_FACTOR: f64 = 1.24;

pub(crate) type Point = (f64, f64);

/// A drawing in SVG units, y downwards.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// How a line of text is set; size in SVG units.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: RGBColor,
    pub(crate) h: HPos,
    pub(crate) v: VPos,
    /// Reads upwards.
    pub(crate) vertical: bool,
}

/// How a line is drawn; width in SVG units.
#[derive(Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) color: RGBColor,
    pub(crate) width: f64,
    /// Length of a dash and of the gap after it.
    pub(crate) dash: Option<(f64, f64)>,
}

/// Shapes that stay apart in grey and when small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    TriangleDown,
    Pentagon,
    Cross,
    Ring,
}

/// Draws a figure of `size` (width, height) and returns its SVG, with `title` as the text that screen readers speak.
pub(crate) fn drawing(size: Point, title: &str, paint: impl FnOnce(&Canvas<'_>) -> anyhow::Result<()>) -> anyhow::Result<String> {
    font::register()?;
    // whole units, so that a PNG is an exact multiple
    let size = (size.0.ceil(), size.1.ceil());
    let mut svg = String::new();
    let fine = ((size.0 * FINE).round() as u32, (size.1 * FINE).round() as u32);
    {
        let area = SVGBackend::with_string(&mut svg, fine).into_drawing_area();
        area.fill(&RGBColor(255, 255, 255)).map_err(wrong)?;
        let canvas = Canvas { area };
        paint(&canvas)?;
        canvas.area.present().map_err(wrong)?;
    }
    let (width, height) = fine;
    let from = format!("width=\"{width}\" height=\"{height}\" viewBox");
    let to = format!("width=\"{}\" height=\"{}\" viewBox", size.0, size.1);
    // of records that were edited by hand, any character may come
    let escaped = plain(title).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let svg = svg.replacen(&from, &to, 1);
    let end_of_root = svg.find(">\n").ok_or_else(|| anyhow!("plotters wrote no SVG"))? + 2;
    let (head, body) = svg.split_at(end_of_root);
    Ok(format!("{head}<title>{escaped}</title>\n{body}"))
}

impl Canvas<'_> {
    pub(crate) fn line(&self, points: &[Point], stroke: Stroke) -> anyhow::Result<()> {
        let style =
            ShapeStyle { color: stroke.color.to_rgba(), filled: false, stroke_width: (stroke.width * FINE).round() as u32 };
        let points: Vec<_> = points.iter().copied().map(fine).collect();
        let Some((dash, gap)) = stroke.dash else {
            return self.area.draw(&PathElement::new(points, style)).map_err(wrong);
        };
        let (dash, gap) = ((dash * FINE) as i32, (gap * FINE) as i32);
        self.area.draw(&DashedPathElement::new(points, dash, gap, style)).map_err(wrong)
    }

    pub(crate) fn area(&self, points: &[Point], color: RGBColor, opacity: f64) -> anyhow::Result<()> {
        let points: Vec<_> = points.iter().copied().map(fine).collect();
        self.area.draw(&Polygon::new(points, color.mix(opacity))).map_err(wrong)
    }

    pub(crate) fn rectangle(&self, corner: Point, opposite: Point, color: RGBColor, opacity: f64) -> anyhow::Result<()> {
        self.area(&[corner, (opposite.0, corner.1), opposite, (corner.0, opposite.1)], color, opacity)
    }

    pub(crate) fn text(&self, at: Point, text: &str, style: Type) -> anyhow::Result<()> {
        let size = style.size * FINE * PLOTTERS_FONT_FACTOR;
        let transform = if style.vertical { FontTransform::Rotate270 } else { FontTransform::None };
        let style = description(size, style.bold).transform(transform).color(&style.color).pos(Pos::new(style.h, style.v));
        let style = style.into_text_style(&self.area);
        self.area.draw(&Text::new(plain(text).into_owned(), fine(at), style)).map_err(wrong)
    }

    /// `size` is the radius; `filled` markers are solid, others white inside.
    pub(crate) fn marker(&self, at: Point, marker: Marker, size: f64, color: RGBColor, filled: bool) -> anyhow::Result<()> {
        let width = 1.5;
        let (x, y) = at;
        let round = |n: usize, phase: f64, size: f64| -> Vec<Point> {
            let angle = |i: usize| std::f64::consts::TAU * (i as f64 + phase) / n as f64;
            (0..n).map(|i| (x + size * libm::sin(angle(i)), y - size * libm::cos(angle(i)))).collect()
        };
        let outline = match marker {
            Marker::Circle | Marker::Ring => round(32, 0.0, size),
            Marker::Square => round(4, 0.5, size * 1.2),
            Marker::Triangle => round(3, 0.0, size * 1.25),
            Marker::Diamond => round(4, 0.0, size * 1.25),
            Marker::TriangleDown => round(3, 0.5, size * 1.25),
            Marker::Pentagon => round(5, 0.0, size * 1.15),
            Marker::Cross => {
                let arm = size * 0.85;
                let stroke = Stroke { color, width: 1.8, dash: None };
                self.line(&[(x - arm, y - arm), (x + arm, y + arm)], stroke)?;
                return self.line(&[(x - arm, y + arm), (x + arm, y - arm)], stroke);
            }
        };
        if marker == Marker::Circle && filled {
            let style = ShapeStyle { color: color.to_rgba(), filled: true, stroke_width: 0 };
            return self.area.draw(&Circle::new(fine(at), (size * FINE) as i32, style)).map_err(wrong);
        }
        if marker != Marker::Ring {
            let inside = if filled { color } else { RGBColor(255, 255, 255) };
            self.area(&outline, inside, 1.0)?;
        }
        let closed: Vec<Point> = outline.iter().chain(outline.first()).copied().collect();
        self.line(&closed, Stroke { color, width, dash: None })
    }
}

/// Width of a line of text, in SVG units, by the advances of the committed font.
pub(crate) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    if font::register().is_err() {
        return 0.0; // drawing fails with the reason
    }
    // measured large and scaled down, for plotters rounds to whole units; it takes a size as the font's line height
    let large = 1000.0;
    let width = description(large, bold).box_size(&plain(text)).map_or(0, |(width, _)| width);
    f64::from(width) / large * size * font::LINE_HEIGHT
}

fn description(size: f64, bold: bool) -> FontDesc<'static> {
    FontDesc::new(FontFamily::Name(font::FAMILY), size, if bold { FontStyle::Bold } else { FontStyle::Normal })
}

fn fine((x, y): Point) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn wrong(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("plotters: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::palette;

    #[test]
    fn what_xml_cannot_hold_is_written_out() {
        let words = "a\u{1b}[2J\u{0}<b>\u{fffe}&";
        let style = palette::text(20.0);
        let svg = drawing((500.0, 40.0), words, |canvas| canvas.text((10.0, 20.0), words, style)).unwrap();
        assert!(!svg.contains(store::is_unshowable), "{svg}");
        assert_eq!(svg.matches("a\\u{1b}[2J\\u{0}&lt;b&gt;\\u{fffe}&amp;").count(), 2, "title and text: {svg}");
        let outlined = crate::Figure { svg }.outlined().unwrap();
        assert!(!outlined.contains(store::is_unshowable));
    }

    #[test]
    fn measured_widths_are_those_of_the_rendered_text() {
        for (text, bold) in
            [("control (student of the clean teacher)", false), ("10\u{a0}k to > 28.8\u{a0}M", false), ("secret_sharer", true)]
        {
            let style = Type { bold, ..palette::text(20.0) };
            let svg = drawing((500.0, 40.0), "", |canvas| canvas.text((10.0, 20.0), text, style)).unwrap();
            let picture = resvg::tiny_skia::Pixmap::decode_png(&crate::Figure { svg }.png(4.0).unwrap()).unwrap();
            let width = picture.width() as usize;
            let dark =
                picture.pixels().iter().enumerate().filter(|(_, p)| p.red() < 128).map(|(i, _)| (i % width) as f64 / 4.0 - 10.0);
            let end = dark.fold(0.0, f64::max);
            let measured = text_width(text, 20.0, bold);
            // kerning, which plotters does not know, and the last letter's side bearing
            assert!((end / measured - 1.0).abs() < 0.03, "{text}: ends at {end}, measured {measured}");
        }
    }
}
