use std::sync::{Arc, OnceLock};

use anyhow::anyhow;
use plotters::style::{FontStyle, register_font};
use resvg::usvg::fontdb::Database;

/// Name of the committed font.
pub(crate) const OWN_FAMILY: &str = "Birthmark Sans";

/// Families as the SVG names them: our own first, so that measured widths are true, then what a browser without it has.
/// Unquoted, so each word must be a CSS identifier: one that begins with a digit makes renderers drop the whole list.
pub(crate) const FAMILY: &str = "Birthmark Sans, Source Sans Pro, Helvetica, Arial, sans-serif";

/// Height of a line of the committed font, ascender to descender, as a multiple of its size.
pub(crate) const LINE_HEIGHT: f64 = 1.257;

const REGULAR: &[u8] = include_bytes!("../../assets/birthmark-sans-regular.ttf");
const BOLD: &[u8] = include_bytes!("../../assets/birthmark-sans-bold.ttf");

/// Makes the committed font known to plotters, which needs it to measure text.
pub(crate) fn register() -> anyhow::Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let one = |style, bytes| register_font(FAMILY, style, bytes).is_ok();
        one(FontStyle::Normal, REGULAR) && one(FontStyle::Bold, BOLD)
    });
    if *done { Ok(()) } else { Err(anyhow!("the figures' font in the binary is damaged; build it again")) }
}

/// The committed font alone: what is rendered must not depend on the fonts of a machine.
pub(crate) fn database() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    FONTS
        .get_or_init(|| {
            let mut fonts = Database::new();
            fonts.load_font_data(REGULAR.to_vec());
            fonts.load_font_data(BOLD.to_vec());
            Arc::new(fonts)
        })
        .clone()
}
