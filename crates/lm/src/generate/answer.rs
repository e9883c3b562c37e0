//! An answer in the making, and what all workers of one call share.

use std::ops::Range;

use oracle::{Exchange, Query, Step, Stop, TokenId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::draw::Drawer;
use crate::model::Model;
use crate::processing::Chain;
use crate::runtime::{RunError, Runtime};

/// Most tokens that are read to answer `query`: the last one of the answer is not.
pub(super) fn most_read(model: &Model, query: &Query) -> usize {
    query.prompt.len().saturating_add(query.max_new_tokens.saturating_sub(1)).min(model.context_length())
}

/// What all workers of one call share.
pub(super) struct Job<'a> {
    pub(super) model: &'a Model,
    pub(super) chain: Chain<'a>,
    pub(super) rt: &'a Runtime,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Job<'a> {
    /// The model that answers, then the companions in the order of the chain.
    pub(super) fn models(&self) -> impl Iterator<Item = &'a Model> {
        std::iter::once(self.model).chain(self.chain.companions())
    }
}

/// An answer in the making.
pub(super) struct Answer<'a> {
    pub(super) query: &'a Query,
    /// Prompt and answer so far.
    pub(super) tokens: Vec<TokenId>,
    rng: ChaCha8Rng,
    pub(super) stop: Option<Stop>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        let stop = (query.max_new_tokens == 0).then_some(Stop::Length);
        Self { query, tokens: query.prompt.clone(), rng: ChaCha8Rng::seed_from_u64(query.seed), stop }
    }

    /// Draws the next token from raw `logits` (vocab), which are used up; `companions` are rows of the chain's companions.
    pub(super) fn push(
        &mut self,
        job: &Job<'_>,
        logits: &mut [f32],
        companions: &[&[f32]],
        drawer: &mut Drawer,
    ) -> Result<(), RunError> {
        let start = self.query.prompt.len();
        let step = Step { query: self.query, tokens: &self.tokens };
        let token = drawer
            .next(logits, &job.chain, &step, companions, &mut self.rng)
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
