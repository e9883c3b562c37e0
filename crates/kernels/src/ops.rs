//! The elementwise sweeps of a Llama block, forward and backward: RMSNorm, rotary embedding, SwiGLU.
//!
//! Legend: rows = tokens, `h` = residual width, `f` = inner width of the MLP. Every row is computed alone.

use crate::simd::{chunks, exp, get, put, vectorized};
use crate::sums::{Sums, sixteens};
use pulp::Simd;

vectorized! {
    /// RMSNorm (Zhang & Sennrich 2019): `y = x * r * weight`, `r = (mean(x^2) + eps)^-1/2` kept in `inverse_rms` (rows) for the backward sweep.
    pub(crate) fn rms_norm<'a, S>(simd; x: &'a [f32], weight: &'a [f32], eps: f32, y: &'a mut [f32], inverse_rms: &'a mut [f32]) -> () {
        let h = weight.len();
        assert!(x.len() == y.len() && x.len() == inverse_rms.len() * h, "rms_norm: lengths");
        for ((x, y), inverse) in x.chunks_exact(h).zip(y.chunks_exact_mut(h)).zip(inverse_rms) {
            let mut squares = Sums::new(simd);
            sixteens(simd, h, #[inline(always)] |at, n, part| {
                let x = get(simd, x, at, n);
                let sum = squares.part(part);
                *sum = simd.mul_add_f32s(x, x, *sum);
            });
            *inverse = 1.0 / (squares.total() / h as f32 + eps).sqrt();
            let r = simd.splat_f32s(*inverse);
            chunks(simd, h, #[inline(always)] |at, n| {
                let scaled = simd.mul_f32s(simd.mul_f32s(get(simd, x, at, n), r), get(simd, weight, at, n));
                put(simd, y, at, n, scaled);
            });
        }
    }
}

vectorized! {
    /// Adds to `dx` and `d_weight` what RMSNorm passes back from `dy`:
    /// `dx += r (w dy) - x r^3 / h * sum(w dy x)`, `d_weight += sum over rows of dy x r`.
    pub(crate) fn rms_norm_backward<'a, S>(simd; dy: &'a [f32], x: &'a [f32], weight: &'a [f32], inverse_rms: &'a [f32], dx: &'a mut [f32], d_weight: &'a mut [f32]) -> () {
        let h = weight.len();
        assert!(x.len() == dy.len() && x.len() == dx.len() && x.len() == inverse_rms.len() * h && d_weight.len() == h, "rms_norm_backward: lengths");
        for (((dy, x), dx), &r) in dy.chunks_exact(h).zip(x.chunks_exact(h)).zip(dx.chunks_exact_mut(h)).zip(inverse_rms) {
            let inverse = simd.splat_f32s(r);
            let mut inner = Sums::new(simd);
            sixteens(simd, h, #[inline(always)] |at, n, part| {
                let (dy, x) = (get(simd, dy, at, n), get(simd, x, at, n));
                let product = simd.mul_f32s(dy, x);
                let sum = inner.part(part);
                *sum = simd.mul_add_f32s(product, get(simd, weight, at, n), *sum);
                let d = simd.mul_add_f32s(product, inverse, get(simd, d_weight, at, n));
                put(simd, d_weight, at, n, d);
            });
            let along_x = simd.splat_f32s(-(r * r * r) * inner.total() / h as f32);
            chunks(simd, h, #[inline(always)] |at, n| {
                let through = simd.mul_f32s(simd.mul_f32s(get(simd, dy, at, n), get(simd, weight, at, n)), inverse);
                let d = simd.add_f32s(get(simd, dx, at, n), simd.mul_add_f32s(get(simd, x, at, n), along_x, through));
                put(simd, dx, at, n, d);
            });
        }
    }
}

/// Cosines and sines of the rotary angles `t * theta^(-2 i / head_dim)`, (time, head_dim / 2) each.
#[derive(Debug, Default)]
pub(crate) struct RotaryTable {
    key: Option<(usize, usize, u64)>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RotaryTable {
    /// Computes the table unless it already holds this one (or a longer one).
    pub(crate) fn prepare(&mut self, time: usize, head_dim: usize, theta: f64) {
        if self.key.is_some_and(|(t, d, bits)| t >= time && d == head_dim && bits == theta.to_bits()) {
            return;
        }
        let half = head_dim / 2;
        let angles =
            (0..time * half).map(|at| (at / half) as f64 * libm::pow(theta, -2.0 * (at % half) as f64 / head_dim as f64));
        (self.cos, self.sin) = angles.map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32)).unzip();
        self.key = Some((time, head_dim, theta.to_bits()));
    }
}

/// Where the heads lie in a row of fused query, key and value projections: `heads` queries, `kv_heads` keys, `kv_heads` values, each `head_dim` wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLayout {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

impl HeadLayout {
    /// Width of such a row.
    pub(crate) fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
    /// Column of the first key.
    pub(crate) fn keys(&self) -> usize {
        self.heads * self.head_dim
    }
    /// Column of the first value.
    pub(crate) fn values(&self) -> usize {
        (self.heads + self.kv_heads) * self.head_dim
    }
    /// Softmax scale, folded into the queries.
    pub(crate) fn query_scale(&self) -> f32 {
        (self.head_dim as f64).sqrt().recip() as f32
    }
}

/// Rotates pairs `at..at + n` of every head in `heads` by cosines `c` and sines `s`.
#[inline(always)]
fn turn<S: Simd>(simd: S, heads: &mut [f32], d: usize, at: usize, n: usize, c: S::f32s, s: S::f32s) {
    for head in heads.chunks_exact_mut(d) {
        let (first, second) = head.split_at_mut(d / 2);
        let (x, y) = (get(simd, first, at, n), get(simd, second, at, n));
        put(simd, first, at, n, simd.negate_mul_add_f32s(y, s, simd.mul_f32s(x, c)));
        put(simd, second, at, n, simd.mul_add_f32s(y, c, simd.mul_f32s(x, s)));
    }
}

vectorized! {
    /// Rotates queries and keys (Su et al. 2021, in the half-split form of HF `rotate_half`), scaling queries by 1/sqrt(head_dim).
    /// `positions[row]` is the token's place; `back` applies the transposed map to gradients.
    pub(crate) fn rotary<'a, S>(simd; qkv: &'a mut [f32], layout: HeadLayout, positions: &'a [usize], table: &'a RotaryTable, back: bool) -> () {
        let (d, half) = (layout.head_dim, layout.head_dim / 2);
        assert_eq!(qkv.len(), positions.len() * layout.width(), "rotary: lengths");
        let sign = simd.splat_f32s(if back { -1.0 } else { 1.0 });
        let query_scale = simd.splat_f32s(layout.query_scale());
        for (row, &t) in qkv.chunks_exact_mut(layout.width()).zip(positions) {
            let (cos, sin) = (&table.cos[t * half..][..half], &table.sin[t * half..][..half]);
            chunks(simd, half, #[inline(always)] |at, n| {
                let (c, s) = (get(simd, cos, at, n), simd.mul_f32s(get(simd, sin, at, n), sign));
                turn(simd, &mut row[..layout.keys()], d, at, n, simd.mul_f32s(c, query_scale), simd.mul_f32s(s, query_scale));
                turn(simd, &mut row[layout.keys()..layout.values()], d, at, n, c, s);
            });
        }
    }
}

vectorized! {
    /// SwiGLU (Shazeer 2020): `out = silu(gate) * up` for rows of `gate_up` (gate then up, `f` each).
    pub(crate) fn swiglu<'a, S>(simd; gate_up: &'a [f32], f: usize, out: &'a mut [f32]) -> () {
        assert_eq!(gate_up.len(), 2 * out.len(), "swiglu: lengths");
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        for (row, out) in gate_up.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
            let (gate, up) = row.split_at(f);
            chunks(simd, f, #[inline(always)] |at, n| {
                let (g, u) = (get(simd, gate, at, n), get(simd, up, at, n));
                let denominator = simd.add_f32s(one, exp(simd, simd.sub_f32s(zero, g)));
                put(simd, out, at, n, simd.div_f32s(simd.mul_f32s(g, u), denominator));
            });
        }
    }
}

vectorized! {
    /// Replaces `gate_up` by its gradient, given that of `swiglu`'s output:
    /// with `s = sigmoid(gate)`, `d_gate = d up s (1 + gate (1 - s))`, `d_up = d gate s`.
    pub(crate) fn swiglu_backward<'a, S>(simd; gate_up: &'a mut [f32], f: usize, d_out: &'a [f32]) -> () {
        assert_eq!(gate_up.len(), 2 * d_out.len(), "swiglu_backward: lengths");
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        for (row, d_out) in gate_up.chunks_exact_mut(2 * f).zip(d_out.chunks_exact(f)) {
            let (gate, up) = row.split_at_mut(f);
            chunks(simd, f, #[inline(always)] |at, n| {
                let (g, u, d) = (get(simd, gate, at, n), get(simd, up, at, n), get(simd, d_out, at, n));
                let sigmoid = simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.sub_f32s(zero, g))));
                let ds = simd.mul_f32s(d, sigmoid);
                let slope = simd.mul_add_f32s(g, simd.sub_f32s(one, sigmoid), one);
                put(simd, gate, at, n, simd.mul_f32s(simd.mul_f32s(ds, u), slope));
                put(simd, up, at, n, simd.mul_f32s(ds, g));
            });
        }
    }
}
