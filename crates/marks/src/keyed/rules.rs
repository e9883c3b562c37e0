//! What a scheme says about its units.

use std::borrow::Cow;

use oracle::{Codec, TokenId};
use serde::{Deserialize, Serialize};

/// Longest context, in tokens, that a scheme may be keyed by: the longest of those that are published (skipgram). Methods f7: from about
/// four tokens on, contexts recur so seldom in a transfer set that students hardly learn their lists.
pub const MAX_CONTEXT: usize = 5;

/// Longest context of a scheme that pads contexts: servers let it be set, and warn above this.
pub const MAX_PADDED_CONTEXT: usize = 16;

/// Stands in a padded context for a token before the beginning of the answer; no vocabulary has it. Servers write -1.
pub const NO_TOKEN: TokenId = TokenId::MAX;

/// Which units count as one observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dedup {
    /// One unit per distinct context ("v1").
    Contexts,
    /// One unit per distinct pair of context and token ("v2"): keeps more, and is exact for a scheme whose draws are
    /// independent per pair.
    #[default]
    Pairs,
}

impl Dedup {
    /// What counts once for marks whose servers' own detectors count contexts.
    pub(crate) fn contexts() -> Self {
        Self::Contexts
    }

    /// Whether a file need not say it, where that is so.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_contexts(&self) -> bool {
        *self == Self::Contexts
    }
}

/// What a scheme says about its units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Number of tokens before the scored one that seed its draw, at most [`MAX_CONTEXT`], or [`MAX_PADDED_CONTEXT`] where contexts are
    /// padded.
    pub context_width: usize,
    /// Whether contexts are of the answer only, filled up with [`NO_TOKEN`] before its beginning, so that its first tokens are scored
    /// too. Else a context may stand in the prompt, and the first tokens of an answer are not scored.
    pub padded: bool,
    /// Ids never scored and never part of a scored context, sorted.
    pub special: Vec<TokenId>,
    /// An answer is over at the first of these, whatever follows.
    pub end: Option<TokenId>,
    /// Which units count once.
    pub dedup: Dedup,
}

impl Rules {
    /// Rules for contexts of `context_width` tokens in the vocabulary of `codec`.
    pub fn new(context_width: usize, dedup: Dedup, codec: &dyn Codec) -> Self {
        assert!(context_width <= MAX_CONTEXT, "context_width {context_width} was validated to be at most {MAX_CONTEXT}");
        let mut special = codec.special_ids().to_vec();
        special.sort_unstable();
        special.dedup();
        Self { context_width, padded: false, special, end: codec.eos(), dedup }
    }

    /// Rules for contexts of `context_width` tokens of the answer only, padded before its beginning.
    pub fn padded(context_width: usize, dedup: Dedup, codec: &dyn Codec) -> Self {
        assert!(
            context_width <= MAX_PADDED_CONTEXT,
            "context_width {context_width} was validated to be at most {MAX_PADDED_CONTEXT}"
        );
        Self { context_width, padded: true, ..Self::new(0, dedup, codec) }
    }

    /// The context of the token at place `at` of `answer`; none where it begins before an answer that is not padded.
    pub fn context<'a>(&self, answer: &'a [TokenId], at: usize) -> Option<Cow<'a, [TokenId]>> {
        match at.checked_sub(self.context_width) {
            Some(start) => answer.get(start..at).map(Cow::Borrowed),
            None if self.padded => Some(Cow::Owned([&vec![NO_TOKEN; self.context_width - at], answer.get(..at)?].concat())),
            None => None,
        }
    }

    /// Whether `token` is never text.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.special.binary_search(&token).is_ok()
    }

    /// Whether `token` may be scored: it is text and ends no answer.
    pub fn is_text(&self, token: TokenId) -> bool {
        !self.is_special(token) && Some(token) != self.end
    }
}
