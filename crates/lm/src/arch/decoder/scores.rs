//! From queries, keys and values to what is read of the values.

use candle_core::{D, Result, Tensor};
use candle_nn::attention::flash_attn_varlen_cpu;
use candle_nn::ops::softmax_last_dim;

use super::soft_cap::soft_capped;

/// By candle-nn's attention, on the CPU and without a gradient: `q` (b, t, h, d), `k` and `v` (b, s, g, d) -> (n, h * d), the `q` being
/// those of the last t of s tokens. A token sees itself and, with a `window`, so many - 1 before it, else all.
///
/// Each query and head is computed alone, so that its bits do not depend on the others.
pub(super) fn attend_in_one_pass(q: &Tensor, k: &Tensor, v: &Tensor, scale: f32, window: Option<usize>) -> Result<Tensor> {
    let ((b, t, _, _), s) = (q.dims4()?, k.dim(1)?);
    let (q, k, v) = (q.flatten(0, 1)?, k.flatten(0, 1)?, v.flatten(0, 1)?); // (tokens, heads, d)
    let lengths = |n: usize| Tensor::full(n as u32, b, q.device());
    let before = window.map(|window| window - 1);
    flash_attn_varlen_cpu(&q, &k, &v, None, &lengths(t)?, &lengths(s)?, t, s, scale, true, before, None)?.flatten_from(1)
}

/// Step by step, on any device: `q` (b, h, t, d), `k` and `v` (b, g, s, d), mask (t, s) -> (n, h * d). With a gradient, unless `running`.
///
/// candle-nn's `sdpa` would do it in one step, but it is written for Metal alone and for some widths of a head, and its attention on the CPU
/// knows no soft cap for more than one text.
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
