//! What an outsider can ask a model, and the words for it.
//!
//! Plain values and small traits over token ids and `f32` rows; no tensors, no I/O, no randomness of its own.
//! Marks are written against these traits, so that each can be tested in milliseconds on a toy model, and a probe
//! cannot look at weights unless its [`Access`] says so.

mod codec;
mod config_error;
mod exchange;
mod processor;
mod surface;
mod token;

pub use codec::Codec;
pub use config_error::ConfigError;
pub use exchange::{Exchange, Query, Sampling, ScoreItem, Stop};
pub use processor::{KeyedSet, LogitsProcessor, ProcessorStage, Raised};
pub use surface::{Access, ServedLaw, Surface};
pub use token::TokenId;

/// Why an oracle did not answer.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The surface does not show what was asked for.
    #[error("a `{surface}` oracle shows no {asked}; serve a surface that does (for example `{instead}`)")]
    NotShown {
        /// Name of the surface asked.
        surface: String,
        /// What was asked for, in words.
        asked: &'static str,
        /// A surface that would show it.
        instead: &'static str,
    },
    /// The work was stopped from outside (a signal); what was finished before is kept.
    #[error("stopped before it was finished")]
    Cancelled,
    /// The model behind the oracle failed.
    #[error("{0}")]
    Model(String),
}

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

    /// Natural-log probability of every token of each item's continuation, given all tokens before it,
    /// under the served law; one vector per item, as long as its continuation.
    ///
    /// # Errors
    /// [`OracleError::NotShown`] when the surface shows no log-probability of a chosen token.
    fn score(&self, items: &[ScoreItem]) -> Result<Vec<Vec<f64>>, OracleError>;
}
