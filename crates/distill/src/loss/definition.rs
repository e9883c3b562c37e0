//! What a loss is.

use oracle::{Access, ConfigError, TokenId};

/// What a surface showed of the teacher's law at one position, besides the token itself.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// The token only.
    Nothing,
    /// Natural-log probabilities of the most probable tokens, most probable first.
    Top {
        /// Their ids.
        ids: &'a [TokenId],
        /// Their log-probabilities, as many.
        log_probs: &'a [f32],
    },
    /// Natural-log probabilities of all tokens (length: vocabulary).
    Whole(&'a [f32]),
}

/// A loss over one row of student logits.
pub trait Loss: Send + Sync + std::fmt::Debug {
    /// Name, as experiment files and records write it.
    fn name(&self) -> &'static str;

    /// What the teacher's surface must show.
    fn needs(&self) -> Access;

    /// Where the formula comes from.
    fn source(&self) -> &'static str;

    /// Whether prompt tokens are learned like answer tokens (possible only when the loss needs no law).
    fn learns_prompts(&self) -> bool {
        false
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// The key, its value and what to write.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Replaces `logits` (vocab) by the gradient of this position's loss with respect to them and returns that loss in nats.
    /// `token` is the teacher's token at this position.
    ///
    /// # Panics
    /// If `shown` holds less than [`Loss::needs`] asks for; [`check_surface`](super::check_surface) rules that out beforehand.
    fn row(&self, token: TokenId, shown: Shown<'_>, logits: &mut [f32]) -> f64;

    /// Parameter sets that together reach every branch: what listings show and what the tests of the registry run.
    fn examples() -> Vec<Self>
    where
        Self: Sized;
}
