use candle_core::{Result, Tensor};

use super::linear::Linear;
use super::norm::Norm;
use super::one_pass::AttentionPass;
use super::rope::{Rope, rotate};
use super::scores::{attend, attend_long, is_long};
use super::shared::Shared;
use crate::arch::weights::Purpose;
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
        let tables = self.rope.as_ref().and_then(|rope| shared.tables(rope));
        if let Purpose::Summing(_) = weights.purpose() {
            let normed = |norm: &Norm, x: Tensor| norm.apply(weights, &x.reshape(((), self.head_dim))?)?.reshape(x.shape());
            let (q, k) = match &self.norms {
                HeadNorms::EachHead { q: of_q, k: of_k } => (normed(of_q, q)?, normed(of_k, k)?),
                _ => (q, k),
            };
            let pass = self.in_one_pass(shared.time, tables.cloned());
            let attended = q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, pass)?;
            return self.out.apply(weights, &attended);
        }
        let split = |x: Tensor, heads: usize| x.reshape((shared.batch, shared.time, heads, self.head_dim));
        let (q, k, v) = (split(q, self.heads)?, split(k, self.kv_heads)?, split(v, self.kv_heads)?); // (b, t, heads, d)
        let (q, k) = match &self.norms {
            HeadNorms::EachHead { q: of_q, k: of_k } => (of_q.apply(weights, &q)?, of_k.apply(weights, &k)?),
            _ => (q, k),
        };
        let running = matches!(weights.purpose(), Purpose::Running);
        let (q, k) = match tables {
            Some(tables) => (rotate(&q, tables, running)?, rotate(&k, tables, running)?),
            None => (q, k),
        };
        let (q, k, v) = (q.transpose(1, 2)?, k.transpose(1, 2)?, v.transpose(1, 2)?); // (b, heads, t, d)
        let (k, v) = match cache {
            Some(cache) => cache.append(layer, &k, &v)?,
            None => (k, v),
        };
        let attended = if running && self.soft_cap.is_none() && is_long(&q, &k)? {
            attend_long(&q, &k, &v, self.scale as f32, self.window)?
        } else {
            attend(&q, &k, &v, self.scale, self.soft_cap, shared.mask(self.window)?.as_ref(), running)?
        };
        self.out.apply(weights, &attended)
    }

    fn in_one_pass(&self, time: usize, turns: Option<(Tensor, Tensor)>) -> AttentionPass {
        AttentionPass {
            time,
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.head_dim,
            scale: self.scale as f32,
            soft_cap: self.soft_cap.map(|cap| cap as f32),
            window: self.window,
            turns,
        }
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
}
