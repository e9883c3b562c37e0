use candle_core::{Result, Tensor};
use candle_nn::ops;

use super::one_pass::NormPass;
use crate::arch::weights::Purpose;
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

    /// `x` (..., width) -> the same shape.
    pub(super) fn apply(&self, weights: &Weights, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (format!("{}.weight", self.name), format!("{}.bias", self.name));
        let (eps, centred, offset) = match self.kind {
            NormKind::Rms(eps) => (eps as f32, false, 0.0),
            NormKind::RmsAroundOne(eps) => (eps as f32, false, 1.0),
            NormKind::Layer(eps) => (eps as f32, true, 0.0),
        };
        if let Purpose::Summing(summed) = weights.purpose() {
            return x.contiguous()?.apply_op1(NormPass {
                weight: summed.place(&weight)?,
                bias: if centred { Some(summed.place(&bias)?) } else { None },
                summed: summed.clone(),
                width: self.width,
                eps,
                centred,
                offset,
            });
        }
        let weight = weights.get(&weight)?;
        let weight = if offset == 0.0 { weight.clone() } else { (weight + f64::from(offset))? };
        let running = matches!(weights.purpose(), Purpose::Running);
        match (centred, running) {
            (false, true) => ops::rms_norm(&x.contiguous()?, &weight, eps),
            (false, false) => ops::rms_norm_slow(x, &weight, eps),
            (true, true) => ops::layer_norm(&x.contiguous()?, &weight, weights.get(&bias)?, eps),
            (true, false) => ops::layer_norm_slow(x, &weight, weights.get(&bias)?, eps),
        }
    }
}
