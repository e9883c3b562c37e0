//! What a decoder-only transformer is made of, as data, and the one walk through it.
//!
//! An architecture says which parts its blocks have ([`Decoder`]); its parameters, states, logits and gradients follow from that.
//!
//! What computes a part depends on what the weights are for: candle-nn's operations, each in one pass over its data, where a model runs;
//! our own ([`one_pass`]) where one is trained on the CPU; candle's differentiable ones where one is trained on another device.
//!
//! Shapes in comments: b batch, t time, n = b * t, s tokens seen including now, h heads, g key-value heads, d width of a head.

mod activation;
mod attention;
mod feed_forward;
mod linear;
mod norm;
mod one_pass;
mod parts;
mod rope;
mod scores;
mod shared;
mod soft_cap;

use candle_core::{Error, Module, Result, Tensor};

pub use activation::Activation;
pub use attention::{Attention, HeadNorms, Projections};
pub use feed_forward::{FeedForward, Gate};
pub use linear::Linear;
pub use norm::{Norm, NormKind};
pub use rope::{Rope, RopeScaling};

use super::weights::Purpose;
use super::{Initialiser, KvCache, Layout, Weights};
use one_pass::{HeadPass, LookupPass};
use shared::Shared;
use soft_cap::soft_capped;

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Standard deviation of new weights; those that write to the residual stream get it divided by the root of their number:
    /// what they add up to keeps the variance of one (Radford et al. 2019, section 2.3).
    pub initializer_range: f64,
    /// From ids to states.
    pub embedding: Embedding,
    /// The layers in order.
    pub blocks: Vec<Block>,
    /// Norm of the last states.
    pub norm: Option<Norm>,
    /// From states to logits.
    pub head: Head,
}

/// From ids to states.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Name of the table (vocabulary, hidden).
    pub tokens: &'static str,
    /// Factor of what is looked up.
    pub scale: Option<f64>,
    /// A learned state for each position, added.
    pub positions: Option<Positions>,
}

/// A table of learned positions (rows, hidden).
#[derive(Debug, Clone, PartialEq)]
pub struct Positions {
    /// Its name.
    pub name: &'static str,
    /// Number of its rows.
    pub rows: usize,
    /// Row of the first token of a text.
    pub first: usize,
}

/// From states to logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Name of its weight (vocabulary, hidden); checkpoints may carry a copy of a tied one.
    pub name: &'static str,
    /// Whether it is the embedding table.
    pub tied: bool,
    /// Logits go through c tanh(x / c).
    pub soft_cap: Option<f64>,
}

/// One layer: attention and feed-forward, each with its norms, added to the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Mixes positions.
    pub attention: SubLayer<Attention>,
    /// Treats each position by itself.
    pub feed_forward: SubLayer<FeedForward>,
    /// Both read the same states (Wang & Komatsuzaki 2021, GPT-J), instead of one after the other.
    pub parallel: bool,
}

/// A part of a block, with the norm of what it reads and that of what it adds.
#[derive(Debug, Clone, PartialEq)]
pub struct SubLayer<T> {
    /// Norm of what it reads.
    pub before: Option<Norm>,
    /// The part.
    pub layer: T,
    /// Norm of what it adds.
    pub after: Option<Norm>,
}

impl Decoder {
    /// Every parameter, in the order of the walk.
    pub fn layout(&self) -> Layout {
        let usual = Initialiser::Normal(self.initializer_range);
        let residual = Initialiser::Normal(self.initializer_range / (2.0 * self.blocks.len() as f64).sqrt());
        let mut layout = Layout::default();
        let (embedding, head) = (&self.embedding, &self.head);
        let shape = [self.vocab_size, self.hidden_size];
        if head.tied {
            layout.push(embedding.tokens, &shape, usual);
        } else {
            layout.push_table(embedding.tokens, &shape, usual);
        }
        if let Some(positions) = &embedding.positions {
            layout.push_table(positions.name, &[positions.rows, self.hidden_size], usual);
        }
        for block in &self.blocks {
            block.attention.push(&mut layout, |attention, layout| attention.push(layout, usual, residual));
            block.feed_forward.push(&mut layout, |feed_forward, layout| feed_forward.push(layout, usual, residual));
        }
        if let Some(norm) = &self.norm {
            norm.push(&mut layout);
        }
        if !head.tied {
            layout.push(head.name, &shape, usual);
        }
        layout
    }

    /// The matrix products of all blocks, in the order of the walk.
    pub fn products(&self) -> Vec<&Linear> {
        let mut products = Vec::new();
        for block in &self.blocks {
            products.extend(block.attention.layer.products());
            products.extend(block.feed_forward.layer.products());
        }
        products
    }

    /// States after the last norm: `ids` (b, t), `u32` -> (b, t, hidden).
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn hidden(&self, weights: &Weights, ids: &Tensor, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let (batch, time) = ids.dims2()?;
        let x = self.walk(weights, ids, cache, self.blocks.len())?;
        let x = match &self.norm {
            Some(norm) => norm.apply(weights, &x)?,
            None => x,
        };
        x.reshape((batch, time, self.hidden_size))
    }

    /// What goes into layer `layer`, or with their number comes out of the last, before the last norm: `ids` (b, t), `u32` ->
    /// (n, hidden).
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn states(&self, weights: &Weights, ids: &Tensor, layer: usize) -> Result<Tensor> {
        self.walk(weights, ids, None, layer)
    }

    /// Through the first `layers` layers: -> (n, hidden).
    fn walk(&self, weights: &Weights, ids: &Tensor, mut cache: Option<&mut KvCache>, layers: usize) -> Result<Tensor> {
        let (batch, time) = ids.dims2()?;
        let seen = cache.as_deref().map_or(0, KvCache::seen);
        let mut x = self.embed(weights, ids, seen)?; // (n, hidden)
        let ropes = self.blocks.iter().filter_map(|block| block.attention.layer.rope.as_ref());
        let shared = Shared::new(ropes, batch, time, seen, weights.device())?;
        for (at, block) in self.blocks.iter().take(layers).enumerate() {
            let layer_cache = cache.as_deref_mut();
            let attended =
                block.attention.apply(weights, &x, |attention, x| attention.apply(weights, x, at, &shared, layer_cache))?;
            let forward = |feed_forward: &FeedForward, x: &Tensor| feed_forward.apply(weights, x);
            x = if block.parallel {
                let fed = block.feed_forward.apply(weights, &x, forward)?;
                ((x + attended)? + fed)?
            } else {
                let x = (x + attended)?;
                let fed = block.feed_forward.apply(weights, &x, forward)?;
                (x + fed)?
            };
        }
        if let Some(cache) = cache {
            cache.advance(time);
        }
        Ok(x)
    }

    fn embed(&self, weights: &Weights, ids: &Tensor, seen: usize) -> Result<Tensor> {
        let (batch, time) = ids.dims2()?;
        let ids = ids.flatten_all()?;
        if let Purpose::Summing(summed) = weights.purpose() {
            let positions = match &self.embedding.positions {
                Some(table) => Some((summed.place(table.name)?, table.first + seen)),
                None => None,
            };
            return summed.leaf().apply_op1(LookupPass {
                table: summed.place(self.embedding.tokens)?,
                summed: summed.clone(),
                ids: ids.to_vec1()?,
                scale: self.embedding.scale.unwrap_or(1.0) as f32,
                positions,
                time,
                hidden: self.hidden_size,
            });
        }
        let table = weights.get(self.embedding.tokens)?.clone();
        let x = candle_nn::Embedding::new(table, self.hidden_size).forward(&ids)?;
        let x = match self.embedding.scale {
            Some(scale) => (x * scale)?,
            None => x,
        };
        let Some(positions) = &self.embedding.positions else { return Ok(x) };
        let rows = weights.get(positions.name)?.narrow(0, positions.first + seen, time)?; // (t, hidden)
        x.reshape((batch, time, self.hidden_size))?.broadcast_add(&rows)?.flatten_to(1)
    }

    /// Logits of the next token: `hidden` (n, hidden) -> (n, vocabulary).
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn logits(&self, weights: &Weights, hidden: &Tensor) -> Result<Tensor> {
        let head = weights.get(self.head_table())?;
        let logits = hidden.matmul(&head.t()?)?;
        match self.head.soft_cap {
            Some(cap) => soft_capped(&logits, cap),
            None => Ok(logits),
        }
    }

    fn head_table(&self) -> &'static str {
        if self.head.tied { self.embedding.tokens } else { self.head.name }
    }

    /// The loss after `positions` of `hidden` (n, hidden), summed, and its gradient with respect to all of `hidden`. The gradient of the last
    /// product is summed beside it, for which `weights` have to be there. `loss` is given the logits after a position and replaces them by the
    /// gradient of the loss that it returns.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub(crate) fn losses(
        &self,
        weights: &Weights,
        hidden: &Tensor,
        positions: &[usize],
        loss: &mut dyn FnMut(usize, &mut [f32]) -> f64,
    ) -> Result<(f64, Tensor)> {
        let Purpose::Summing(summed) = weights.purpose() else {
            return Err(Error::Msg("losses are taken with weights whose gradients are summed".into()));
        };
        let head = HeadPass {
            summed,
            table: summed.place(self.head_table())?,
            vocab: self.vocab_size,
            hidden: self.hidden_size,
            soft_cap: self.head.soft_cap.map(|cap| cap as f32),
        };
        head.losses(hidden, positions, loss)
    }
}

impl<T> SubLayer<T> {
    fn push(&self, layout: &mut Layout, push: impl FnOnce(&T, &mut Layout)) {
        if let Some(norm) = &self.before {
            norm.push(layout);
        }
        push(&self.layer, layout);
        if let Some(norm) = &self.after {
            norm.push(layout);
        }
    }

    /// What this part adds to the residual stream `x` (n, hidden).
    fn apply(&self, weights: &Weights, x: &Tensor, layer: impl FnOnce(&T, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let y = match &self.before {
            Some(norm) => layer(&self.layer, &norm.apply(weights, x)?)?,
            None => layer(&self.layer, x)?,
        };
        match &self.after {
            Some(norm) => norm.apply(weights, &y),
            None => Ok(y),
        }
    }
}
