//! Single-threaded matrix products with packed right operands.
//!
//! The right operand is cut into panels of `PANEL` columns, each stored row after row (`[inner][PANEL]`, zero-padded), and read in vectors;
//! the left operand is read in place, one broadcast element at a time. Each output element is a chain of fused multiply-adds over
//! ascending inner index from zero, added to memory once per `INNER` block: its bits depend on the inner length alone,
//! not on the other rows and columns. Register blocking as in Goto & van de Geijn 2008 ("Anatomy of high-performance matrix multiplication").

use crate::buffer::Buffer;
use crate::simd::{load, load_part, prefetch, prefetch_outer, store, store_part, transpose, vectorized};
use pulp::Simd;

/// Columns of a packed panel: two AVX-512 vectors, so that one panel row is two cache lines.
pub(crate) const PANEL: usize = 32;
/// Longest run of the inner dimension between two visits to the output: a panel block of it (48 KiB) stays in the second-level cache.
const INNER: usize = 384;
/// Rows of a transposed left operand packed at a time: a multiple of every tile height.
const ROWS: usize = 504;

/// What happens to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// `C = A B`.
    Set,
    /// `C += A B`.
    Add,
}

/// Splits the inner dimension evenly into blocks of at most `INNER`.
fn inner_block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(INNER).max(1)).max(1)
}

/// Floats of a matrix with `columns` columns and inner length `k`, packed.
pub(crate) fn packed_len(columns: usize, k: usize) -> usize {
    columns.next_multiple_of(PANEL) * k
}

/// Left operand of one tile: element (i, p) lies at `i * row_stride + p * inner_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub ptr: *const f32,
    pub row_stride: usize,
    pub inner_stride: usize,
}

/// Floats of a cache line.
const LINE: usize = 16;

/// Cache lines that will be read next, from memory perhaps: fetched into the second-level cache while products run (16 or 32 rows against
/// 32,000 columns of 288: 66 to 95 GFLOP/s with AVX2, where 108 is the peak).
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// The first; any address.
    next: *const f32,
    lines: usize,
}

impl Ahead {
    /// Nothing.
    pub(crate) const NOTHING: Self = Self { next: std::ptr::null(), lines: 0 };

    /// The share of one of `calls`, the `call`-th.
    fn share(self, call: usize, calls: usize) -> Self {
        let (from, to) = (self.lines * call / calls, self.lines * (call + 1) / calls);
        Self { next: self.next.wrapping_add(from * LINE), lines: to - from }
    }
}

/// `rows` output rows of `lanes * NV` (or fewer: `width`) columns at `c`.
///
/// # Safety
/// `left` is valid for rows `0..rows` and inner `0..k`, `panel` for `k` rows `panel_stride` apart of NV vectors, `c` for `rows` rows of `width`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a microkernel takes its operands apart")]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    k: usize,
    left: Left,
    rows: usize,
    panel: *const f32,
    panel_stride: usize,
    c: *mut f32,
    c_stride: usize,
    width: usize,
    into: Into,
    ahead: Ahead,
) {
    let lanes = S::F32_LANES;
    // Rows beyond the last repeat it: computed, not stored.
    let mut a = [left.ptr; MR];
    for (i, a) in a.iter_mut().enumerate() {
        *a = a.wrapping_add(i.min(rows - 1) * left.row_stride);
    }
    // Fetched from the outer caches while the products run: outputs are larger than the first-level cache.
    for i in 0..rows {
        for v in 0..NV {
            prefetch(c.wrapping_add(i * c_stride + v * lanes));
        }
    }
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    let mut b = panel;
    let mut at = 0;
    // Evenly over the loop, as a line that is waited for stops it; one is asked for again until its turn is over. What is in the cache stands for none.
    let (mut line, step) =
        if ahead.lines == 0 { (panel, 0) } else { (ahead.next, (ahead.lines * LINE * size_of::<f32>()).div_ceil(k)) };
    for _ in 0..k {
        prefetch_outer(line);
        line = line.wrapping_byte_add(step);
        // SAFETY: `b` walks the panel rows, `at` the inner dimension, both `k` times.
        unsafe {
            let mut right = [simd.splat_f32s(0.0); NV];
            for (v, right) in right.iter_mut().enumerate() {
                *right = load::<S>(b.add(v * lanes));
            }
            for i in 0..MR {
                let x = simd.splat_f32s(*a[i].add(at));
                for v in 0..NV {
                    sums[i][v] = simd.mul_add_f32s(x, right[v], sums[i][v]);
                }
            }
            b = b.wrapping_add(panel_stride);
        }
        at += left.inner_stride;
    }
    for (i, row) in sums.iter().enumerate().take(rows) {
        for (v, &sum) in row.iter().enumerate() {
            let from = v * lanes;
            if from >= width {
                break;
            }
            // SAFETY: columns `from..from + min(lanes, width - from)` of row `i` belong to `c`.
            unsafe {
                let to = c.add(i * c_stride + from);
                if width - from >= lanes {
                    store::<S>(to, if into == Into::Add { simd.add_f32s(load::<S>(to), sum) } else { sum });
                } else {
                    let n = width - from;
                    let sum = if into == Into::Add { simd.add_f32s(load_part(simd, to, n), sum) } else { sum };
                    store_part(simd, to, n, sum);
                }
            }
        }
    }
}

/// Rows per register tile: 8 x 2 vectors fill half of AVX-512's 32 registers, 6 x 2 leave 3 of AVX2's 16 for the operands.
pub(crate) const fn tile_rows<S: Simd>() -> usize {
    if S::F32_LANES >= 16 { 8 } else { 6 }
}

/// `m` rows times one panel of `width <= PANEL` columns; `block_stride` leads from one tile of left rows to the next.
///
/// # Safety
/// As `tile`, for `m` rows; `panel` rows hold whole vectors up to `width`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a microkernel takes its operands apart")]
pub(crate) unsafe fn panel_product<S: Simd>(
    simd: S,
    m: usize,
    k: usize,
    left: Left,
    block_stride: usize,
    panel: *const f32,
    panel_stride: usize,
    c: *mut f32,
    c_stride: usize,
    width: usize,
    into: Into,
    ahead: Ahead,
) {
    let lanes = S::F32_LANES;
    let mr = tile_rows::<S>();
    let (mut call, calls) = (0, m.div_ceil(mr) * width.div_ceil(2 * lanes));
    let mut i = 0;
    while i < m {
        let rows = mr.min(m - i);
        let mut from = 0;
        while from < width {
            // SAFETY: the caller's ranges, cut into tiles.
            unsafe {
                let left = Left { ptr: left.ptr.add(i / mr * block_stride), ..left };
                let (panel, c, rest) = (panel.add(from), c.add(i * c_stride + from), width - from);
                let ahead = ahead.share(call, calls);
                macro_rules! call {
                    ($mr:literal, $nv:literal) => {
                        tile::<S, $mr, $nv>(
                            simd,
                            k,
                            left,
                            rows,
                            panel,
                            panel_stride,
                            c,
                            c_stride,
                            rest.min($nv * lanes),
                            into,
                            ahead,
                        )
                    };
                }
                match (rest > lanes, rows) {
                    (true, 1) => call!(1, 2),
                    (true, 2) => call!(2, 2),
                    (true, 3..=4) => call!(4, 2),
                    (true, _) if mr == 8 => call!(8, 2),
                    (true, _) => call!(6, 2),
                    (false, 1) => call!(1, 1),
                    (false, 2) => call!(2, 1),
                    (false, 3..=4) => call!(4, 1),
                    (false, _) if mr == 8 => call!(8, 1),
                    (false, _) => call!(6, 1),
                }
            }
            from += if width - from > lanes { 2 * lanes } else { lanes };
            call += 1;
        }
        i += mr;
    }
}

/// Packs `w` (columns, k) row-major, so that `x w^T` reads it in vectors: panel after panel of `[k][PANEL]`.
///
/// # Panics
/// If a slice is too short.
pub(crate) fn pack_transposed(w: &[f32], columns: usize, k: usize, packed: &mut [f32]) {
    assert!(w.len() >= columns * k && packed.len() >= packed_len(columns, k), "pack_transposed: slice too short");
    for (j, panel) in packed[..packed_len(columns, k)].chunks_exact_mut(PANEL * k).enumerate() {
        let rows = (columns - j * PANEL).min(PANEL);
        if rows < PANEL {
            panel.fill(0.0);
        }
        let w = &w[j * PANEL * k..][..rows * k];
        transpose(w, k, rows, k, panel, PANEL);
    }
}

/// Packs rows `from..from + depth` of `b` (rows, columns) row-major into panels of `[depth][PANEL]`.
#[inline(always)]
pub(crate) fn pack_block(b: &[f32], columns: usize, from: usize, depth: usize, packed: &mut [f32]) {
    for (j, panel) in packed[..packed_len(columns, depth)].chunks_exact_mut(PANEL * depth).enumerate() {
        let width = (columns - j * PANEL).min(PANEL);
        for (p, to) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let row = &b[(from + p) * columns + j * PANEL..][..width];
            // A length known at compile time becomes vector moves instead of a call: the caller's widest, hence inlined.
            if let Some(whole) = row.first_chunk() {
                *to = *whole;
            } else {
                to[..width].copy_from_slice(row);
                to[width..].fill(0.0);
            }
        }
    }
}

vectorized! {
    /// `c (m, n) = or += a (m, k) b`, where `packed` holds `b` (k, n) packed whole, or its transpose (n, k) by `pack_transposed`.
    pub(crate) fn times_packed<'a, S>(simd; m: usize, n: usize, k: usize, a: &'a [f32], packed: &'a [f32], c: &'a mut [f32], into: Into) -> () {
        assert!(a.len() >= m * k && packed.len() >= packed_len(n, k) && c.len() >= m * n, "times_packed: slice too short");
        let depth = inner_block(k);
        for j in (0..n).step_by(PANEL) {
            for p in (0..k).step_by(depth) {
                let into = if p > 0 { Into::Add } else { into };
                let left = Left { ptr: a[p..].as_ptr(), row_stride: k, inner_stride: 1 };
                // SAFETY: rows of `a` are k apart and hold the block from p on; the panel of column j starts at j * k and its row p at PANEL floats
                // each; `c` holds m rows of n. The lengths were asserted.
                unsafe {
                    let panel = packed.as_ptr().add(j * k + p * PANEL);
                    let c = c.as_mut_ptr().add(j);
                    let depth = depth.min(k - p);
                    // Blocks follow each other in memory.
                    let ahead = Ahead { next: panel.wrapping_add(depth * PANEL), lines: depth * PANEL / LINE };
                    panel_product(simd, m, depth, left, tile_rows::<S>() * k, panel, PANEL, c, n, PANEL.min(n - j), into, ahead);
                }
            }
        }
    }
}

vectorized! {
    /// `c (m, n) = or += a^T b` for `a` (k, m) and `b` (k, n): weight gradients; `scratch` grows as needed.
    pub(crate) fn transposed_times<'a, S>(simd; m: usize, n: usize, k: usize, a: &'a [f32], b: &'a [f32], c: &'a mut [f32], into: Into, scratch: &'a mut Buffer) -> () {
        assert!(a.len() >= k * m && b.len() >= k * n && c.len() >= m * n, "transposed_times: slice too short");
        let mr = tile_rows::<S>();
        let depth = inner_block(k);
        let packed_b = packed_len(n, depth);
        let (panels, blocks) = scratch.take(packed_b + depth * ROWS.min(m).next_multiple_of(mr)).split_at_mut(packed_b);
        for p in (0..k).step_by(depth) {
            let (into, depth) = (if p > 0 { Into::Add } else { into }, depth.min(k - p));
            pack_block(b, n, p, depth, panels);
            for i in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - i);
                // Left operand in blocks of `[depth][mr]`: the strided original would fall into few cache sets.
                for (block, i0) in (0..rows).step_by(mr).enumerate() {
                    let valid = mr.min(rows - i0);
                    for (q, to) in blocks[block * depth * mr..][..depth * mr].chunks_exact_mut(mr).enumerate() {
                        let from = &a[(p + q) * m + i + i0..];
                        if valid == mr {
                            to.copy_from_slice(&from[..mr]);
                        } else {
                            to[..valid].copy_from_slice(&from[..valid]);
                        }
                    }
                }
                let left = Left { ptr: blocks.as_ptr(), row_stride: 1, inner_stride: mr };
                for j in (0..n).step_by(PANEL) {
                    // SAFETY: blocks hold `rows` rounded up to mr, `depth` deep; panels and `c` as in `times`.
                    unsafe {
                        let (panel, c) = (panels.as_ptr().add(j * depth), c.as_mut_ptr().add(i * n + j));
                        panel_product(simd, rows, depth, left, depth * mr, panel, PANEL, c, n, PANEL.min(n - j), into, Ahead::NOTHING);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
