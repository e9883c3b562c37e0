//! Answering queries: many rows at once, each from its own random stream.

mod answer;
mod fused;
mod generic;
mod reader;

use oracle::{CompanionId, Exchange, Query};

use crate::model::Model;
use crate::processing::{Chain, Processing};
use crate::runtime::{RunError, Runtime};
use answer::{Job, most_read};

/// Answers each query; exchanges come back in the order of the queries.
///
/// The answer to a query depends on the model, the processors, the compute path, the device and the query alone, not on the queries
/// around it, the number of threads or of rows at once: each draws from the stream of its own seed, and rows are computed so
/// that the bits of one do not depend on its company.
/// Companions read the same tokens in lockstep, each by the path that its own architecture allows. Processors of stage `Shown` have
/// no part in it.
/// `progress` hears, from worker threads, how many tokens were made since its last call.
///
/// # Errors
/// When a prompt is empty, longer than the context or holds an unknown id; when companions are missing or do not fit; on
/// cancellation; when the model gives no usable law.
pub fn generate(
    model: &Model,
    queries: &[Query],
    processing: Processing<'_>,
    rt: &Runtime,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Exchange>, RunError> {
    let chain = Chain::drawing(processing, model.vocab_size())?.without(model.config().arch().absent());
    for query in queries {
        check(model, &chain, query)?;
    }
    let job = Job { model, chain, rt, progress };
    let shapes: Option<Vec<_>> = job.models().map(|model| rt.fused(model.config().arch())).collect();
    match shapes {
        Some(shapes) => fused::answer(&job, &shapes, queries),
        None => generic::answer(&job, queries),
    }
}

fn check(model: &Model, chain: &Chain<'_>, query: &Query) -> Result<(), RunError> {
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
    if !(0.0..=1.0).contains(&sampling.min_p) {
        return Err(RunError::Input(format!("query {}: min_p {} is not in [0, 1]", query.index, sampling.min_p)));
    }
    let read = most_read(model, query);
    if let Some((CompanionId(id), companion)) = chain.too_short_for(read) {
        let context = companion.context_length();
        return Err(RunError::Input(format!(
            "query {}: up to {read} tokens are read, companion {id} takes at most {context}; ask for fewer new tokens",
            query.index
        )));
    }
    Ok(())
}
