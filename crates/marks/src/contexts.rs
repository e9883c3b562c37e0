use std::collections::HashMap;

use oracle::{Exchange, TokenId};

/// How often some contexts occur in answers that stream by. It holds the contexts that were asked for and nothing else, so that memory
/// does not grow with the number of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextCounts {
    width: usize,
    end: Option<TokenId>,
    counts: HashMap<Box<[TokenId]>, u64>,
}

impl ContextCounts {
    /// Of every context of `width` tokens that occurs in `answers`, none counted yet. An answer is over at the first `end`.
    pub fn of(answers: &[Exchange], width: usize, end: Option<TokenId>) -> Self {
        let mut this = Self { width, end, counts: HashMap::new() };
        for exchange in answers {
            for context in contexts(&exchange.answer, width, end) {
                if !this.counts.contains_key(context) {
                    this.counts.insert(context.into(), 0);
                }
            }
        }
        this
    }

    /// Counts the contexts of one more answer (token ids): those that stand wholly in it, before one of its tokens.
    pub fn add(&mut self, answer: &[TokenId]) {
        for context in contexts(answer, self.width, self.end) {
            if let Some(count) = self.counts.get_mut(context) {
                *count += 1;
            }
        }
    }

    /// How often `context` was met; 0 for one that was not asked for.
    pub fn met(&self, context: &[TokenId]) -> u64 {
        self.counts.get(context).copied().unwrap_or(0)
    }
}

/// The `width` tokens before every token of `answer` that has so many, up to the first `end`.
fn contexts(answer: &[TokenId], width: usize, end: Option<TokenId>) -> impl Iterator<Item = &[TokenId]> {
    let over = answer.iter().position(|token| Some(*token) == end).map_or(answer.len(), |at| at + 1);
    answer[..over].windows(width + 1).map(move |window| &window[..width])
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
}
