use candle_core::{D, Result, Tensor};

use crate::arch::{Initialiser, Layout, Weights};

/// A norm over the last dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// `NAME.weight` (and `NAME.bias`) in checkpoints.
    pub name: String,
    /// Width of that dimension.
    pub width: usize,
    /// What it computes.
    pub kind: NormKind,
}

/// What a norm computes, eps being added to the mean square or the variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NormKind {
    /// x / rms(x) * w (Zhang & Sennrich 2019, arXiv 1910.07467, equation 4).
    Rms(f64),
    /// x / rms(x) * (1 + w), as in Gemma.
    RmsAroundOne(f64),
    /// (x - mean) / deviation * w + b (Ba et al. 2016, arXiv 1607.06450, equation 4).
    Layer(f64),
}

impl Norm {
    /// A norm called `name`.
    pub fn new(name: String, width: usize, kind: NormKind) -> Self {
        Self { name, width, kind }
    }

    pub(super) fn push(&self, layout: &mut Layout) {
        let start = if matches!(self.kind, NormKind::RmsAroundOne(_)) { Initialiser::Zeros } else { Initialiser::Ones };
        layout.push(format!("{}.weight", self.name), &[self.width], start);
        if matches!(self.kind, NormKind::Layer(_)) {
            layout.push(format!("{}.bias", self.name), &[self.width], Initialiser::Zeros);
        }
    }

    pub(super) fn apply(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        let weight = weights.get(&format!("{}.weight", self.name))?;
        match self.kind {
            NormKind::Rms(eps) => over_root_mean_square(x, eps)?.broadcast_mul(weight),
            NormKind::RmsAroundOne(eps) => over_root_mean_square(x, eps)?.broadcast_mul(&(weight + 1.0)?),
            NormKind::Layer(eps) => {
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let bias = weights.get(&format!("{}.bias", self.name))?;
                over_root_mean_square(&centred, eps)?.broadcast_mul(weight)?.broadcast_add(bias)
            }
        }
    }
}

fn over_root_mean_square(x: &Tensor, eps: f64) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    x.broadcast_div(&scale)
}
