//! Contexts of samplers whose noise would repeat itself with the context.

use oracle::{ConfigError, Step, TokenId};

use super::rules::MAX_CONTEXT;

/// Checks the keys `context_width` and `mask_repeats`; `example` is a usual width.
pub(crate) fn check(context_width: usize, mask_repeats: bool, example: usize) -> Result<(), ConfigError> {
    let refused = |instead: String| Err(ConfigError::new("context_width", context_width, instead));
    if context_width > MAX_CONTEXT {
        return refused(format!("use 0 to {MAX_CONTEXT} tokens, for example {example}"));
    }
    if context_width == 0 && mask_repeats {
        let why = "without context every token but the first repeats it";
        return refused(format!("use at least 1 token, or mask_repeats = false: {why}"));
    }
    Ok(())
}

/// The context that keys the next token; `None` where it is drawn unmarked: the text is shorter than the context, the temperature is
/// 0, or the context is a repeated one and these are masked.
pub(crate) fn marked_context<'a>(step: &Step<'a>, width: usize, mask_repeats: bool) -> Option<&'a [TokenId]> {
    let context = step.context(width)?;
    let drawn = step.query.sampling.temperature != 0.0;
    (drawn && !(mask_repeats && repeats_in_answer(step, context))).then_some(context)
}

/// Whether `context` came before an earlier token of the same answer: a keyed sampler would repeat itself there, and one that masks
/// repeats samples unmarked instead (methods a3; SynthID-Text, supplementary G.3).
fn repeats_in_answer(step: &Step<'_>, context: &[TokenId]) -> bool {
    let (first, now) = (step.query.prompt.len().max(context.len()), step.tokens.len());
    (first..now).any(|place| &step.tokens[place - context.len()..place] == context)
}
