//! A finished figure, and the files it becomes.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use resvg::{tiny_skia, usvg};
use store::write_atomic;

use super::font;

/// Pixels to an SVG unit in written PNG files.
const PNG_SCALE: f32 = 2.0;

/// A finished picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The drawing, as SVG text.
    pub svg: String,
}

impl Figure {
    /// The same drawing as PNG bytes, at `scale` pixels to an SVG unit.
    ///
    /// # Errors
    /// When the drawing cannot be rendered.
    pub fn png(&self, scale: f32) -> anyhow::Result<Vec<u8>> {
        let options =
            usvg::Options { fontdb: font::database(), font_family: font::OWN_FAMILY.to_string(), ..usvg::Options::default() };
        let tree = usvg::Tree::from_str(&self.svg, &options).context("reading the drawing back")?;
        let size = tree.size().to_int_size();
        let pixels = |length: u32| (length as f32 * scale).round() as u32;
        let (width, height) = (pixels(size.width()), pixels(size.height()));
        let mut canvas =
            tiny_skia::Pixmap::new(width, height).ok_or_else(|| anyhow!("a picture of {width} x {height} pixels"))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut canvas.as_mut());
        canvas.encode_png().context("encoding the PNG")
    }

    /// Writes `name.svg` and `name.png` (2 pixels to a unit) into `dir`, atomically, and returns their paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> anyhow::Result<[PathBuf; 2]> {
        let [svg, png] = ["svg", "png"].map(|extension| dir.join(format!("{name}.{extension}")));
        write_atomic(&svg, self.svg.as_bytes())?;
        write_atomic(&png, &self.png(PNG_SCALE)?)?;
        Ok([svg, png])
    }
}
