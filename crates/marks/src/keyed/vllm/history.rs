//! Where vLLM draws a token unmarked, and which context keys it where it does not (served watermarks, 1.2 and 1.4).

use oracle::{ConfigError, Step, TokenId};
use serde::{Deserialize, Serialize};

use crate::keyed::rules::{MAX_PADDED_CONTEXT, NO_TOKEN};

/// Where a context that was met before is looked for; a token after such a one is drawn unmarked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deduplicate {
    /// Nowhere: all tokens are marked, and an answer may run in loops.
    None,
    /// In the answer so far.
    SingleTurn,
    /// In the prompt and the answer so far; the first tokens of an answer, whose context is not full, are unmarked too.
    All,
}

/// Width of contexts where vLLM's configuration does not say it, for messages.
const USUAL_WIDTH: usize = 4;

/// Positions that are searched where a file does not say it.
pub(crate) const MAX_HISTORY: usize = 8192;

/// Contexts of the answer only, and which of them are repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    pub width: usize,
    pub scope: Deduplicate,
    /// Only so many last positions are searched; 0 searches all.
    pub most: usize,
}

impl History {
    /// Checks the key `context_width`.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_PADDED_CONTEXT).contains(&self.width) {
            let instead = format!("use 1 to {MAX_PADDED_CONTEXT} tokens, for example {}", USUAL_WIDTH);
            return Err(ConfigError::new("context_width", self.width, instead));
        }
        Ok(())
    }

    /// The context that keys the next token; `None` where it is drawn unmarked: at temperature 0, and after a repeated context.
    pub fn marked_context(&self, step: &Step<'_>) -> Option<Vec<TokenId>> {
        self.marked_tokens(step).map(|there| padded(there, self.width))
    }

    /// The same without what is not there.
    pub fn marked_tokens<'a>(&self, step: &Step<'a>) -> Option<&'a [TokenId]> {
        (step.query.sampling.temperature != 0.0 && !self.repeats(step)).then(|| self.there(step))
    }

    /// The last tokens of the answer, after as many that are not there as are missing.
    pub fn context(&self, step: &Step<'_>) -> Vec<TokenId> {
        padded(self.there(step), self.width)
    }

    fn there<'a>(&self, step: &Step<'a>) -> &'a [TokenId] {
        let answer = step.answer();
        &answer[answer.len().saturating_sub(self.width)..]
    }

    /// Whether the context of the next token came before an earlier position of what is searched, whatever was drawn there.
    fn repeats(&self, step: &Step<'_>) -> bool {
        let text = match self.scope {
            Deduplicate::None => return false,
            Deduplicate::SingleTurn => step.answer(),
            Deduplicate::All if step.answer().len() < self.width => return true,
            Deduplicate::All => step.tokens,
        };
        let (now, context) = (text.len(), self.context(step));
        let first = if self.most == 0 { 0 } else { now.saturating_sub(self.most) };
        // the ids before a position, from the last one back, and what is not there before the beginning
        let id = |at: usize, back: usize| at.checked_sub(back).map_or(NO_TOKEN, |at| text[at]);
        (first..now).any(|at| (1..=self.width).all(|back| id(at, back) == context[self.width - back]))
    }
}

/// A context of `width` tokens: those that are `there`, after as many that are not as are missing.
pub(crate) fn padded(there: &[TokenId], width: usize) -> Vec<TokenId> {
    [&vec![NO_TOKEN; width - there.len()], there].concat()
}

/// A configured number of positions that a file need not say.
pub(crate) fn max_history() -> usize {
    MAX_HISTORY
}
