//! Matrix products for models that are no Llama: the chains of [`crate::llama`], behind checked lengths.
//!
//! An element is one chain of fused multiply-adds in a fixed order, so a row's bits depend on neither its neighbours nor the machine.

use crate::buffer::Buffer;
use crate::matmul::{self, Ahead, Into, Left, PANEL, pack_block, pack_transposed, packed_len, panel_product, tile_rows};
use crate::simd::vectorized;

/// Longest run of the inner dimension between two visits to the output, as in `matmul`.
const INNER: usize = 384;

/// A right operand (inner, columns) in the order that [`times`] reads; its memory is used again by the next one.
#[derive(Debug, Default)]
pub struct Packed {
    buffer: Buffer,
    inner: usize,
    columns: usize,
}

impl Packed {
    /// Holds `rows` (inner, columns) from now on.
    ///
    /// # Panics
    /// When the length is another.
    pub fn hold(&mut self, rows: &[f32], inner: usize, columns: usize) {
        assert_eq!(rows.len(), inner * columns, "packed: length");
        pack_block(rows, columns, 0, inner, self.buffer.take(packed_len(columns, inner)));
        (self.inner, self.columns) = (inner, columns);
    }

    /// Holds the transpose of `rows` (columns, inner) from now on.
    ///
    /// # Panics
    /// When the length is another.
    pub fn hold_transposed(&mut self, rows: &[f32], columns: usize, inner: usize) {
        assert_eq!(rows.len(), inner * columns, "packed: length");
        pack_transposed(rows, columns, inner, self.buffer.take(packed_len(columns, inner)));
        (self.inner, self.columns) = (inner, columns);
    }
}

/// Memory that products use again.
#[derive(Debug, Default)]
pub struct Room(Buffer);

/// Rows of a matrix, each `stride` after the one before.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element of the first row on.
    pub values: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
}

/// `c (m, n) = a (m, k) b`, or `+=` that where `add` says so: `b` is made of the first `k` rows and `n` columns of `right`, and rows of `c` are
/// `c_stride` apart.
///
/// # Panics
/// When `a`, `right` or `c` is too small, rows of `c` would overlap, or `k` is 0.
#[expect(clippy::too_many_arguments, reason = "a product takes its operands apart")]
pub fn times(m: usize, n: usize, k: usize, a: Rows<'_>, right: &Packed, c: &mut [f32], c_stride: usize, add: bool) {
    assert!(0 < k && k <= right.inner && n <= right.columns && n <= c_stride, "times: sizes");
    if m == 0 {
        return;
    }
    assert!(a.values.len() >= (m - 1) * a.stride + k && c.len() >= (m - 1) * c_stride + n, "times: slice too short");
    let into = if add { Into::Add } else { Into::Set };
    leading(m, n, k, a.values, a.stride, right.buffer.all(), right.inner, c, c_stride, into);
}

vectorized! {
    /// [`times`], whose lengths were checked.
    fn leading<'a, S>(simd; m: usize, n: usize, k: usize, a: &'a [f32], a_stride: usize, packed: &'a [f32], inner: usize, c: &'a mut [f32], c_stride: usize, into: Into) -> () {
        assert!(packed.len() >= packed_len(n, inner), "times: right operand too short");
        let depth = k.div_ceil(k.div_ceil(INNER));
        for j in (0..n).step_by(PANEL) {
            for p in (0..k).step_by(depth) {
                let into = if p > 0 { Into::Add } else { into };
                let left = Left { ptr: a[p..].as_ptr(), row_stride: a_stride, inner_stride: 1 };
                // SAFETY: m rows of `a`, a_stride apart, hold k elements each; the panel of column j starts at j * inner and its row p at PANEL floats
                // each, of which there are at least k; `c` holds m rows of n, c_stride apart. The lengths were asserted.
                unsafe {
                    let panel = packed.as_ptr().add(j * inner + p * PANEL);
                    let c = c.as_mut_ptr().add(j);
                    panel_product(simd, m, depth.min(k - p), left, tile_rows::<S>() * a_stride, panel, PANEL, c, c_stride, PANEL.min(n - j), into, Ahead::NOTHING);
                }
            }
        }
    }
}

/// `c (m, n) = a^T b`, or `+=` that, for `a` (k, m) and `b` (k, n): the gradient of a weight.
///
/// # Panics
/// When a slice is too short.
#[expect(clippy::too_many_arguments, reason = "a product takes its operands apart")]
pub fn transposed_times(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32], add: bool, room: &mut Room) {
    matmul::transposed_times(m, n, k, a, b, c, if add { Into::Add } else { Into::Set }, &mut room.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
    }

    #[test]
    fn products_of_parts_meet_the_definition() {
        for (m, n, k, inner, columns) in [(1, 1, 1, 1, 1), (7, 40, 5, 9, 70), (33, 65, 400, 800, 65), (3, 16, 12, 12, 33)] {
            let (a_stride, c_stride) = (k + 3, n + 2);
            let (a, b) = (values(m * a_stride), values(inner * columns));
            let mut right = Packed::default();
            // a larger operand before leaves nothing behind
            right.hold(&values(4 * inner * columns), 2 * inner, 2 * columns);
            for transposed in [false, true] {
                if transposed {
                    let turned: Vec<f32> = (0..inner * columns).map(|at| b[at % inner * columns + at / inner]).collect();
                    right.hold_transposed(&turned, columns, inner);
                } else {
                    right.hold(&b, inner, columns);
                }
                for add in [false, true] {
                    let mut c = vec![2.0; m * c_stride];
                    times(m, n, k, Rows { values: &a, stride: a_stride }, &right, &mut c, c_stride, add);
                    for (at, &got) in c.iter().enumerate() {
                        let (i, j) = (at / c_stride, at % c_stride);
                        let product = |p: usize| f64::from(a[i * a_stride + p]) * f64::from(b[p * columns + j]);
                        let want = match j < n {
                            true => (0..k).map(product).sum::<f64>() + if add { 2.0 } else { 0.0 },
                            false => 2.0,
                        };
                        assert!((f64::from(got) - want).abs() < 1e-4, "{m}x{n}x{k} at ({i}, {j}): {got} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_company() {
        let (n, k) = (37, 50);
        let (a, mut right) = (values(9 * k), Packed::default());
        right.hold(&values(k * n), k, n);
        let product = |m: usize| {
            let mut c = vec![0.0; m * n];
            times(m, n, k, Rows { values: &a, stride: k }, &right, &mut c, n, false);
            c
        };
        let all = product(9);
        (1..9).for_each(|m| assert_eq!(product(m), all[..m * n]));
    }
}
