use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use kernels::products::{Packed, Room, Rows, times, transposed_times};
use kernels::vecmath::{axpy, dot, softmax_in_place};

use super::floats::{floats, given, gradient_of, with_floats};

/// Queries (n, heads * width), keys and values (n, key-value heads * width) -> (n, heads * width), n being batch * time.
///
/// A head at a time and, of its queries, a block at a time, which sees no keys behind it: scores never leave the cache. The way back computes
/// them again (Dao et al. 2022, arXiv 2205.14135, algorithm 4).
pub(crate) struct AttentionPass {
    pub(crate) time: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) width: usize,
    /// Factor of the products of queries and keys.
    pub(crate) scale: f32,
    /// Scores go through c tanh(x / c).
    pub(crate) soft_cap: Option<f32>,
    /// A token sees itself and so many - 1 before it.
    pub(crate) window: Option<usize>,
    /// Cosines and sines (time, pairs) by which queries and keys are turned.
    pub(crate) turns: Option<(Tensor, Tensor)>,
}

/// Queries of a block.
const BLOCK: usize = 32;

impl CustomOp3 for AttentionPass {
    fn name(&self) -> &'static str {
        "attention in one pass"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        of_q: &Layout,
        k: &CpuStorage,
        of_k: &Layout,
        v: &CpuStorage,
        of_v: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (floats(q, of_q)?, floats(k, of_k)?, floats(v, of_v)?);
        Ok(given(self.with_turns(|turns| self.forth(turns, q, k, v))?, of_q.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let back = |turns: Option<Turns<'_>>| -> Result<[Vec<f32>; 3]> {
            let of_dy = |q: &[f32], k: &[f32], v: &[f32]| with_floats(dy, |dy| self.back(turns, q, k, v, dy));
            with_floats(q, |q| with_floats(k, |k| with_floats(v, |v| of_dy(q, k, v))))???
        };
        let [dq, dk, dv] = self.with_turns(back)??;
        Ok((gradient_of(q, dq)?, gradient_of(k, dk)?, gradient_of(v, dv)?))
    }
}

/// Cosines and sines, (time, pairs) each.
#[derive(Clone, Copy)]
struct Turns<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    pairs: usize,
}

/// Scores of a block of queries, and the slopes of a soft cap there.
struct Block {
    law: Vec<f32>,
    cap_slopes: Vec<f32>,
}

impl AttentionPass {
    fn with_turns<T>(&self, compute: impl FnOnce(Option<Turns<'_>>) -> T) -> Result<T> {
        let Some((cos, sin)) = &self.turns else { return Ok(compute(None)) };
        let pairs = cos.dim(1)?;
        with_floats(cos, |cos| with_floats(sin, |sin| compute(Some(Turns { cos, sin, pairs }))))?
    }

    fn forth(&self, turns: Option<Turns<'_>>, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let (time, width, group) = (self.time, self.width, self.heads / self.kv_heads);
        let (across, kv_across) = (self.heads * width, self.kv_heads * width);
        let mut y = vec![0.0; q.len()];
        let mut head = vec![0.0; time * width];
        let (mut keys, mut values) = (Packed::default(), Packed::default());
        let mut block = self.block();
        let texts = y.chunks_exact_mut(time * across).zip(q.chunks_exact(time * across));
        for ((y, q), (k, v)) in texts.zip(k.chunks_exact(time * kv_across).zip(v.chunks_exact(time * kv_across))) {
            for at in 0..self.heads {
                if at % group == 0 {
                    take(k, kv_across, at / group * width, width, turns, 1.0, &mut head);
                    keys.hold_transposed(&head, time, width);
                    take(v, kv_across, at / group * width, width, None, 1.0, &mut head);
                    values.hold(&head, time, width);
                }
                take(q, across, at * width, width, turns, self.scale, &mut head);
                for first in (0..time).step_by(BLOCK) {
                    let (n, seen) = self.laws(first, &head, &keys, &mut block);
                    let law = Rows { values: &block.law, stride: seen };
                    times(n, width, seen, law, &values, &mut y[first * across + at * width..], across, false);
                }
            }
        }
        y
    }

    /// With `P` the laws and `dP = dY V^T`: `dS = P (dP - rowsum(P dP))`, `dQ = dS K`, `dK = dS^T Q`, `dV = P^T dY`.
    fn back(&self, turns: Option<Turns<'_>>, q: &[f32], k: &[f32], v: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let (time, width, group) = (self.time, self.width, self.heads / self.kv_heads);
        let (across, kv_across) = (self.heads * width, self.kv_heads * width);
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        let [mut of_k, mut of_q, mut of_y, mut d_of_q, mut d_of_k, mut d_of_v] = [(); 6].map(|()| vec![0.0; time * width]);
        let [mut keys, mut values, mut keys_back] = [(); 3].map(|()| Packed::default());
        let (mut block, mut slopes, mut room) = (self.block(), vec![0.0; BLOCK.min(time) * time], Room::default());
        for text in 0..q.len() / (time * across) {
            let [q, dy] = [q, dy].map(|all| &all[text * time * across..][..time * across]);
            let [k, v] = [k, v].map(|all| &all[text * time * kv_across..][..time * kv_across]);
            let dq = &mut dq[text * time * across..][..time * across];
            let [dk, dv] = [&mut dk, &mut dv].map(|all| &mut all[text * time * kv_across..][..time * kv_across]);
            for at in 0..self.heads {
                let of_kv = at / group * width;
                if at % group == 0 {
                    take(v, kv_across, of_kv, width, None, 1.0, &mut of_k);
                    values.hold_transposed(&of_k, time, width);
                    take(k, kv_across, of_kv, width, turns, 1.0, &mut of_k);
                    keys.hold_transposed(&of_k, time, width);
                    keys_back.hold(&of_k, time, width);
                    d_of_k.fill(0.0);
                    d_of_v.fill(0.0);
                }
                take(q, across, at * width, width, turns, self.scale, &mut of_q);
                take(dy, across, at * width, width, None, 1.0, &mut of_y);
                for first in (0..time).step_by(BLOCK) {
                    let (n, seen) = self.laws(first, &of_q, &keys, &mut block);
                    let (of_q, of_y) = (&of_q[first * width..][..n * width], &of_y[first * width..][..n * width]);
                    times(n, seen, width, Rows { values: of_y, stride: width }, &values, &mut slopes, seen, false);
                    for (row, (law, slope)) in block.law.chunks_exact(seen).zip(slopes.chunks_exact_mut(seen)).take(n).enumerate()
                    {
                        let along = dot(law, slope);
                        slope.iter_mut().zip(law).for_each(|(slope, p)| *slope = p * (*slope - along));
                        if self.soft_cap.is_some() {
                            slope
                                .iter_mut()
                                .zip(&block.cap_slopes[row * seen..])
                                .for_each(|(slope, cap_slope)| *slope *= cap_slope);
                        }
                    }
                    let d_of_q = &mut d_of_q[first * width..];
                    times(n, width, seen, Rows { values: &slopes, stride: seen }, &keys_back, d_of_q, width, false);
                    transposed_times(seen, width, n, &slopes, of_q, &mut d_of_k, true, &mut room);
                    transposed_times(seen, width, n, &block.law, of_y, &mut d_of_v, true, &mut room);
                }
                give(&d_of_q, across, at * width, width, turns, self.scale, dq);
                if at % group == group - 1 {
                    give(&d_of_k, kv_across, of_kv, width, turns, 1.0, dk);
                    give(&d_of_v, kv_across, of_kv, width, None, 1.0, dv);
                }
            }
        }
        [dq, dk, dv]
    }

    fn block(&self) -> Block {
        let len = BLOCK.min(self.time) * self.time;
        Block { law: vec![0.0; len], cap_slopes: vec![0.0; if self.soft_cap.is_some() { len } else { 0 }] }
    }

    /// Laws of the queries from `first` on, of all of `head`'s: how many they are, and over how many keys each goes, which is the length of a row.
    fn laws(&self, first: usize, head: &[f32], keys: &Packed, block: &mut Block) -> (usize, usize) {
        let width = self.width;
        let n = BLOCK.min(self.time - first);
        let seen = first + n;
        times(n, seen, width, Rows { values: &head[first * width..], stride: width }, keys, &mut block.law, seen, false);
        if let Some(cap) = self.soft_cap {
            for (score, cap_slope) in block.law[..n * seen].iter_mut().zip(&mut block.cap_slopes) {
                let tanh = libm::tanhf(*score / cap);
                (*score, *cap_slope) = (cap * tanh, 1.0 - tanh * tanh);
            }
        }
        for (row, law) in block.law.chunks_exact_mut(seen).take(n).enumerate() {
            let end = first + row + 1;
            let start = self.window.map_or(0, |window| end.saturating_sub(window));
            softmax_in_place(&mut law[start..end]);
            law[..start].fill(0.0);
            law[end..].fill(0.0);
        }
        (n, seen)
    }
}

/// Takes the head at `column` out of rows of `across`, turned and times `factor`, into `head` (time, width).
fn take(rows: &[f32], across: usize, column: usize, width: usize, turns: Option<Turns<'_>>, factor: f32, head: &mut [f32]) {
    for (t, (row, head)) in rows.chunks_exact(across).zip(head.chunks_exact_mut(width)).enumerate() {
        head.copy_from_slice(&row[column..][..width]);
        turn(head, t, turns, 1.0);
        if factor != 1.0 {
            head.iter_mut().for_each(|x| *x *= factor);
        }
    }
}

/// Adds the gradient of what [`take`] took to that of the rows.
fn give(head: &[f32], across: usize, column: usize, width: usize, turns: Option<Turns<'_>>, factor: f32, rows: &mut [f32]) {
    let mut turned = vec![0.0; width];
    for (t, (row, head)) in rows.chunks_exact_mut(across).zip(head.chunks_exact(width)).enumerate() {
        turned.copy_from_slice(head);
        turn(&mut turned, t, turns, -1.0);
        axpy(factor, &turned, &mut row[column..][..width]);
    }
}

/// Turns a head at place `t`: of its first components the first half is paired with the second. A `sign` of -1 turns back.
fn turn(head: &mut [f32], t: usize, turns: Option<Turns<'_>>, sign: f32) {
    let Some(Turns { cos, sin, pairs }) = turns else { return };
    let (first, second) = head[..2 * pairs].split_at_mut(pairs);
    let (cos, sin) = (&cos[t * pairs..][..pairs], &sin[t * pairs..][..pairs]);
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let sin = sign * sin;
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
