//! Answering queries: many rows at once, each from its own random stream.

mod answer;
mod fused;
mod generic;

use std::sync::Arc;

use oracle::{Exchange, LogitsProcessor, Query};

use crate::model::Model;
use crate::runtime::{RunError, Runtime};
use answer::Job;

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
