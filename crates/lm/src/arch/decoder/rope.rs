use candle_core::{D, Device, Result, Tensor};
use candle_nn::rotary_emb::{rope_slow, rope_thd};
use serde::{Deserialize, Serialize};

/// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// Components of a head that are turned, even.
    pub width: usize,
    /// How frequencies are changed for texts longer than those of the first training.
    pub scaling: Option<RopeScaling>,
}

/// Changed frequencies, as `rope_scaling` of `config.json` states them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "rope_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// All divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Low ones divided by `factor`, high ones kept, those between interpolated (Llama 3.1, arXiv 2407.21783, section 3.4).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths longer than the original context over this are divided.
        low_freq_factor: f64,
        /// Wavelengths shorter than the original context over this are kept; above `low_freq_factor`.
        high_freq_factor: f64,
        /// Context of the first training, in tokens.
        original_max_position_embeddings: usize,
    },
}

impl Rope {
    /// Angle per position of each pair, rounded to `f32` at the steps where transformers does.
    pub(crate) fn frequencies(&self) -> Vec<f32> {
        let plain = (0..self.width / 2).map(|i| 1.0 / libm::powf(self.theta as f32, (2 * i) as f32 / self.width as f32));
        match self.scaling {
            None => plain.collect(),
            Some(RopeScaling::Linear { factor }) => plain.map(|w| w / factor as f32).collect(),
            Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }) => {
                let context = original_max_position_embeddings as f64;
                let scaled = |w: f32| {
                    let wavelength = 2.0 * std::f64::consts::PI / f64::from(w);
                    if wavelength < context / high_freq_factor {
                        return w;
                    }
                    let divided = f64::from(w) / factor;
                    if wavelength > context / low_freq_factor {
                        return divided as f32;
                    }
                    let kept = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    ((1.0 - kept) * divided + kept * f64::from(w)) as f32
                };
                plain.map(scaled).collect()
            }
        }
    }

    /// Cosines and sines for `time` positions after `seen`, each (t, width / 2).
    pub(super) fn tables(&self, seen: usize, time: usize, device: &Device) -> Result<(Tensor, Tensor)> {
        let (half, frequencies) = (self.width / 2, self.frequencies());
        let angles = |f: fn(f32) -> f32| -> Vec<f32> {
            (seen..seen + time).flat_map(|t| frequencies.iter().map(move |w| f(t as f32 * w))).collect()
        };
        Ok((
            Tensor::from_vec(angles(libm::cosf), (time, half), device)?,
            Tensor::from_vec(angles(libm::sinf), (time, half), device)?,
        ))
    }
}

/// Turns `x` (b, t, h, d) by tables (t, w / 2): of the first w components the first half is paired with the second, as Hugging
/// Face checkpoints expect; the others stay. With a gradient, unless `running`.
pub(super) fn rotate(x: &Tensor, (cos, sin): &(Tensor, Tensor), running: bool) -> Result<Tensor> {
    let (width, turned) = (x.dim(D::Minus1)?, 2 * cos.dim(D::Minus1)?);
    let turn = |x: &Tensor| {
        if running {
            return rope_thd(&x.contiguous()?, cos, sin);
        }
        rope_slow(&x.transpose(1, 2)?.contiguous()?, cos, sin)?.transpose(1, 2)
    };
    if turned == width {
        return turn(x);
    }
    Tensor::cat(&[turn(&x.narrow(D::Minus1, 0, turned)?)?, x.narrow(D::Minus1, turned, width - turned)?], D::Minus1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_3_keeps_high_frequencies_and_divides_low_ones() {
        let plain = Rope { theta: 500_000.0, width: 128, scaling: None };
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let (a, b) = (plain.frequencies(), Rope { scaling: Some(scaling), ..plain }.frequencies());
        let wavelength = |w: f32| std::f32::consts::TAU / w;
        let mut seen = [false; 3];
        for (a, b) in a.iter().zip(&b) {
            match wavelength(*a) {
                short if short < 2048.0 => {
                    assert_eq!(a, b);
                    seen[0] = true;
                }
                long if long > 8192.0 => {
                    assert_eq!(a / 8.0, *b);
                    seen[1] = true;
                }
                _ => {
                    assert!(a / 8.0 < *b && b < a);
                    seen[2] = true;
                }
            }
        }
        assert_eq!(seen, [true; 3]);
    }
}
