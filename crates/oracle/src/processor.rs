use crate::TokenId;

/// When a processor sees the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorStage {
    /// On the raw logits, before temperature and truncation (KGW's bias: a temperature above 1 weakens it).
    BeforeTemperature,
    /// After temperature, top-k and top-p, on what will be drawn from (keyed samplers).
    AfterTruncation,
}

/// Bends the law of the next token while the teacher answers: a watermark, or a defense.
///
/// Must be a pure function of its arguments, so that a served answer can be re-scored from its tokens.
pub trait LogitsProcessor: Send + Sync {
    /// When it is applied.
    fn stage(&self) -> ProcessorStage;

    /// Changes `logits` (length: vocabulary) in place. `before` holds all tokens so far, prompt and answer;
    /// the answer begins at `before[answer_start..]`.
    fn process(&self, before: &[TokenId], answer_start: usize, logits: &mut [f32]);

    /// The same change said token by token, for a processor that does nothing but add one constant to some logits: whoever
    /// draws a single token then asks about a few tokens instead of the whole vocabulary. `None` asks for `process`.
    fn raised<'a>(&'a self, before: &'a [TokenId], answer_start: usize) -> Option<Raised<'a>> {
        let _ = (before, answer_start);
        None
    }
}

/// The tokens whose logits a processor raises after given tokens, and by how much.
#[derive(Clone, Copy)]
pub struct Raised<'a> {
    /// What is added to their logits, at least 0.
    pub bias: f32,
    /// Which tokens these are after `context`.
    pub set: &'a dyn KeyedSet,
    /// The tokens that choose the set.
    pub context: &'a [TokenId],
}

impl Raised<'_> {
    /// Whether the logit of `token` is raised.
    pub fn contains(&self, token: TokenId) -> bool {
        self.set.contains(self.context, token)
    }
}

/// A set of tokens for every context.
pub trait KeyedSet: Sync {
    /// Whether `token` belongs to the set of `context`.
    fn contains(&self, context: &[TokenId], token: TokenId) -> bool;
}
