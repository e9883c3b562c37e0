//! From queries, keys and values to what is read of the values.

use candle_core::{D, Result, Tensor};
use candle_nn::attention::flash_attn_varlen_cpu;
use candle_nn::ops::softmax_last_dim;

use super::soft_cap::soft_capped;

/// Scores that are kept at once, at most, where there is another way: 128 MiB.
const MOST_SCORES: usize = 1 << 25;

/// Whether texts are so long that their scores had better not be kept; `q` (b, h, t, d), `k` (b, g, s, d). Only the CPU knows another way.
pub(super) fn is_long(q: &Tensor, k: &Tensor) -> Result<bool> {
    let (b, h, t, _) = q.dims4()?;
    Ok(q.device().is_cpu() && b * h * t * k.dim(2)? > MOST_SCORES)
}

/// By candle-nn's attention, on the CPU and without a gradient: `q` (b, h, t, d), `k` and `v` (b, g, s, d) -> (n, h * d), the `q` being
/// those of the last t of s tokens. A token sees itself and, with a `window`, so many - 1 before it, else all.
///
/// It keeps no scores, and each query and head is computed alone, so that its bits do not depend on the others. But it takes a key at a time,
/// by vector instructions that are calls in a program built for any processor: drawing took 1.4 to 2.4 times as long as by [`attend`]
/// (nano, micro and s15 in turns, on a busy machine).
pub(super) fn attend_long(q: &Tensor, k: &Tensor, v: &Tensor, scale: f32, window: Option<usize>) -> Result<Tensor> {
    let ((b, _, t, _), s) = (q.dims4()?, k.dim(2)?);
    let tokens = |x: &Tensor| x.transpose(1, 2)?.flatten(0, 1); // (tokens, heads, d)
    let lengths = |n: usize| Tensor::full(n as u32, b, q.device());
    let (q, k, v) = (tokens(q)?, tokens(k)?, tokens(v)?);
    let before = window.map(|window| window - 1);
    flash_attn_varlen_cpu(&q, &k, &v, None, &lengths(t)?, &lengths(s)?, t, s, scale, true, before, None)?.flatten_from(1)
}

/// Step by step, on any device: `q` (b, h, t, d), `k` and `v` (b, g, s, d), mask (t, s) -> (n, h * d). With a gradient, unless `running`.
///
/// candle-nn's `sdpa` would do it in one step, but it is written for Metal alone and for some widths of a head, and its attention on the CPU
/// knows no soft cap for more than one text. Its softmax is used where no gradient is asked for.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    soft_cap: Option<f64>,
    mask: Option<&Tensor>,
    running: bool,
) -> Result<Tensor> {
    let (b, h, t, d) = q.dims4()?;
    let (_, g, s, _) = k.dims4()?;
    // The query heads of one group stack up in rows, so that keys and values need no copy per head.
    let q = q.contiguous()?.reshape((b, g, h / g * t, d))?;
    let scores = (q.matmul(&k.contiguous()?.transpose(2, 3)?)? * scale)?.reshape((b, h, t, s))?;
    let scores = match soft_cap {
        Some(cap) => soft_capped(&scores, cap)?,
        None => scores,
    };
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    let law = if running { softmax_last_dim(&scores)? } else { softmax(&scores)? }.reshape((b, g, h / g * t, s))?;
    law.matmul(&v.contiguous()?)?.reshape((b, h, t, d))?.transpose(1, 2)?.reshape((b * t, h * d))
}

/// Softmax over the last dimension. The row's maximum is a constant, which leaves value and gradient unchanged; candle-nn's `softmax` takes a
/// gradient through it.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let exp = x.broadcast_sub(&max)?.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::decoder::shared::Shared;
    use crate::device::Device;

    #[test]
    fn long_texts_are_attended_to_as_short_ones_are() {
        let device = Device::cpu();
        let (b, h, g, d) = (2, 6, 3, 10);
        let noise = |heads: usize, time: usize, seed: usize| {
            let values = (0..b * heads * time * d).map(|i| ((i * i + 31 * i + seed) % 97) as f32 / 40.0 - 1.2).collect();
            Tensor::from_vec::<_, f32>(values, (b, heads, time, d), device.candle()).unwrap()
        };
        for (t, seen) in [(1, 0), (1, 13), (9, 0), (7, 12)] {
            let (q, k, v) = (noise(h, t, 1), noise(g, seen + t, 2), noise(g, seen + t, 3));
            for window in [None, Some(1), Some(4), Some(100)] {
                let mask = Shared::new(std::iter::empty(), b, t, seen, device.candle()).unwrap().mask(window).unwrap();
                for running in [true, false] {
                    let short = attend(&q, &k, &v, 0.3, None, mask.as_ref(), running).unwrap();
                    let long = attend_long(&q, &k, &v, 0.3, window).unwrap();
                    assert_eq!(long.dims(), [b * t, h * d]);
                    let furthest = (short - long).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    assert!(furthest < 2e-6, "{t} after {seen}, window {window:?}: {furthest}");
                }
            }
        }
    }

    #[test]
    fn only_long_texts_are_long() {
        let device = Device::cpu();
        let of = |b: usize, time: usize| Tensor::zeros((b, 8, time, 1), candle_core::DType::F32, device.candle()).unwrap();
        assert!(!is_long(&of(16, 1), &of(16, 4096)).unwrap() && !is_long(&of(1, 2048), &of(1, 2048)).unwrap());
        assert!(is_long(&of(1, 2049), &of(1, 2049)).unwrap());
    }
}
