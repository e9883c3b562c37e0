use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::vecmath::dot;

use super::floats::{add_rows, floats, given, gradient_of, with_floats};
use crate::arch::summed::{Place, Summed};

/// `x` (..., width) -> the same shape: `(x - mean) / deviation * (w + offset) + b`, where only a `centred` norm takes off the mean.
pub(crate) struct NormPass {
    pub(crate) summed: Arc<Summed>,
    pub(crate) weight: Place,
    pub(crate) bias: Option<Place>,
    pub(crate) width: usize,
    /// Added to the mean of squares.
    pub(crate) eps: f32,
    pub(crate) centred: bool,
    /// Added to the weight.
    pub(crate) offset: f32,
}

impl CustomOp1 for NormPass {
    fn name(&self) -> &'static str {
        "norm in one pass"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(storage, layout)?;
        let weight = self.weight();
        let bias = self.bias.as_ref().map(|bias| self.summed.values(bias));
        let mut y = vec![0.0; x.len()];
        for (x, y) in x.chunks_exact(self.width).zip(y.chunks_exact_mut(self.width)) {
            self.normed(x, y);
            y.iter_mut().zip(&weight).for_each(|(y, w)| *y *= w);
            if let Some(bias) = bias {
                y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
            }
        }
        Ok(given(y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_floats(x, |x| with_floats(dy, |dy| self.back(x, dy)))??;
        gradient_of(x, dx)
    }
}

impl NormPass {
    fn weight(&self) -> Vec<f32> {
        self.summed.values(&self.weight).iter().map(|w| w + self.offset).collect()
    }

    /// `y = (x - mean) r`; returns `r`, one over the deviation.
    fn normed(&self, x: &[f32], y: &mut [f32]) -> f32 {
        let n = self.width as f32;
        let mean = if self.centred { sum(x) / n } else { 0.0 };
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
        let r = 1.0 / (dot(y, y) / n + self.eps).sqrt();
        y.iter_mut().for_each(|y| *y *= r);
        r
    }

    /// With `z` what was normed and `g = dy (w + offset)`: `dx = r (g - mean(g) - z mean(g z))`, `dw = sum(dy z)`, `db = sum(dy)`.
    fn back(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (width, n) = (self.width, self.width as f32);
        let weight = self.weight();
        let (mut z, mut g) = (vec![0.0; width], vec![0.0; width]);
        let mut dx = vec![0.0; x.len()];
        self.summed.add_to(&self.weight, |sum_of_weight| {
            for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
                let r = self.normed(x, &mut z);
                for ((sum, dy), z) in sum_of_weight.iter_mut().zip(dy).zip(&z) {
                    *sum += dy * z;
                }
                g.iter_mut().zip(dy).zip(&weight).for_each(|((g, dy), w)| *g = dy * w);
                let along = dot(&g, &z) / n;
                let mean = if self.centred { sum(&g) / n } else { 0.0 };
                for ((dx, g), z) in dx.iter_mut().zip(&g).zip(&z) {
                    *dx = r * (g - mean - z * along);
                }
            }
        });
        if let Some(bias) = &self.bias {
            self.summed.add_to(bias, |sum| add_rows(dy, sum));
        }
        dx
    }
}

/// The sum, by sixteen partial sums that are joined in order: the same bits on every machine.
fn sum(values: &[f32]) -> f32 {
    let (sixteens, rest) = values.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for part in sixteens {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
}
