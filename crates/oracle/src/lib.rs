//! What an outsider can ask a model, and the words for it.
//!
//! Plain values and small traits over token ids and `f32` rows; no tensors, no I/O, no randomness of its own.
//! Marks are written against these traits, so that each can be tested in milliseconds on a toy model, and a probe
//! cannot look at weights unless its [`Access`] says so.

mod codec;
mod config_error;
mod error;
mod exchange;
mod law;
mod open;
mod order;
mod processor;
mod surface;
mod token;

pub use codec::Codec;
pub use config_error::ConfigError;
pub use error::OracleError;
pub use exchange::{Exchange, Query, Sampling, ScoreItem, Stop};
pub use law::{Law, LawSink};
pub use open::{Matrix, OpenModel, Role};
pub use order::{Operation, Order};
pub use processor::{CompanionId, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step};
pub use surface::{Access, Drawing, ServedLaw, Surface};
pub use token::TokenId;

/// A model as an outsider meets it: it answers queries, and re-scores given answers as far as its surface shows.
///
/// An oracle has no memory: equal queries get equal exchanges, whatever was asked before and however they are batched.
pub trait Oracle: Send + Sync {
    /// What this oracle shows.
    fn surface(&self) -> &Surface;

    /// Number of token ids, `0..vocab_size`.
    fn vocab_size(&self) -> usize;

    /// Answers each query; exchanges come back in the order of the queries.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, OracleError>;

    /// Natural-log probability of each item's whole continuation after its prompt, under the served law: the sum over its
    /// tokens, which is all that a model of another tokenizer can say. Per-token values come from [`laws`](Self::laws).
    ///
    /// # Errors
    /// [`OracleError::NotShown`] when the surface shows no log-probability of a chosen token.
    fn score(&self, items: &[ScoreItem]) -> Result<Vec<f64>, OracleError>;

    /// Calls `sink` for every answer token of `given` with the law it was drawn from (the query's temperature and truncation
    /// included; a greedy query counts as temperature 1), as far as the surface shows it.
    ///
    /// # Errors
    /// [`OracleError::NotShown`] when the surface shows answers only, or the tokens are not the model's own.
    fn laws(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError>;

    /// As [`laws`](Self::laws), over those tokens alone that the model has as its own, their probabilities made to add up to 1: of a
    /// model of another tokenizer, the tokens that stand for the same text in both. Places at which such a model cannot be asked are
    /// left out.
    ///
    /// # Errors
    /// [`OracleError::NotShown`] when the surface shows answers only, or no token is the model's own.
    fn laws_of_shared_tokens(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError> {
        self.laws(given, sink)
    }

    /// The inside of the model, where whoever asks may see it.
    fn open(&self) -> Option<&dyn OpenModel> {
        None
    }
}
