use candle_core::{D, Device, Result, Tensor};

use super::soft_cap::soft_capped;
use super::{Linear, Norm, Rope};
use crate::arch::{Initialiser, KvCache, Layout, Weights};

/// Causal attention with grouped queries (Ainslie et al. 2023, arXiv 2305.13245): query head i looks at key-value head
/// i * g / h.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// From states to queries, keys and values.
    pub projections: Projections,
    /// Norms of queries and keys.
    pub norms: HeadNorms,
    /// Rotary positions.
    pub rope: Option<Rope>,
    /// Factor of the products of queries and keys.
    pub scale: f64,
    /// Scores go through c tanh(x / c).
    pub soft_cap: Option<f64>,
    /// A token sees itself and so many - 1 before it.
    pub window: Option<usize>,
    /// Back to the residual stream.
    pub out: Linear,
}

/// From states to queries, keys and values.
#[derive(Debug, Clone, PartialEq)]
pub enum Projections {
    /// A product each.
    Separate {
        /// To queries.
        q: Linear,
        /// To keys.
        k: Linear,
        /// To values.
        v: Linear,
    },
    /// One product: all queries, all keys, all values.
    Stacked(Linear),
    /// One product: query, key and value of the first head, of the second, and so on.
    Interleaved(Linear),
}

/// Norms of queries and keys before their positions.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadNorms {
    /// None.
    None,
    /// Over each head by itself.
    EachHead {
        /// Of queries.
        q: Norm,
        /// Of keys.
        k: Norm,
    },
    /// Over all heads together.
    AllHeads {
        /// Of queries.
        q: Norm,
        /// Of keys.
        k: Norm,
    },
}

/// What all layers of a walk share: tables of positions and masks, each made once.
pub(super) struct Shared {
    batch: usize,
    time: usize,
    tables: Vec<(Rope, (Tensor, Tensor))>,
    masks: Vec<(Option<usize>, Option<Tensor>)>,
}

impl Shared {
    pub(super) fn new<'a>(
        layers: impl Iterator<Item = &'a Attention>,
        batch: usize,
        time: usize,
        seen: usize,
        device: &Device,
    ) -> Result<Self> {
        let mut shared = Self { batch, time, tables: Vec::new(), masks: Vec::new() };
        for attention in layers {
            if let Some(rope) = attention.rope.as_ref().filter(|rope| shared.tables.iter().all(|(known, _)| known != *rope)) {
                shared.tables.push((rope.clone(), rope.tables(seen, time, device)?));
            }
            if shared.masks.iter().all(|(known, _)| *known != attention.window) {
                shared.masks.push((attention.window, mask(time, seen, attention.window, device)?));
            }
        }
        Ok(shared)
    }

    fn tables(&self, rope: &Rope) -> Option<&(Tensor, Tensor)> {
        self.tables.iter().find(|(known, _)| known == rope).map(|(_, tables)| tables)
    }

    fn mask(&self, window: Option<usize>) -> Option<&Tensor> {
        self.masks.iter().find(|(known, _)| *known == window).and_then(|(_, mask)| mask.as_ref())
    }
}

impl Attention {
    /// The usual factor: 1 over the root of a head's width.
    pub fn usual_scale(head_dim: usize) -> f64 {
        1.0 / (head_dim as f64).sqrt()
    }

    /// Its matrix products.
    pub(super) fn products(&self) -> Vec<&Linear> {
        match &self.projections {
            Projections::Separate { q, k, v } => vec![q, k, v, &self.out],
            Projections::Stacked(product) | Projections::Interleaved(product) => vec![product, &self.out],
        }
    }

    pub(super) fn push(&self, layout: &mut Layout, usual: Initialiser, residual: Initialiser) {
        match &self.projections {
            Projections::Separate { q, k, v } => [q, k, v].into_iter().for_each(|product| product.push(layout, usual)),
            Projections::Stacked(product) | Projections::Interleaved(product) => product.push(layout, usual),
        }
        if let HeadNorms::EachHead { q, k } | HeadNorms::AllHeads { q, k } = &self.norms {
            q.push(layout);
            k.push(layout);
        }
        self.out.push(layout, residual);
    }

    /// `x` (n, hidden) -> (n, hidden).
    pub(super) fn apply(
        &self,
        weights: &Weights,
        x: &Tensor,
        layer: usize,
        shared: &Shared,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let [q, k, v] = self.project(weights, x)?; // each (n, heads * d)
        let (q, k) = match &self.norms {
            HeadNorms::AllHeads { q: of_q, k: of_k } => (of_q.apply(weights, &q)?, of_k.apply(weights, &k)?),
            _ => (q, k),
        };
        let split = |x: Tensor, heads: usize| x.reshape((shared.batch, shared.time, heads, self.head_dim));
        let (q, k, v) = (split(q, self.heads)?, split(k, self.kv_heads)?, split(v, self.kv_heads)?);
        let (q, k) = match &self.norms {
            HeadNorms::EachHead { q: of_q, k: of_k } => (of_q.apply(weights, &q)?, of_k.apply(weights, &k)?),
            _ => (q, k),
        };
        let (q, k, v) = (q.transpose(1, 2)?, k.transpose(1, 2)?, v.transpose(1, 2)?); // (b, heads, t, d)
        let (q, k) = match self.rope.as_ref().and_then(|rope| shared.tables(rope)) {
            Some(tables) => (rotate(&q, tables)?, rotate(&k, tables)?),
            None => (q, k),
        };
        let (k, v) = match cache {
            Some(cache) => cache.append(layer, k, v)?,
            None => (k, v),
        };
        let attended = self.attend(&q, &k, &v, shared.mask(self.window))?.flatten_to(1)?;
        self.out.apply(weights, &attended)
    }

    pub(super) fn project(&self, weights: &Weights, x: &Tensor) -> Result<[Tensor; 3]> {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        match &self.projections {
            Projections::Separate { q, k, v } => Ok([q.apply(weights, x)?, k.apply(weights, x)?, v.apply(weights, x)?]),
            Projections::Stacked(product) => {
                let all = product.apply(weights, x)?;
                Ok([all.narrow(1, 0, queries)?, all.narrow(1, queries, keys)?, all.narrow(1, queries + keys, keys)?])
            }
            Projections::Interleaved(product) => {
                let all = product.apply(weights, x)?.reshape(((), self.heads, 3, self.head_dim))?;
                let part = |i| all.narrow(2, i, 1)?.reshape(((), queries));
                Ok([part(0)?, part(1)?, part(2)?])
            }
        }
    }

    /// `q` (b, h, t, d), `k` and `v` (b, g, s, d), mask (t, s) -> (b, t, h * d).
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (b, h, t, d) = q.dims4()?;
        let (_, g, s, _) = k.dims4()?;
        // The query heads of one group stack up in rows, so that keys and values need no copy per head.
        let q = q.contiguous()?.reshape((b, g, h / g * t, d))?;
        let scores = (q.matmul(&k.contiguous()?.transpose(2, 3)?)? * self.scale)?.reshape((b, h, t, s))?;
        let scores = match self.soft_cap {
            Some(cap) => soft_capped(&scores, cap)?,
            None => scores,
        };
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let law = softmax(&scores)?.reshape((b, g, h / g * t, s))?;
        law.matmul(&v.contiguous()?)?.reshape((b, h, t, d))?.transpose(1, 2)?.reshape((b, t, h * d))
    }
}

/// Softmax over the last dimension; the row's maximum is a constant, which leaves value and gradient unchanged.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let exp = x.broadcast_sub(&max)?.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

/// (t, s) with 0 where a query may look and minus infinity elsewhere; `seen` tokens came before. None where all may be seen.
fn mask(time: usize, seen: usize, window: Option<usize>, device: &Device) -> Result<Option<Tensor>> {
    let total = seen + time;
    let window = window.unwrap_or(total);
    if time == 1 && total <= window {
        return Ok(None);
    }
    let visible = |i: usize, j: usize| j <= seen + i && seen + i - j < window;
    let value = |i, j| if visible(i, j) { 0.0 } else { f32::NEG_INFINITY };
    let mask: Vec<f32> = (0..time).flat_map(|i| (0..total).map(move |j| value(i, j))).collect();
    Ok(Some(Tensor::from_vec(mask, (time, total), device)?))
}

/// Turns `x` (b, h, t, d) by tables (t, w / 2): of the first w components the first half is paired with the second, as Hugging
/// Face checkpoints expect; the others stay.
fn rotate(x: &Tensor, (cos, sin): &(Tensor, Tensor)) -> Result<Tensor> {
    let (width, half) = (x.dim(D::Minus1)?, cos.dim(D::Minus1)?);
    let first = x.narrow(D::Minus1, 0, half)?;
    let second = x.narrow(D::Minus1, half, half)?;
    let left = (first.broadcast_mul(cos)? - second.broadcast_mul(sin)?)?;
    let right = (second.broadcast_mul(cos)? + first.broadcast_mul(sin)?)?;
    if 2 * half == width {
        return Tensor::cat(&[left, right], D::Minus1);
    }
    Tensor::cat(&[left, right, x.narrow(D::Minus1, 2 * half, width - 2 * half)?], D::Minus1)
}
