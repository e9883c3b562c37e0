use crate::TokenId;

/// The law of the next token at one position, cut to what a surface shows.
#[derive(Debug, Clone, Copy)]
pub enum Law<'a> {
    /// The most probable tokens, most probable first (ties: the lower id first), with natural-log probabilities.
    Top {
        /// Their ids, as many as the surface reports.
        ids: &'a [TokenId],
        /// Their log-probabilities; minus infinity for tokens that truncation ruled out.
        log_probs: &'a [f32],
    },
    /// Natural-log probabilities of all tokens (length: vocabulary).
    Whole(&'a [f32]),
}

/// Receives (index of the exchange, position in its answer, law), from several threads, in any order.
pub type LawSink<'a> = dyn Fn(usize, usize, Law<'_>) + Sync + 'a;
