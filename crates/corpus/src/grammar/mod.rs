//! Generated text: a spec names word lists and sentence patterns, and every document is drawn from them by its own random
//! stream.
//!
//! Patterns bind words by number (`{name#1}`), so that a name, a thing or a sum comes back many words later; that is the
//! structure beyond three words that a model has to learn. All language lives in the spec; the code knows only drawing.

mod answers;
mod check;
mod count;
mod draw;
mod error;
mod pattern;
mod plan;
mod resolve;
mod spec;

pub use error::SpecError;
pub use spec::{GrammarSpec, KindSpec};

use crate::split::stream;
use crate::{Split, Task, TaskKind, Texts};
use draw::Drawn;
use plan::Plan;

/// Goes up whenever the same spec and seed would give other texts.
pub const REVISION: u32 = 1;

/// Endless texts of a grammar: document `(split, index)` under a seed.
#[derive(Debug)]
pub struct Grammar {
    plan: Plan,
    seed: u64,
    described: String,
}

/// The texts of `spec` under `seed`. Which split a text belongs to does not depend on the seed, so the splits of two
/// grammars that differ only in their seed are disjoint too.
///
/// # Errors
/// When the spec is not valid: [`GrammarSpec::validate`].
pub fn grammar(spec: &GrammarSpec, seed: u64) -> Result<Grammar, SpecError> {
    let plan = spec.plan()?;
    let described = format!(
        "grammar `{}`: {} kinds of text, {} words, at least 10^{:.1} prompts of {PROMPT_WORDS} words",
        spec.name,
        spec.kinds.len(),
        plan.words.len(),
        count::log10_prompts(&plan, PROMPT_WORDS),
    );
    Ok(Grammar { plan, seed, described })
}

/// Length of the prompts that [`Grammar`]'s description counts, in words.
const PROMPT_WORDS: usize = 8;

/// Draws allowed until a document of the wanted split turns up. Every kind has at least 10^3 openings
/// ([`GrammarSpec::validate`]) and the rarest split gets 1/128 of them, so that a miss has probability below e^-1000.
const MAX_DRAWS: u32 = 1 << 17;

impl Grammar {
    /// Minus the natural log of the probability of the choices behind document `(split, index)`: averaged over documents, an
    /// upper bound (reached but for texts that can come about in two ways) on the entropy of the language, so the loss in nats
    /// per document that no model can beat.
    pub fn choice_nats(&self, split: Split, index: u64) -> f64 {
        self.draw(None, split, index).choice_nats
    }

    /// The first document of `stream` that belongs to `split`, of the kinds with `task` (any kind when `None`).
    fn draw(&self, task: Option<TaskKind>, split: Split, index: u64) -> Drawn {
        let purpose = task.map_or(0, |kind| 1 + kind as u64);
        let mut rng = stream(self.seed, split, purpose, index);
        for _ in 0..MAX_DRAWS {
            if let Some(drawn) = self.plan.draw(task, split, &mut rng) {
                return drawn;
            }
        }
        unreachable!("no text of {split:?} in {MAX_DRAWS} draws, though the spec was checked to have enough openings")
    }
}

impl Texts for Grammar {
    fn document(&self, split: Split, index: u64) -> String {
        self.draw(None, split, index).text
    }

    fn len(&self, _: Split) -> Option<u64> {
        None
    }

    fn task(&self, kind: TaskKind, split: Split, index: u64) -> Option<Task> {
        if !self.plan.has_task(kind) {
            return None;
        }
        let drawn = self.draw(Some(kind), split, index);
        let answer = drawn.answer.expect("a kind with a task marks its answer: checked with the spec");
        let expected = match kind {
            TaskKind::Instruction => self.plan.refusal.clone(),
            _ => drawn.text[answer.clone()].trim().to_string(),
        };
        Some(Task { prompt: drawn.text[..answer.start].trim_end().to_string(), expected, kind })
    }

    fn describe(&self) -> String {
        self.described.clone()
    }
}
