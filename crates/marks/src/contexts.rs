use std::collections::HashMap;

use oracle::{Exchange, TokenId};

/// How often some contexts occur in answers that stream by. It holds the contexts that were asked for and nothing else, so that memory
/// does not grow with the number of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextCounts {
    width: usize,
    padding: Option<TokenId>,
    end: Option<TokenId>,
    counts: HashMap<Box<[TokenId]>, u64>,
}

impl ContextCounts {
    /// Of every context of `width` tokens that occurs in `answers`, none counted yet. An answer is over at the first `end`.
    pub fn of(answers: &[Exchange], width: usize, end: Option<TokenId>) -> Self {
        Self::filled_up(answers, width, None, end)
    }

    /// The same where contexts are filled up with `padding` before the beginning of an answer.
    pub(crate) fn filled_up(answers: &[Exchange], width: usize, padding: Option<TokenId>, end: Option<TokenId>) -> Self {
        let mut this = Self { width, padding, end, counts: HashMap::new() };
        for exchange in answers {
            this.each_context(&exchange.answer, |counts, context| {
                if !counts.contains_key(context) {
                    counts.insert(context.into(), 0);
                }
            });
        }
        this
    }

    /// Counts the contexts of one more answer (token ids): those that stand wholly in it, before one of its tokens, and the filled up
    /// ones.
    pub fn add(&mut self, answer: &[TokenId]) {
        self.each_context(answer, |counts, context| {
            if let Some(count) = counts.get_mut(context) {
                *count += 1;
            }
        });
    }

    fn each_context(&mut self, answer: &[TokenId], mut met: impl FnMut(&mut HashMap<Box<[TokenId]>, u64>, &[TokenId])) {
        let over = answer.iter().position(|token| Some(*token) == self.end).map_or(answer.len(), |at| at + 1);
        let answer = &answer[..over];
        if let Some(padding) = self.padding {
            // contexts that begin before the answer: those of its first `width` tokens
            let early = [&vec![padding; self.width], &answer[..self.width.min(over)]].concat();
            let begin = early.windows(self.width + 1).map(|window| &window[..self.width]);
            begin.for_each(|context| met(&mut self.counts, context));
        }
        let inside = answer.windows(self.width + 1).map(|window| &window[..self.width]);
        inside.for_each(|context| met(&mut self.counts, context));
    }

    /// How often `context` was met; 0 for one that was not asked for.
    pub fn met(&self, context: &[TokenId]) -> u64 {
        self.counts.get(context).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Query, Stop};

    use super::*;

    #[test]
    fn contexts_that_were_asked_for_are_counted_up_to_the_end_of_each_answer() {
        let said = |answer: &[TokenId]| Exchange {
            query: Query::greedy(0, vec![1], answer.len()),
            answer: answer.to_vec(),
            stop: Stop::Length,
        };
        let mut counts = ContextCounts::of(&[said(&[5, 6, 7]), said(&[8, 2, 9, 9])], 1, Some(2));
        for answer in [&[5, 5, 6, 2, 5, 5][..], &[6, 8], &[7], &[]] {
            counts.add(answer);
        }
        // 5 stands before 5 and 6; 6 before the end and before 8; nothing follows 8 or 7; 9 came after an end
        assert_eq!([5, 6, 8, 7, 9].map(|token| counts.met(&[token])), [2, 2, 0, 0, 0]);
        let mut wide = ContextCounts::of(&[said(&[5, 6, 7])], 2, None);
        wide.add(&[5, 6, 5, 6, 9]);
        assert_eq!((wide.met(&[5, 6]), wide.met(&[6, 5]), wide.met(&[6, 7])), (2, 0, 0));
    }

    #[test]
    fn the_beginning_of_an_answer_is_a_context_where_it_is_filled_up() {
        let said = |answer: &[TokenId]| Exchange {
            query: Query::greedy(0, vec![1], answer.len()),
            answer: answer.to_vec(),
            stop: Stop::Length,
        };
        let mut counts = ContextCounts::filled_up(&[said(&[5, 6, 7, 8])], 2, Some(99), Some(2));
        for answer in [&[5, 6, 7, 8][..], &[5, 9], &[5], &[2, 5, 6, 7], &[]] {
            counts.add(answer);
        }
        // every answer but the empty one has a first token; the end counts as one
        assert_eq!([[99, 99], [99, 5], [5, 6], [6, 7]].map(|context| counts.met(&context)), [4, 2, 1, 1]);
    }
}
