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
}
