use crate::error::OracleError;
use crate::token::TokenId;

/// A dense matrix, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// (rows, cols).
    pub data: Vec<f32>,
}

/// Which weight of a transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// From ids to states: (vocabulary, hidden); has no layer.
    Embedding,
    /// Query product of attention: (heads x head width, hidden).
    Query,
    /// Key product: (key-value heads x head width, hidden).
    Key,
    /// Value product: (key-value heads x head width, hidden).
    Value,
    /// From attended values to states: (hidden, heads x head width).
    Output,
    /// The gate of a gated feed-forward layer: (width, hidden).
    Gate,
    /// Into the feed-forward layer: (width, hidden).
    Up,
    /// Out of the feed-forward layer: (hidden, width).
    Down,
    /// From states to logits: (vocabulary, hidden); has no layer. The embedding, where the two are tied.
    Head,
}

/// A model whose inside can be looked at.
pub trait OpenModel: Send + Sync {
    /// Number of layers.
    fn layers(&self) -> usize;

    /// States of every token of `texts`, text after text: (tokens of all texts, hidden). `layer` 0 is what goes into the first
    /// layer, `layers()` what comes out of the last, before the last norm.
    ///
    /// # Errors
    /// When a text does not fit the model, or the work is cancelled.
    fn hidden(&self, texts: &[Vec<TokenId>], layer: usize) -> Result<Matrix, OracleError>;

    /// A weight as it is applied, one row per output; `layer` counts from 0. `None` when the model has no such weight.
    fn weight(&self, role: Role, layer: usize) -> Option<Matrix>;
}
