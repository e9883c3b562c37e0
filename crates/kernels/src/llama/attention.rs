//! Causal attention, one (row, head) at a time: scores live in a scratch of (time, time) that stays in cache, never in a batch-sized tensor.
//!
//! The backward sweep recomputes the probabilities from queries, keys and the saved softmax constants (Dao et al. 2022, algorithm 4).
//! Queries arrive scaled and rotated. Blocks of query rows see only the key panels at or below their diagonal.

use crate::buffer::Buffer;
use crate::matmul::{Ahead, Into, Left, PANEL, panel_product, tile_rows};
use crate::ops::HeadLayout;
use crate::simd::{exp, get, load, put, store, transpose, vectorized};
use crate::sums::{Sums, sixteens};
use pulp::Simd;

/// Packed operands and scores of one head.
#[derive(Debug, Default)]
pub(crate) struct AttentionScratch {
    keys_t: Buffer,
    values_t: Buffer,
    keys: Buffer,
    values: Buffer,
    queries: Buffer,
    d_out: Buffer,
    scores: Buffer,
    d_scores: Buffer,
}

/// Packs columns `from_column..from_column + d` of `time` rows of `source` (row length `width`) transposed: panels of `[d][PANEL]` over time.
fn pack_columns(source: &[f32], width: usize, from_column: usize, d: usize, time: usize, packed: &mut [f32]) {
    for (j, panel) in packed[..time.next_multiple_of(PANEL) * d].chunks_exact_mut(PANEL * d).enumerate() {
        let from = j * PANEL;
        let valid = PANEL.min(time - from);
        if valid < PANEL {
            panel.fill(0.0);
        }
        transpose(&source[from * width + from_column..], width, valid, d, panel, PANEL);
    }
}

/// Row length of the panels that `pack_rows` makes: one vector is enough for narrow heads.
fn row_panel(d: usize) -> usize {
    d.next_multiple_of(PANEL / 2).min(PANEL)
}

/// Packs the same columns in place order: panels of `[time][row_panel]` over the head's width.
#[inline(always)]
fn pack_rows<S: Simd>(simd: S, source: &[f32], width: usize, from: usize, d: usize, time: usize, packed: &mut [f32]) {
    let stride = row_panel(d);
    for (j, panel) in packed[..d.next_multiple_of(stride) * time].chunks_exact_mut(stride * time).enumerate() {
        let n = (d - j * stride).min(stride);
        for (t, to) in panel.chunks_exact_mut(stride).enumerate() {
            let row = &source[t * width + from + j * stride..][..n];
            for at in (0..stride).step_by(S::F32_LANES) {
                // Zeros beyond the row; vectors, since a call to copy some 16 floats costs more than they do.
                let part = if at < n { get(simd, row, at, S::F32_LANES.min(n - at)) } else { simd.splat_f32s(0.0) };
                put(simd, to, at, S::F32_LANES, part);
            }
        }
    }
}

/// Replaces scores by `exp(score - max)` over the first `valid` entries of `row`, whose length is whole vectors, and by 0 beyond; returns maximum and sum.
///
/// Whole vectors beyond `valid` add exact zeros, so the bits do not depend on how far the row is padded, nor on how long a vector is.
#[inline(always)]
pub(crate) fn softmax_padded<S: Simd>(simd: S, row: &mut [f32], valid: usize) -> (f32, f32) {
    row[valid..].fill(f32::NEG_INFINITY);
    let lanes = S::F32_LANES;
    let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
    for part in row.chunks_exact(lanes) {
        // SAFETY: `part` is one vector long.
        highest = simd.max_f32s(unsafe { load::<S>(part.as_ptr()) }, highest);
    }
    let highest = simd.reduce_max_f32s(highest);
    let shift = simd.splat_f32s(-highest);
    let mut sums = Sums::new(simd);
    sixteens(
        simd,
        row.len(),
        #[inline(always)]
        |at, n, part| {
            let e = exp(simd, simd.add_f32s(get(simd, row, at, n), shift));
            put(simd, row, at, n, e);
            sums.add(simd, part, e);
        },
    );
    (highest, sums.total())
}

/// Scores of query rows `i..i + n` against keys `0..i + n`, into `scores` (row length `padded`).
///
/// # Safety
/// `query` points to row `i`; rows are `width` apart. `keys_t` and `scores` are packed and padded for at least `i + n` keys.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "kernels take their operands apart")]
unsafe fn score_block<S: Simd>(
    simd: S,
    i: usize,
    n: usize,
    d: usize,
    query: *const f32,
    width: usize,
    keys_t: &[f32],
    scores: &mut [f32],
    padded: usize,
) {
    let extent = i + n;
    for j in (0..extent).step_by(PANEL) {
        let columns = (extent - j).next_multiple_of(S::F32_LANES).min(PANEL);
        let left = Left { ptr: query, row_stride: width, inner_stride: 1 };
        // SAFETY: the caller's ranges; panels are padded to whole vectors.
        unsafe {
            let (panel, c) = (keys_t.as_ptr().add(j * d), scores.as_mut_ptr().add(i * padded + j));
            panel_product(simd, n, d, left, 0, panel, PANEL, c, padded, columns, Into::Set, Ahead::NOTHING);
        }
    }
}

vectorized! {
    /// `out` (rows * time, heads * head_dim) = causal attention over `qkv` (rows * time, width);
    /// `softmax` (rows, heads, time, 2) receives each row's maximum and inverse sum.
    pub(crate) fn forward<'a, S>(simd; layout: HeadLayout, rows: usize, time: usize, qkv: &'a [f32], out: &'a mut [f32], softmax: &'a mut [f32], scratch: &'a mut AttentionScratch) -> () {
        let (d, width, out_width) = (layout.head_dim, layout.width(), layout.heads * layout.head_dim);
        assert!(qkv.len() == rows * time * width && out.len() == rows * time * out_width && softmax.len() == rows * layout.heads * time * 2, "attention: lengths");
        let padded = time.next_multiple_of(PANEL);
        let keys_t = scratch.keys_t.take(padded * d);
        let stride = row_panel(d);
        let values = scratch.values.take(d.next_multiple_of(stride) * time);
        let scores = scratch.scores.take(time * padded);
        let mr = tile_rows::<S>();
        for (row, qkv) in qkv.chunks_exact(time * width).enumerate() {
            for head in 0..layout.heads {
                let group = layout.heads / layout.kv_heads;
                if head % group == 0 {
                    pack_columns(qkv, width, layout.keys() + head / group * d, d, time, keys_t);
                    pack_rows(simd, qkv, width, layout.values() + head / group * d, d, time, values);
                }
                let stats = &mut softmax[(row * layout.heads + head) * time * 2..][..time * 2];
                for i in (0..time).step_by(mr) {
                    let n = mr.min(time - i);
                    let whole = (i + n).next_multiple_of(S::F32_LANES);
                    // SAFETY: row i of this head's queries starts there; scratch was sized for `time` keys.
                    unsafe { score_block(simd, i, n, d, qkv[i * width + head * d..].as_ptr(), width, keys_t, scores, padded) };
                    for t in i..i + n {
                        let (highest, sum) = softmax_padded(simd, &mut scores[t * padded..][..whole], t + 1);
                        stats[t * 2] = highest;
                        stats[t * 2 + 1] = 1.0 / sum;
                    }
                    let to = &mut out[(row * time + i) * out_width + head * d..];
                    for j in (0..d).step_by(stride) {
                        let left = Left { ptr: scores[i * padded..].as_ptr(), row_stride: padded, inner_stride: 1 };
                        // SAFETY: n score rows of at least i + n entries; value panels of `time` rows; n output rows of d columns.
                        unsafe {
                            let (panel, c) = (values.as_ptr().add(j * time), to.as_mut_ptr().add(j));
                            panel_product(simd, n, i + n, left, 0, panel, stride, c, out_width, stride.min(d - j), Into::Set, Ahead::NOTHING);
                        }
                    }
                    for (t, to) in to.chunks_mut(out_width).take(n).enumerate() {
                        let factor = stats[(i + t) * 2 + 1];
                        to[..d].iter_mut().for_each(|x| *x *= factor);
                    }
                }
            }
        }
    }
}

vectorized! {
    /// `d_qkv` (rows * time, width) from `d_out` (rows * time, heads * head_dim), given the forward sweep's operands and results.
    ///
    /// With `P` the probabilities and `dP = dO V^T`: `dS = P (dP - rowsum(dO O))`, `dQ = dS K`, `dK = dS^T Q`, `dV = P^T dO`.
    pub(crate) fn backward<'a, S>(simd; layout: HeadLayout, rows: usize, time: usize, qkv: &'a [f32], out: &'a [f32], softmax: &'a [f32], d_out: &'a [f32], d_qkv: &'a mut [f32], scratch: &'a mut AttentionScratch) -> () {
        let (d, width, out_width) = (layout.head_dim, layout.width(), layout.heads * layout.head_dim);
        assert!(qkv.len() == rows * time * width && out.len() == rows * time * out_width && softmax.len() == rows * layout.heads * time * 2, "attention: lengths");
        assert!(d_out.len() == out.len() && d_qkv.len() == qkv.len(), "attention: lengths of gradients");
        let padded = time.next_multiple_of(PANEL);
        let (keys_t, values_t) = (scratch.keys_t.take(padded * d), scratch.values_t.take(padded * d));
        let stride = row_panel(d);
        let by_rows = d.next_multiple_of(stride) * time;
        let (keys, queries, d_head) = (scratch.keys.take(by_rows), scratch.queries.take(by_rows), scratch.d_out.take(by_rows));
        let (scores, d_scores) = (scratch.scores.take(time * padded), scratch.d_scores.take(time * padded));
        let mr = tile_rows::<S>();
        let lanes = S::F32_LANES;
        let group = layout.heads / layout.kv_heads;
        for row in 0..rows {
            let (qkv, d_qkv) = (&qkv[row * time * width..][..time * width], &mut d_qkv[row * time * width..][..time * width]);
            let (out, d_out) = (&out[row * time * out_width..][..time * out_width], &d_out[row * time * out_width..][..time * out_width]);
            for head in 0..layout.heads {
                let (key, value) = (layout.keys() + head / group * d, layout.values() + head / group * d);
                let into = if head % group == 0 { Into::Set } else { Into::Add };
                if into == Into::Set {
                    pack_columns(qkv, width, key, d, time, keys_t);
                    pack_columns(qkv, width, value, d, time, values_t);
                    pack_rows(simd, qkv, width, key, d, time, keys);
                }
                pack_rows(simd, qkv, width, head * d, d, time, queries);
                pack_rows(simd, d_out, out_width, head * d, d, time, d_head);
                let stats = &softmax[(row * layout.heads + head) * time * 2..][..time * 2];
                for i in (0..time).step_by(mr) {
                    let n = mr.min(time - i);
                    let whole = (i + n).next_multiple_of(lanes);
                    // SAFETY: as in `forward`; gradients of the output have the output's layout.
                    unsafe {
                        score_block(simd, i, n, d, qkv[i * width + head * d..].as_ptr(), width, keys_t, scores, padded);
                        score_block(simd, i, n, d, d_out[i * out_width + head * d..].as_ptr(), out_width, values_t, d_scores, padded);
                    }
                    for t in i..i + n {
                        let at = t * out_width + head * d;
                        let along: f32 = out[at..at + d].iter().zip(&d_out[at..at + d]).map(|(o, g)| o * g).sum();
                        let (shift, factor, along) = (simd.splat_f32s(-stats[t * 2]), simd.splat_f32s(stats[t * 2 + 1]), simd.splat_f32s(along));
                        let (p, ds) = (&mut scores[t * padded..][..whole], &mut d_scores[t * padded..][..whole]);
                        p[t + 1..].fill(f32::NEG_INFINITY);
                        for (p, ds) in p.chunks_exact_mut(lanes).zip(ds.chunks_exact_mut(lanes)) {
                            // SAFETY: both parts are one vector long.
                            unsafe {
                                let e = simd.mul_f32s(exp(simd, simd.add_f32s(load::<S>(p.as_ptr()), shift)), factor);
                                store::<S>(p.as_mut_ptr(), e);
                                store::<S>(ds.as_mut_ptr(), simd.mul_f32s(e, simd.sub_f32s(load::<S>(ds.as_ptr()), along)));
                            }
                        }
                    }
                    for j in (0..d).step_by(stride) {
                        let left = Left { ptr: d_scores[i * padded..].as_ptr(), row_stride: padded, inner_stride: 1 };
                        // SAFETY: n rows of score gradients, key panels of `time` rows, n rows of query gradients.
                        unsafe {
                            let c = d_qkv.as_mut_ptr().add(i * width + head * d + j);
                            panel_product(simd, n, i + n, left, 0, keys.as_ptr().add(j * time), stride, c, width, stride.min(d - j), Into::Set, Ahead::NOTHING);
                        }
                    }
                }
                for i in (0..time).step_by(mr) {
                    let n = mr.min(time - i);
                    for (weights, operand, column) in [(&*d_scores, &*queries, key), (&*scores, &*d_head, value)] {
                        let left = Left { ptr: weights[i * padded + i..].as_ptr(), row_stride: 1, inner_stride: padded };
                        for j in (0..d).step_by(stride) {
                            // SAFETY: keys i..i + n are seen by queries i..time, whose rows hold (at least) zeros for them; panels have `time` rows.
                            unsafe {
                                let (panel, c) = (operand.as_ptr().add(j * time + i * stride), d_qkv.as_mut_ptr().add(i * width + column + j));
                                panel_product(simd, n, time - i, left, 0, panel, stride, c, width, stride.min(d - j), into, Ahead::NOTHING);
                            }
                        }
                    }
                }
            }
        }
    }
}
