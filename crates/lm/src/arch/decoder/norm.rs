use candle_core::{D, Result, Tensor};
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
            (true, true) => {
                // its variance is mean(x^2) - mean(x)^2, which has no digits left where the mean is large: it is given rows without one
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                ops::layer_norm(&centred, &weight, weights.get(&bias)?, eps)
            }
            (true, false) => ops::layer_norm_slow(x, &weight, weights.get(&bias)?, eps),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::arch::Summed;
    use crate::device::Device;

    /// Rows whose mean is a thousand times their deviation: a difference of two large means would leave nothing of it.
    #[test]
    fn a_large_mean_does_not_drown_the_deviation() {
        const WIDTH: usize = 48;
        let device = Device::cpu();
        let x: Vec<f32> = (0..3 * WIDTH).map(|i| 100.0 + ((i * 37 % 101) as f32 - 50.0) / 300.0).collect();
        for (kind, centred) in [(NormKind::Layer(1e-5), true), (NormKind::Rms(1e-5), false)] {
            let norm = Norm::new("norm".into(), WIDTH, kind);
            let mut layout = Layout::default();
            norm.push(&mut layout);
            let flat: Vec<f32> = (0..layout.n_params()).map(|i| 0.5 + i as f32 / 64.0).collect();
            let mut summed = Summed::new(&layout, device.candle()).unwrap();
            summed.begin(&flat);
            let weights = [
                Weights::constant(&layout, &flat, &device).unwrap(),
                Weights::variable(&layout, &flat, &device).unwrap(),
                Weights::summing(Arc::new(summed)),
            ];
            for (which, weights) in weights.iter().enumerate() {
                let tensor = Tensor::from_slice(&x, (3, WIDTH), device.candle()).unwrap();
                let ours = norm.apply(weights, &tensor).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (x, ours) in x.chunks(WIDTH).zip(ours.chunks(WIDTH)) {
                    let mean = |of: &dyn Fn(f64) -> f64| x.iter().map(|x| of(f64::from(*x))).sum::<f64>() / WIDTH as f64;
                    let middle = if centred { mean(&|x| x) } else { 0.0 };
                    let deviation = (mean(&|x| (x - middle).powi(2)) + 1e-5).sqrt();
                    for (i, (x, ours)) in x.iter().zip(ours).enumerate() {
                        let bias = if centred { f64::from(flat[WIDTH + i]) } else { 0.0 };
                        let exact = (f64::from(*x) - middle) / deviation * f64::from(flat[i]) + bias;
                        assert!((f64::from(*ours) - exact).abs() < 2e-3, "{kind:?}, weights {which}: {ours} for {exact}");
                    }
                }
            }
        }
    }
}
