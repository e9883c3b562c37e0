//! What every architecture is.

use candle_core::{Result as TensorResult, Tensor};
use kernels::llama::LlamaShape;
use oracle::TokenId;

use super::decoder::Decoder;
use super::{KvCache, Layout, TokenIds, Weights};

/// One configured architecture: names and shapes of its weights, and the function they parametrise.
pub trait Arch: Send + Sync {
    /// What it says of token ids.
    fn tokens(&self) -> &TokenIds;

    /// Longest input, in tokens, that the model accepts.
    fn context_length(&self) -> usize;

    /// The parts it is made of.
    fn decoder(&self) -> Decoder;

    /// The content of `config.json`, in the dialect of transformers 4, which version 5 reads too.
    fn config_json(&self) -> serde_json::Value;

    /// What checkpoints of the model without its output product leave out before every name.
    fn base_prefix(&self) -> &'static str {
        "model."
    }

    /// Our name of a parameter that transformers 5 calls `name`, where it has another for it in memory than in checkpoints.
    fn renamed(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// Whether `name` is a table that older checkpoints carry though it follows from the configuration.
    fn is_buffer(&self, name: &str) -> bool {
        is_frequencies(name)
    }

    /// The shape for the fused kernels, when they compute exactly this function and their layout is this one.
    fn fused(&self) -> Option<LlamaShape> {
        None
    }

    /// Number of token ids the embedding and the output law cover.
    fn vocab_size(&self) -> usize {
        self.tokens().vocab_size
    }

    /// Ids below [`Self::vocab_size`] that stand for no token, ascending; no law gives them any probability.
    fn absent(&self) -> &[TokenId] {
        &self.tokens().absent
    }

    /// Token that begins every text, if `config.json` names one.
    fn bos(&self) -> Option<TokenId> {
        self.tokens().bos
    }

    /// Tokens that end a text; generation stops at any of them. The first is the one that training data uses.
    fn eos(&self) -> &[TokenId] {
        &self.tokens().eos
    }

    /// Every parameter with its checkpoint name, shape and initialiser, in the order of the flat vector.
    fn layout(&self) -> Layout {
        self.decoder().layout()
    }

    /// States after the last norm: `ids` (batch, time), `u32` -> (batch, time, hidden). With a cache, `ids` continue
    /// the tokens that the cache has seen.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn hidden(&self, weights: &Weights, ids: &Tensor, cache: Option<&mut KvCache>) -> TensorResult<Tensor> {
        self.decoder().hidden(weights, ids, cache)
    }

    /// Logits of the next token: `hidden` (n, hidden) -> (n, vocab).
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn logits(&self, weights: &Weights, hidden: &Tensor) -> TensorResult<Tensor> {
        self.decoder().logits(weights, hidden)
    }

    /// The name under which a tied weight is held, when checkpoints may also carry it as `name`.
    fn tied_to(&self, name: &str) -> Option<&'static str> {
        let Decoder { head, embedding, .. } = self.decoder();
        (head.tied && name == head.name).then_some(embedding.tokens)
    }
}

/// Whether `name` is a table of rotary frequencies.
pub(super) fn is_frequencies(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq")
}
