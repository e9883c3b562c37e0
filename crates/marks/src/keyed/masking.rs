use oracle::Step;

/// Whether the last `width` tokens came before an earlier token of the same answer: a keyed sampler would repeat itself there, and
/// one that masks repeats samples unmarked instead (methods a3; SynthID-Text, supplementary G.3).
pub(crate) fn repeats_in_answer(step: &Step<'_>, width: usize) -> bool {
    let Some(context) = step.context(width) else { return false };
    let (first, now) = (step.query.prompt.len().max(width), step.tokens.len());
    (first..now).any(|place| &step.tokens[place - width..place] == context)
}
