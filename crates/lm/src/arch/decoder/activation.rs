use candle_core::{Module, Result, Tensor};
use kernels::vecmath::exp_in_place;
use oracle::ConfigError;

use crate::arch::Fields;

/// A nonlinearity, elementwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x sigmoid(x).
    Silu,
    /// x Phi(x) (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// Its approximation by tanh (section 2 there).
    GeluTanh,
    /// max(x, 0).
    Relu,
}

/// Elements that are computed together: few enough for the stack and the first cache.
const PART: usize = 256;

impl Activation {
    /// The activation that `key` names, as transformers names them; `default` when the key is absent.
    ///
    /// # Errors
    /// When it is another one.
    pub fn read(fields: &Fields<'_>, key: &str, default: Self) -> std::result::Result<Self, ConfigError> {
        let Some(value) = fields.get(key) else { return Ok(default) };
        Ok(match value.as_str() {
            Some("silu" | "swish") => Self::Silu,
            Some("gelu") => Self::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Self::GeluTanh,
            Some("relu") => Self::Relu,
            _ => {
                let remedy =
                    "not supported for this architecture, only silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast and relu are";
                return Err(ConfigError::new(key, value, remedy));
            }
        })
    }

    /// Its name in transformers; `tanh` is what the architecture calls [`GeluTanh`](Self::GeluTanh).
    pub fn name(self, tanh: &'static str) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => tanh,
            Self::Relu => "relu",
        }
    }

    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => candle_nn::Activation::Silu,
            Self::Gelu => candle_nn::Activation::Gelu,
            Self::GeluTanh => candle_nn::Activation::NewGelu,
            Self::Relu => candle_nn::Activation::Relu,
        }
        .forward(x)
    }

    /// Calls `each(range, values, slopes)` for parts of `x` in order, until all of it was computed.
    pub(super) fn each(self, x: &[f32], mut each: impl FnMut(std::ops::Range<usize>, &[f32], &[f32])) {
        let (mut values, mut slopes) = ([0.0; PART], [0.0; PART]);
        for (part, x) in x.chunks(PART).enumerate() {
            let (values, slopes) = (&mut values[..x.len()], &mut slopes[..x.len()]);
            match self {
                Self::Silu => sigmoidal(x, values, slopes, |x| (x, 1.0)),
                Self::GeluTanh => sigmoidal(x, values, slopes, |x| {
                    // (1 + tanh(u)) / 2 = sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
                    let factor = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
                    (factor * (x + 0.044_715 * x * x * x), factor * (1.0 + 3.0 * 0.044_715 * x * x))
                }),
                Self::Gelu => gaussian(x, values, slopes),
                Self::Relu => {
                    for ((x, value), slope) in x.iter().zip(values.iter_mut()).zip(slopes.iter_mut()) {
                        (*value, *slope) = if *x > 0.0 { (*x, 1.0) } else { (0.0, 0.0) };
                    }
                }
            }
            each(part * PART..part * PART + x.len(), values, slopes);
        }
    }
}

/// `x sigmoid(z(x))` and its slope, for `inner` giving z and its own slope.
fn sigmoidal(x: &[f32], values: &mut [f32], slopes: &mut [f32], inner: impl Fn(f32) -> (f32, f32)) {
    values.iter_mut().zip(x).for_each(|(value, x)| *value = -inner(*x).0);
    exp_in_place(values);
    for ((x, value), slope) in x.iter().zip(values).zip(slopes) {
        let sigmoid = 1.0 / (1.0 + *value);
        *value = x * sigmoid;
        *slope = sigmoid + *value * (1.0 - sigmoid) * inner(*x).1;
    }
}

/// `x Phi(x)` and its slope.
fn gaussian(x: &[f32], values: &mut [f32], slopes: &mut [f32]) {
    // the density but for its factor
    slopes.iter_mut().zip(x).for_each(|(slope, x)| *slope = -0.5 * x * x);
    exp_in_place(slopes);
    let factor = 0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    for ((x, value), slope) in x.iter().zip(values).zip(slopes) {
        let phi = 0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2));
        *value = x * phi;
        *slope = phi + x * factor * *slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn values_are_those_of_candle_and_slopes_those_of_finite_differences() {
        let x: Vec<f32> = (-300..300).map(|i| i as f32 / 37.0).collect();
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            let of = |x: &[f32]| {
                let (mut values, mut slopes) = (Vec::new(), Vec::new());
                activation.each(x, |range, value, slope| {
                    assert_eq!(range.start, values.len());
                    values.extend_from_slice(value);
                    slopes.extend_from_slice(slope);
                });
                (values, slopes)
            };
            let (values, slopes) = of(&x);
            let tensor = Tensor::from_slice(&x, x.len(), Device::cpu().candle()).unwrap();
            let theirs = activation.apply(&tensor).unwrap().to_vec1::<f32>().unwrap();
            let h = 5e-3;
            let moved = |h: f32| of(&x.iter().map(|x| x + h).collect::<Vec<_>>()).0;
            let (up, down) = (moved(h), moved(-h));
            for (i, x) in x.iter().enumerate().filter(|(_, x)| x.abs() > h) {
                assert!(
                    (values[i] - theirs[i]).abs() < 2e-6 * (1.0 + x.abs()),
                    "{activation:?}({x}): {} {}",
                    values[i],
                    theirs[i]
                );
                let slope = (up[i] - down[i]) / (2.0 * h);
                assert!((slopes[i] - slope).abs() < 1e-3, "{activation:?} at {x}: {} {slope}", slopes[i]);
            }
        }
    }
}
