//! What transformers does to the law of the next token.

use oracle::{LogitsProcessor, Row, Stage, Step, TokenId};

use super::table::{self, Bits};
use crate::keyed::left_law::change_left;
use crate::keyed::tournament::tournament;

/// Applies the tournament to the law that is left after truncation, and to the whole law of greedy answers, which is not kept on average
/// there. It is left as it is after a context that an earlier token of the answer had.
pub(super) struct Tournament {
    pub name: String,
    pub bits: Bits,
    /// Tokens of a context.
    pub width: usize,
    /// Contexts that are remembered.
    pub history: usize,
    /// Whether the first tokens, whose contexts are not full, are drawn unmarked.
    pub skip_first: bool,
}

impl Tournament {
    /// The hash of the context of the next token of `answer`; `None` where that is drawn unmarked.
    fn context(&self, answer: &[TokenId]) -> Option<u64> {
        let hash = |at: usize| {
            let zeros = self.width.saturating_sub(at);
            let before = answer[at.saturating_sub(self.width)..at].iter();
            before.fold(table::context(&vec![0; zeros]), |hash, id| table::fold(hash, u64::from(*id)))
        };
        let first = if self.skip_first { self.width } else { 0 };
        let here = answer.len().checked_sub(first).map(|_| hash(answer.len()))?;
        let remembered = answer.len().saturating_sub(self.history).max(first)..answer.len();
        // the memory begins with zeros, and so with a hash that is 0
        let empty_slots = answer.len() - first < self.history;
        let met = here == 0 && empty_slots || remembered.into_iter().any(|at| hash(at) == here);
        (!met).then_some(here)
    }
}

impl LogitsProcessor for Tournament {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn changes_greedy(&self) -> bool {
        true
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(context) = self.context(step.answer()) else { return };
        change_left(row.logits, f32::NEG_INFINITY, |left, q| {
            let draws: Vec<u64> = left.iter().map(|&token| self.bits.of(table::fold(context, token.into()))).collect();
            tournament(q, &draws, self.bits.layers() as u32);
        });
    }
}
