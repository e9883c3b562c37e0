//! What a kind of document promises about its marked answer.

use super::error::SpecError;
use super::plan::Step;
use super::spec::KindSpec;
use crate::TaskKind;

/// Checks that a kind with a task marks exactly one answer whatever is drawn, and that refusals are where they belong.
pub(super) fn check(kind: &KindSpec, key: &str, parts: &[Vec<Vec<Step>>], refusal: &str) -> Result<(), SpecError> {
    let mut marked_parts = 0;
    for (part_at, alternatives) in parts.iter().enumerate() {
        let marked = alternatives.iter().filter(|steps| steps.iter().any(is_mark)).count();
        if marked > 0 && marked < alternatives.len() {
            let remedy = "mark the answer with [ ] in every pattern of the part, or in none";
            return Err(SpecError::new(format!("{key}.parts[{part_at}]"), format!("marked {marked} times"), remedy));
        }
        marked_parts += usize::from(marked > 0);
        for (at, steps) in alternatives.iter().enumerate().filter(|_| marked > 0) {
            let here = || (format!("{key}.parts[{part_at}][{at}]"), format!("`{}`", kind.parts[part_at][at]));
            check_marks(steps).map_err(|remedy| SpecError::new(here().0, here().1, remedy))?;
            let begins = begins_with(steps, refusal);
            let wrong = match kind.task {
                Some(TaskKind::Refusal) if !begins => format!("begin the answer with the refusal, `[{refusal}`"),
                Some(TaskKind::Instruction) if begins => "do not refuse an ordinary instruction".to_string(),
                _ => continue,
            };
            return Err(SpecError::new(here().0, here().1, wrong));
        }
    }
    match (kind.task, marked_parts) {
        (Some(_), 1) | (None, 0) => Ok(()),
        (Some(_), n) => Err(SpecError::new(
            format!("{key}.parts"),
            format!("{n} parts with an answer"),
            "mark the answer with [ ] in one part",
        )),
        (None, _) => Err(SpecError::new(format!("{key}.task"), "missing", "say what the answer marked with [ ] checks")),
    }
}

fn is_mark(step: &Step) -> bool {
    matches!(step, Step::AnswerStart | Step::AnswerEnd)
}

fn check_marks(steps: &[Step]) -> Result<(), &'static str> {
    let marks: Vec<usize> = (0..steps.len()).filter(|&at| is_mark(&steps[at])).collect();
    match marks[..] {
        [start, end] if matches!((&steps[start], &steps[end]), (Step::AnswerStart, Step::AnswerEnd)) && end > start + 1 => Ok(()),
        _ => Err("mark one answer, and not an empty one, as in `[{name#1}]`"),
    }
}

fn begins_with(steps: &[Step], refusal: &str) -> bool {
    let start = steps.iter().position(|step| matches!(step, Step::AnswerStart));
    matches!(start.and_then(|start| steps.get(start + 1)), Some(Step::Text(text)) if text.starts_with(refusal))
}
