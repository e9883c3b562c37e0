//! Layers that several architectures share, from candle operations that have a gradient.
//!
//! Shapes in comments: b batch, t time, s tokens seen including now, h heads, g key-value heads, d width of a head.

use candle_core::{D, Device, Result, Tensor};

use super::Weights;

/// Root-mean-square norm of the last dimension with a gain (Zhang & Sennrich 2019, arXiv 1910.07467, equation 4).
pub fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    x.broadcast_div(&scale)?.broadcast_mul(gain)
}

/// `x` (n, inputs) times the transposed weight `name.weight` (outputs, inputs), plus `name.bias` if the layout has one.
pub fn linear(weights: &Weights, name: &str, x: &Tensor) -> Result<Tensor> {
    let y = x.matmul(&weights.get(&format!("{name}.weight"))?.t()?)?;
    match weights.find(&format!("{name}.bias")) {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// Softmax over the last dimension; the row's maximum is a constant, which leaves value and gradient unchanged.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let exp = x.broadcast_sub(&max)?.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

/// (t, s) with 0 where a query may look and minus infinity at later tokens; `seen` tokens came before. None for t = 1.
pub fn causal_mask(time: usize, seen: usize, device: &Device) -> Result<Option<Tensor>> {
    if time == 1 {
        return Ok(None);
    }
    let total = seen + time;
    let mask: Vec<f32> =
        (0..time).flat_map(|i| (0..total).map(move |j| if j > seen + i { f32::NEG_INFINITY } else { 0.0 })).collect();
    Ok(Some(Tensor::from_vec(mask, (time, total), device)?))
}

/// Cosines and sines of rotary position embedding for `time` positions after `seen`, each (t, d / 2)
/// (Su et al. 2021, arXiv 2104.09864, equation 34). Rounded to `f32` at the steps where transformers does.
pub fn rotary_tables(width: usize, theta: f64, seen: usize, time: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let half = width / 2;
    let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / width as f32)).collect();
    let angles = |f: fn(f32) -> f32| -> Vec<f32> {
        (seen..seen + time).flat_map(|t| frequencies.iter().map(move |w| f(t as f32 * w))).collect()
    };
    Ok((Tensor::from_vec(angles(f32::cos), (time, half), device)?, Tensor::from_vec(angles(f32::sin), (time, half), device)?))
}

/// Rotates `x` (b, h, t, d): the first half of each head is paired with the second, as Hugging Face checkpoints expect.
pub fn rotate_halves(x: &Tensor, (cos, sin): &(Tensor, Tensor)) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let first = x.narrow(D::Minus1, 0, half)?;
    let second = x.narrow(D::Minus1, half, half)?;
    let left = (first.broadcast_mul(cos)? - second.broadcast_mul(sin)?)?;
    let right = (second.broadcast_mul(cos)? + first.broadcast_mul(sin)?)?;
    Tensor::cat(&[left, right], D::Minus1)
}

/// Scaled dot-product attention with grouped queries: `q` (b, h, t, d), `k` and `v` (b, g, s, d), mask (t, s)
/// -> (b, t, h * d). Query head i looks at key-value head i * g / h.
pub fn grouped_attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    let (b, h, t, d) = q.dims4()?;
    let (_, g, s, _) = k.dims4()?;
    // The query heads of one group stack up in rows, so that keys and values need no copy per head.
    let q = q.contiguous()?.reshape((b, g, h / g * t, d))?;
    let scores = (q.matmul(&k.transpose(2, 3)?)? * scale)?.reshape((b, h, t, s))?;
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    let law = softmax(&scores)?.reshape((b, g, h / g * t, s))?;
    law.matmul(&v.contiguous()?)?.reshape((b, h, t, d))?.transpose(1, 2)?.reshape((b, t, h * d))
}
