//! A drawing as PDF. Only what the figures use is there: paths in plain colours, and text as outlines, so that no font is embedded.

use std::collections::BTreeMap;

use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, TextStr};
use resvg::tiny_skia::{PathSegment, Point};
use resvg::usvg;

/// Points to an SVG unit: a figure two columns wide is 170 mm, and its smallest text 6.6 points.
const POINTS: f32 = 0.6;

/// How hard streams are compressed, out of 10: 9 takes several times as long, which was half of a figure, for a few percent.
const LEVEL: u8 = 6;

/// The page: as large as the drawing.
pub(super) fn page(tree: &usvg::Tree, title: &str) -> Vec<u8> {
    let size = tree.size();
    let mut painter = Painter { content: Content::new(), states: BTreeMap::new() };
    // PDF counts upwards
    painter.content.transform([POINTS, 0.0, 0.0, -POINTS, 0.0, POINTS * size.height()]);
    painter.group(tree.root(), 1.0);
    let Painter { content, states } = painter;

    let [catalog, pages, page, stream, info] = [1, 2, 3, 4, 5].map(Ref::new);
    let state_ref = |number: usize| Ref::new(6 + number as i32);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page]).count(1);
    let mut written = pdf.page(page);
    written.parent(pages).contents(stream).media_box(Rect::new(0.0, 0.0, POINTS * size.width(), POINTS * size.height()));
    let mut resources = written.resources();
    let mut named = resources.ext_g_states();
    for number in states.values() {
        named.pair(Name(state_name(*number).as_bytes()), state_ref(*number));
    }
    named.finish();
    resources.finish();
    written.finish();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&content.finish(), LEVEL);
    pdf.stream(stream, &packed).filter(Filter::FlateDecode);
    for ((fill, stroke), number) in &states {
        pdf.ext_graphics(state_ref(*number)).non_stroking_alpha(f32::from_bits(*fill)).stroking_alpha(f32::from_bits(*stroke));
    }
    pdf.document_info(info).title(TextStr(title)).creator(TextStr("birthmark"));
    pdf.finish()
}

fn state_name(number: usize) -> String {
    format!("a{number}")
}

struct Painter {
    content: Content,
    /// Number of each pair of opacities, of fill and stroke, by their bits.
    states: BTreeMap<(u32, u32), usize>,
}

impl Painter {
    /// The figures' groups hold one shape each, so that the opacity of a group is that of its shape.
    fn group(&mut self, group: &usvg::Group, opacity: f32) {
        let opacity = opacity * group.opacity().get();
        for node in group.children() {
            match node {
                usvg::Node::Group(inner) => self.group(inner, opacity),
                usvg::Node::Path(path) => self.path(path, opacity),
                usvg::Node::Text(text) => self.group(text.flattened(), opacity),
                usvg::Node::Image(_) => {}
            }
        }
    }

    fn path(&mut self, path: &usvg::Path, opacity: f32) {
        let color = |paint: &usvg::Paint| match paint {
            usvg::Paint::Color(color) => Some([color.red, color.green, color.blue].map(|c| f32::from(c) / 255.0)),
            _ => None,
        };
        let fill = path.fill().and_then(|fill| Some((fill, color(fill.paint())?)));
        let stroke = path.stroke().and_then(|stroke| Some((stroke, color(stroke.paint())?)));
        if !path.is_visible() || (fill.is_none() && stroke.is_none()) {
            return;
        }
        let alpha = |own: Option<f32>| (opacity * own.unwrap_or(1.0)).to_bits();
        let key = (alpha(fill.map(|(fill, _)| fill.opacity().get())), alpha(stroke.map(|(stroke, _)| stroke.opacity().get())));
        let next = self.states.len();
        let number = *self.states.entry(key).or_insert(next);
        let content = &mut self.content;
        content.save_state().set_parameters(Name(state_name(number).as_bytes()));
        let t = path.abs_transform();
        content.transform([t.sx, t.ky, t.kx, t.sy, t.tx, t.ty]);
        if let Some((_, [r, g, b])) = fill {
            content.set_fill_rgb(r, g, b);
        }
        if let Some((stroke, [r, g, b])) = stroke {
            content.set_stroke_rgb(r, g, b).set_line_width(stroke.width().get()).set_miter_limit(stroke.miterlimit().get());
            content.set_line_cap(match stroke.linecap() {
                usvg::LineCap::Butt => LineCapStyle::ButtCap,
                usvg::LineCap::Round => LineCapStyle::RoundCap,
                usvg::LineCap::Square => LineCapStyle::ProjectingSquareCap,
            });
            content.set_line_join(match stroke.linejoin() {
                usvg::LineJoin::Round => LineJoinStyle::RoundJoin,
                usvg::LineJoin::Bevel => LineJoinStyle::BevelJoin,
                _ => LineJoinStyle::MiterJoin,
            });
        }
        outline(content, path);
        let even_odd = fill.is_some_and(|(fill, _)| fill.rule() == usvg::FillRule::EvenOdd);
        match (fill.is_some(), stroke.is_some(), even_odd) {
            (true, true, false) => content.fill_nonzero_and_stroke(),
            (true, true, true) => content.fill_even_odd_and_stroke(),
            (true, false, false) => content.fill_nonzero(),
            (true, false, true) => content.fill_even_odd(),
            _ => content.stroke(),
        };
        content.restore_state();
    }
}

/// To whole units of the drawing, which are tenths of a unit of the page: finer than anybody sees, and a third of the bytes.
fn outline(content: &mut Content, path: &usvg::Path) {
    let mut at = Point::from_xy(0.0, 0.0);
    for segment in path.data().segments() {
        match segment {
            PathSegment::MoveTo(to) => {
                content.move_to(to.x.round(), to.y.round());
                at = to;
            }
            PathSegment::LineTo(to) => {
                content.line_to(to.x.round(), to.y.round());
                at = to;
            }
            PathSegment::QuadTo(handle, to) => {
                // a quadratic curve is the cubic whose handles lie two thirds of the way to its own
                let toward = |from: Point| {
                    Point::from_xy(from.x + 2.0 / 3.0 * (handle.x - from.x), from.y + 2.0 / 3.0 * (handle.y - from.y))
                };
                cubic(content, toward(at), toward(to), to);
                at = to;
            }
            PathSegment::CubicTo(first, second, to) => {
                cubic(content, first, second, to);
                at = to;
            }
            PathSegment::Close => {
                content.close_path();
            }
        }
    }
}

fn cubic(content: &mut Content, first: Point, second: Point, to: Point) {
    let [x1, y1, x2, y2, x, y] = [first.x, first.y, second.x, second.y, to.x, to.y].map(f32::round);
    content.cubic_to(x1, y1, x2, y2, x, y);
}
