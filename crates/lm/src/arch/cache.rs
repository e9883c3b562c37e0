//! Keys and values of the tokens seen so far, for generation by the generic path.

use candle_core::{Result, Tensor};
use candle_nn::kv_cache::ConcatKvCache;

/// Keys and values per layer. All rows of a batch have seen the same number of tokens.
#[derive(Default)]
pub struct KvCache {
    layers: Vec<ConcatKvCache>,
    seen: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tokens whose keys and values are complete in every layer.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Appends `key` and `value` (batch, heads, time, width) of layer `layer` and returns all so far,
    /// (batch, heads, seen + time, width). Layers are appended in order.
    ///
    /// # Errors
    /// When shapes do not fit those seen before.
    pub fn append(&mut self, layer: usize, key: &Tensor, value: &Tensor) -> Result<(Tensor, Tensor)> {
        if layer == self.layers.len() {
            self.layers.push(ConcatKvCache::new(2));
        }
        self.layers[layer].append(key, value)
    }

    /// Tells that `time` more tokens have gone through every layer.
    pub fn advance(&mut self, time: usize) {
        self.seen += time;
    }
}
