//! An answer in the making, and what all of one call share.

use std::ops::Range;
use std::sync::Arc;

use oracle::{Exchange, LogitsProcessor, Query, Stop, TokenId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::draw::Drawer;
use crate::model::Model;
use crate::runtime::{RunError, Runtime};

/// What all workers of one call share.
pub(super) struct Job<'a> {
    pub(super) model: &'a Model,
    pub(super) processors: &'a [Arc<dyn LogitsProcessor>],
    pub(super) rt: &'a Runtime,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// An answer in the making.
pub(super) struct Answer<'a> {
    pub(super) query: &'a Query,
    /// Prompt and answer so far.
    pub(super) tokens: Vec<TokenId>,
    pub(super) rng: ChaCha8Rng,
    pub(super) stop: Option<Stop>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        let stop = (query.max_new_tokens == 0).then_some(Stop::Length);
        Self { query, tokens: query.prompt.clone(), rng: ChaCha8Rng::seed_from_u64(query.seed), stop }
    }

    /// Draws the next token from raw `logits` (vocab), which are used up.
    pub(super) fn push(&mut self, job: &Job<'_>, logits: &mut [f32], drawer: &mut Drawer) -> Result<(), RunError> {
        let start = self.query.prompt.len();
        let token = drawer
            .next(logits, &self.query.sampling, job.processors, &self.tokens, start, &mut self.rng)
            .ok_or(RunError::NoLaw { index: self.query.index, position: self.tokens.len() })?;
        self.tokens.push(token);
        let made = self.tokens.len() - start;
        self.stop = if job.model.config().arch().eos().contains(&token) {
            Some(Stop::EndToken)
        } else if made == self.query.max_new_tokens || self.tokens.len() > job.model.context_length() {
            Some(Stop::Length)
        } else {
            None
        };
        Ok(())
    }

    pub(super) fn finish(self) -> Exchange {
        let answer = self.tokens[self.query.prompt.len()..].to_vec();
        Exchange { query: self.query.clone(), answer, stop: self.stop.unwrap_or(Stop::Length) }
    }
}

/// Even, contiguous shares of `0..n` for `workers`.
pub(super) fn shares(n: usize, workers: usize) -> Vec<Range<usize>> {
    (0..workers).map(|i| n * i / workers..n * (i + 1) / workers).filter(|share| !share.is_empty()).collect()
}
