//! Figures: drawn once by plotters, and written from that very drawing as SVG, PNG and PDF, so that they cannot differ.
//!
//! Colours are Okabe and Ito's; markers, dashes and filling carry the same distinctions without colour. Text is set in the
//! font committed in `assets/` and becomes outlines: a file needs no font to be shown, and no installed one changes it.

mod arms;
mod calibration;
mod canvas;
mod cell;
mod chart;
mod effect;
mod evidence;
mod font;
mod heat;
mod layout;
mod legend;
mod line;
mod loss;
mod multiples;
mod palette;
mod pdf;
mod picture;
mod place;
mod rows;
mod said;
mod scale;
mod seen;
mod series;
mod survival;
mod table_of_cells;
mod width;
mod worth;

pub use calibration::{PValueSeries, calibration_figure};
pub use heat::heat_figure;
pub(crate) use heat::is_worth_a_heat_map;
pub use loss::{LossSeries, loss_figure};
pub use picture::Figure;
pub use survival::{effect_figure, survival_figure};
pub use width::Width;
