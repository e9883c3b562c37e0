//! Answering queries: many rows at once, each from its own random stream.

mod fused;
mod generic;

use std::ops::Range;
use std::sync::Arc;

use oracle::{Exchange, LogitsProcessor, Query, Stop, TokenId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::draw::Drawer;
use crate::model::Model;
use crate::runtime::{RunError, Runtime};

/// Answers each query; exchanges come back in the order of the queries.
///
/// The answer to a query depends on the model, the processors, the compute path, the device and the query alone, not on the queries
/// around it, the number of threads or of rows at once: each draws from the stream of its own seed, and rows are computed so
/// that the bits of one do not depend on its company.
/// `progress` hears, from worker threads, how many tokens were made since its last call.
///
/// # Errors
/// When a prompt is empty, longer than the context or holds an unknown id; on cancellation; when the model gives no
/// usable law.
pub fn generate(
    model: &Model,
    queries: &[Query],
    processors: &[Arc<dyn LogitsProcessor>],
    rt: &Runtime,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Exchange>, RunError> {
    for query in queries {
        check(model, query)?;
    }
    let job = Job { model, processors, rt, progress };
    match rt.fused(model.config().arch()) {
        Some(shape) => fused::answer(&job, &shape, queries),
        None => generic::answer(&job, queries),
    }
}

fn check(model: &Model, query: &Query) -> Result<(), RunError> {
    let (len, context, vocab) = (query.prompt.len(), model.context_length(), model.vocab_size());
    if len == 0 || len > context {
        return Err(RunError::Input(format!(
            "query {}: the prompt has {len} tokens, the model takes 1 to {context}",
            query.index
        )));
    }
    if let Some(id) = query.prompt.iter().find(|id| **id as usize >= vocab) {
        return Err(RunError::Input(format!("query {}: token id {id} is not below the model's vocab_size {vocab}", query.index)));
    }
    let sampling = query.sampling;
    if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
        let temperature = sampling.temperature;
        return Err(RunError::Input(format!("query {}: temperature {temperature} is not a number from 0 up", query.index)));
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return Err(RunError::Input(format!("query {}: top_p {} is not in (0, 1]", query.index, sampling.top_p)));
    }
    Ok(())
}

/// What all workers of one call share.
struct Job<'a> {
    model: &'a Model,
    processors: &'a [Arc<dyn LogitsProcessor>],
    rt: &'a Runtime,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// An answer in the making.
struct Answer<'a> {
    query: &'a Query,
    /// Prompt and answer so far.
    tokens: Vec<TokenId>,
    rng: ChaCha8Rng,
    stop: Option<Stop>,
}

impl<'a> Answer<'a> {
    fn new(query: &'a Query) -> Self {
        let stop = (query.max_new_tokens == 0).then_some(Stop::Length);
        Self { query, tokens: query.prompt.clone(), rng: ChaCha8Rng::seed_from_u64(query.seed), stop }
    }

    /// Draws the next token from raw `logits` (vocab), which are used up.
    fn push(&mut self, job: &Job<'_>, logits: &mut [f32], drawer: &mut Drawer) -> Result<(), RunError> {
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

    fn finish(self) -> Exchange {
        let answer = self.tokens[self.query.prompt.len()..].to_vec();
        Exchange { query: self.query.clone(), answer, stop: self.stop.unwrap_or(Stop::Length) }
    }
}

/// Even, contiguous shares of `0..n` for `workers`.
fn shares(n: usize, workers: usize) -> Vec<Range<usize>> {
    (0..workers).map(|i| n * i / workers..n * (i + 1) / workers).filter(|share| !share.is_empty()).collect()
}
