//! A finished figure, and the files it becomes.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use resvg::{tiny_skia, usvg};
use store::write_atomic;

use super::{font, pdf};

/// Pixels to an SVG unit in written PNG files.
const PNG_SCALE: f32 = 2.0;

/// A finished picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The drawing as SVG whose words are text, as they were set. Files are made from it and hold outlines instead.
    pub svg: String,
}

impl Figure {
    /// The drawing read back, every word as outlines of the committed font.
    fn tree(&self) -> anyhow::Result<usvg::Tree> {
        let options =
            usvg::Options { fontdb: font::database(), font_family: font::OWN_FAMILY.to_string(), ..usvg::Options::default() };
        usvg::Tree::from_str(&self.svg, &options).context("reading the drawing back")
    }

    /// Every word in the drawing, in the order drawn.
    fn words(&self) -> Vec<&str> {
        let texts = self.svg.split("<text ").skip(1).filter_map(|text| text.split_once('>')?.1.split_once("</text>"));
        texts.map(|(words, _)| words.trim()).collect()
    }

    fn title(&self) -> &str {
        self.svg.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map_or("", |(title, _)| title)
    }

    /// The drawing as SVG without text or fonts: every word is an outline, so it looks the same wherever it is shown. For people and
    /// programs that read, the words stand in `<desc>`.
    ///
    /// # Errors
    /// When the drawing cannot be read back.
    pub fn outlined(&self) -> anyhow::Result<String> {
        self.outlined_of(&self.tree()?)
    }

    fn outlined_of(&self, tree: &usvg::Tree) -> anyhow::Result<String> {
        // the drawing is in tenths of a unit: finer than anybody sees
        let options = usvg::WriteOptions {
            coordinates_precision: 0,
            transforms_precision: 6,
            indent: usvg::Indent::None,
            ..usvg::WriteOptions::default()
        };
        let svg = tree.to_string(&options);
        let (head, body) = svg.split_once('>').ok_or_else(|| anyhow!("the drawing has no root"))?;
        let size = tree.size();
        // these words are escaped already
        let (title, words) = (self.title(), self.words().join("\n"));
        let head = format!("{head} viewBox=\"0 0 {} {}\" role=\"img\">", size.width(), size.height());
        Ok(format!("{head}\n<title>{title}</title>\n<desc>\n{words}\n</desc>\n{}\n", body.replace("><", ">\n<").trim()))
    }

    /// The same drawing as PNG bytes, at `scale` pixels to an SVG unit.
    ///
    /// # Errors
    /// When the drawing cannot be rendered.
    pub fn png(&self, scale: f32) -> anyhow::Result<Vec<u8>> {
        png_of(&self.tree()?, scale)
    }

    /// The same drawing as a PDF of one page, as large as the drawing.
    ///
    /// # Errors
    /// When the drawing cannot be read back.
    pub fn pdf(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.pdf_of(&self.tree()?))
    }

    fn pdf_of(&self, tree: &usvg::Tree) -> Vec<u8> {
        let title = self.title().replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        pdf::page(tree, &title)
    }

    /// Writes `name.svg` (outlines), `name.png` (2 pixels to a unit) and `name.pdf` into `dir`, atomically, and returns their paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> anyhow::Result<[PathBuf; 3]> {
        let [svg, png, pdf] = ["svg", "png", "pdf"].map(|extension| dir.join(format!("{name}.{extension}")));
        // setting the words is most of the reading back
        let tree = self.tree()?;
        write_atomic(&svg, self.outlined_of(&tree)?.as_bytes())?;
        write_atomic(&png, &png_of(&tree, PNG_SCALE)?)?;
        write_atomic(&pdf, &self.pdf_of(&tree))?;
        Ok([svg, png, pdf])
    }
}

fn png_of(tree: &usvg::Tree, scale: f32) -> anyhow::Result<Vec<u8>> {
    let size = tree.size().to_int_size();
    let pixels = |length: u32| (length as f32 * scale).round() as u32;
    let (width, height) = (pixels(size.width()), pixels(size.height()));
    let mut canvas = tiny_skia::Pixmap::new(width, height).ok_or_else(|| anyhow!("a picture of {width} x {height} pixels"))?;
    resvg::render(tree, tiny_skia::Transform::from_scale(scale, scale), &mut canvas.as_mut());
    canvas.encode_png().context("encoding the PNG")
}
