use candle_core::{Result, Tensor};

/// c tanh(x / c): bounds x smoothly (Bello et al. 2016, arXiv 1611.09940, section 5).
pub(super) fn soft_capped(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}
