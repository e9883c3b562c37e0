//! Figures: drawn once as SVG by plotters, and rendered to PNG from that very SVG, so that the two cannot differ.
//!
//! Colours are Okabe and Ito's; markers, dashes and filling carry the same distinctions without colour. Text is set in the
//! font committed in `assets/`, on every machine.

mod canvas;
mod effect;
mod font;
mod layout;
mod loss;
mod multiples;
mod palette;
mod picture;
mod scale;
mod series;
mod survival;

pub use effect::effect_figure;
pub use loss::{LossSeries, loss_figure};
pub use picture::Figure;
pub use survival::survival_figure;
