//! Keys and values of past tokens, and attention of single tokens over them.
//!
//! A slot's tokens lie in blocks of 16, each holding its keys transposed (`[kv_head][head_dim][16]`) and then its values (`[16][kv_head][head_dim]`),
//! so that one token's attention reads one contiguous stretch in whole vectors. That memory, not arithmetic, is what decoding waits for:
//! the next slot's stretch is prefetched while this one is worked on.

use super::attention::softmax_padded;
use crate::buffer::Buffer;
use crate::ops::HeadLayout;
use crate::simd::{chunks, get, load, prefetch_outer, put, store, store_part, vectorized};
use pulp::Simd;
use std::ops::Range;

/// Tokens per block: the widest vector.
const BLOCK: usize = 16;
/// Most heads worked on together: enough independent chains to hide the latency of a fused multiply-add.
const HEADS: usize = 4;

/// The caches of one transformer block: one per slot.
#[derive(Debug)]
pub(crate) struct Cache {
    layout: HeadLayout,
    /// Tokens a slot can hold, whole blocks.
    capacity: usize,
    /// Distance between two heads of one token's values: whole vectors.
    value_stride: usize,
    slots: usize,
    blocks: Buffer,
}

impl Cache {
    /// Empty caches of at most `max_time` tokens.
    pub(crate) fn new(layout: HeadLayout, slots: usize, max_time: usize) -> Self {
        let mut cache = Self {
            layout,
            capacity: max_time.next_multiple_of(BLOCK),
            value_stride: layout.head_dim.next_multiple_of(BLOCK),
            slots,
            blocks: Buffer::default(),
        };
        cache.blocks.take(slots * Self::slot_floats(layout, max_time));
        cache
    }

    /// Floats that one slot of `max_time` tokens takes.
    pub(crate) fn slot_floats(layout: HeadLayout, max_time: usize) -> usize {
        max_time.next_multiple_of(BLOCK) * layout.kv_heads * (layout.head_dim + layout.head_dim.next_multiple_of(BLOCK))
    }

    /// Floats of the keys of a block.
    fn keys_len(&self) -> usize {
        self.layout.kv_heads * self.layout.head_dim * BLOCK
    }

    /// Floats of a block.
    fn block_len(&self) -> usize {
        self.keys_len() + self.layout.kv_heads * self.value_stride * BLOCK
    }

    fn slot_len(&self) -> usize {
        self.capacity / BLOCK * self.block_len()
    }

    /// Stores the keys and values of one token (a row of qkv) at position `t` of a slot.
    #[inline(always)]
    fn append<S: Simd>(&mut self, simd: S, slot: usize, t: usize, qkv: &[f32]) {
        let (d, stride, keys_len, block_len) = (self.layout.head_dim, self.value_stride, self.keys_len(), self.block_len());
        let start = slot * self.slot_len() + t / BLOCK * block_len;
        let (keys, values) = self.blocks.all_mut()[start..start + block_len].split_at_mut(keys_len);
        let from = &qkv[self.layout.keys()..self.layout.values()];
        for (key, column) in from.iter().zip(keys.as_chunks_mut::<BLOCK>().0) {
            column[t % BLOCK] = *key;
        }
        let row = &mut values[t % BLOCK * self.layout.kv_heads * stride..];
        for (value, to) in qkv[self.layout.values()..].chunks_exact(d).zip(row.chunks_exact_mut(stride)) {
            chunks(
                simd,
                d,
                #[inline(always)]
                |at, n| put(simd, to, at, n, get(simd, value, at, n)),
            );
        }
    }
}

/// Adds `sum over i < n of scalars[h][i] * vectors[h][i * stride..]` to `sums[h]`, NV adjacent vectors each: one chain per element, in order of i.
/// What lies `ahead` floats further is prefetched.
///
/// # Safety
/// Each of `scalars` is valid for `n` reads, each of `vectors` for NV vectors at each of `n` places `stride` apart.
#[inline(always)]
unsafe fn chains<S: Simd, const H: usize, const NV: usize>(
    simd: S,
    n: usize,
    scalars: &[*const f32; H],
    vectors: &[*const f32; H],
    stride: usize,
    ahead: usize,
    sums: &mut [[S::f32s; NV]; H],
) {
    let mut at = 0;
    for i in 0..n {
        for h in 0..H {
            // SAFETY: the caller's ranges.
            unsafe {
                let x = simd.splat_f32s(*scalars[h].add(i));
                for (v, sum) in sums[h].iter_mut().enumerate() {
                    let from = vectors[h].add(at + v * S::F32_LANES);
                    prefetch_outer(from.wrapping_add(ahead));
                    *sum = simd.mul_add_f32s(x, load::<S>(from), *sum);
                }
            }
        }
        at += stride;
    }
}

/// One token's query heads against one slot's cache.
struct Token<'a> {
    /// The slot's blocks.
    blocks: &'a [f32],
    /// Floats (wrapping) from these blocks to those the next token will read: fetched meanwhile.
    ahead: usize,
    /// Its place: keys `0..=t` are seen.
    t: usize,
}

/// Attention of `heads` (H or fewer) of one token, from their `queries` into their part of `out`; `scores`: (H or more, capacity).
#[inline(always)]
fn attend<S: Simd, const H: usize>(
    simd: S,
    cache: &Cache,
    token: &Token<'_>,
    heads: Range<usize>,
    queries: &[f32],
    out: &mut [f32],
    scores: &mut [f32],
) {
    let (lanes, capacity, t, n) = (S::F32_LANES, cache.capacity, token.t, heads.len());
    let (d, group, stride) = (cache.layout.head_dim, cache.layout.heads / cache.layout.kv_heads, cache.value_stride);
    let (keys_len, block_len, row_len) = (cache.keys_len(), cache.block_len(), cache.layout.kv_heads * stride);
    let whole = (t + 1).next_multiple_of(lanes);
    assert!(queries.len() == n * d && out.len() == n * d && scores.len() >= H * capacity && (1..=H).contains(&n));
    assert!(t < capacity && token.blocks.len() >= (t / BLOCK + 1) * block_len);
    // Heads beyond the last repeat it: computed, not stored.
    let head = |h: usize| h.min(n - 1);
    let kv = |h: usize| (heads.start + head(h)) / group;
    let query: [*const f32; H] = std::array::from_fn(|h| queries[head(h) * d..].as_ptr());
    for j in (0..whole).step_by(lanes) {
        let keys = &token.blocks[j / BLOCK * block_len..][..keys_len];
        let columns: [*const f32; H] = std::array::from_fn(|h| keys[kv(h) * d * BLOCK + j % BLOCK..].as_ptr());
        let mut sums = [[simd.splat_f32s(0.0)]; H];
        // SAFETY: d queries a head, and d rows of BLOCK keys, of which one vector is read.
        unsafe { chains(simd, d, &query, &columns, BLOCK, token.ahead, &mut sums) };
        for (scores, [sum]) in scores.chunks_exact_mut(capacity).zip(sums) {
            let to = &mut scores[j..j + lanes];
            // SAFETY: `to` is one vector long.
            unsafe { store::<S>(to.as_mut_ptr(), sum) };
        }
    }
    let mut factors = [0.0; H];
    for (row, factor) in scores.chunks_exact_mut(capacity).zip(&mut factors).take(n) {
        *factor = 1.0 / softmax_padded(simd, &mut row[..whole], t + 1).1;
    }
    let scores = &*scores;
    let mut column = 0;
    while column < d {
        macro_rules! columns {
            ($nv:literal) => {{
                let mut sums = [[simd.splat_f32s(0.0); $nv]; H];
                for (index, block) in token.blocks.chunks_exact(block_len).take(t / BLOCK + 1).enumerate() {
                    let weights: [*const f32; H] = std::array::from_fn(|h| scores[head(h) * capacity + index * BLOCK..].as_ptr());
                    let values: [*const f32; H] = std::array::from_fn(|h| block[keys_len + kv(h) * stride + column..].as_ptr());
                    // SAFETY: the tokens of this block up to t; their values are padded to whole vectors (`stride`).
                    unsafe { chains(simd, BLOCK.min(t + 1 - index * BLOCK), &weights, &values, row_len, token.ahead, &mut sums) };
                }
                for ((to, sums), &factor) in out.chunks_exact_mut(d).zip(sums).zip(&factors) {
                    let factor = simd.splat_f32s(factor);
                    for (v, sum) in sums.into_iter().enumerate() {
                        let from = column + v * lanes;
                        if from < d {
                            let to = &mut to[from..d.min(from + lanes)];
                            // SAFETY: `to` is at most one vector long.
                            unsafe { store_part(simd, to.as_mut_ptr(), to.len(), simd.mul_f32s(sum, factor)) };
                        }
                    }
                }
                column += $nv * lanes;
            }};
        }
        if column + lanes < d { columns!(2) } else { columns!(1) }
    }
}

vectorized! {
    /// Stores the keys and values of each row of `qkv` (rows, width) - the token at `positions[r]` of `slots[r]` - and, where `out` (rows, heads * head_dim)
    /// is wanted, writes its attention over that slot. Rows of one slot come in order. Same chains of operations as the sweep over whole rows, hence the same bits.
    pub(crate) fn append_and_attend<'a, S>(simd; cache: &'a mut Cache, slots: &'a [usize], positions: &'a [usize], qkv: &'a [f32], out: Option<&'a mut [f32]>, scratch: &'a mut Buffer) -> () {
        let layout = cache.layout;
        let (d, width, out_width, slot_len) = (layout.head_dim, layout.width(), layout.heads * layout.head_dim, cache.slot_len());
        assert!(slots.len() == positions.len() && qkv.len() == slots.len() * width, "decoder attention: lengths");
        assert!(slots.iter().all(|&slot| slot < cache.slots) && positions.iter().all(|&t| t < cache.capacity), "decoder: a slot is full");
        let rows = slots.iter().zip(positions).zip(qkv.chunks_exact(width));
        let Some(out) = out else {
            for ((&slot, &t), qkv) in rows {
                cache.append(simd, slot, t, qkv);
            }
            return;
        };
        assert_eq!(out.len(), slots.len() * out_width, "decoder attention: length of the output");
        let scores = scratch.take(HEADS * cache.capacity);
        for (row, (((&slot, &t), qkv), out)) in rows.zip(out.chunks_exact_mut(out_width)).enumerate() {
            cache.append(simd, slot, t, qkv);
            let cache = &*cache;
            let next = slots.get(row + 1).unwrap_or(&slot);
            let ahead = (next * slot_len).wrapping_sub(slot * slot_len);
            let token = Token { blocks: &cache.blocks.all()[slot * slot_len..][..slot_len], ahead, t };
            for first in (0..layout.heads).step_by(HEADS) {
                let heads = first..layout.heads.min(first + HEADS);
                let part = heads.start * d..heads.end * d;
                let (queries, out) = (&qkv[part.clone()], &mut out[part]);
                match heads.len() {
                    1 => attend::<S, 1>(simd, cache, &token, heads, queries, out, scores),
                    2 => attend::<S, 2>(simd, cache, &token, heads, queries, out, scores),
                    _ => attend::<S, HEADS>(simd, cache, &token, heads, queries, out, scores),
                }
            }
        }
    }
}
