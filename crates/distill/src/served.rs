use std::sync::Arc;

use kernels::vecmath;
use lm::{Model, Row, RunError, Runtime};
use oracle::{Access, Exchange, LogitsProcessor, Oracle, OracleError, Query, Sampling, ScoreItem, ServedLaw, Surface, TokenId};

/// A teacher's law at one position, cut to what the surface shows.
#[derive(Debug, Clone, Copy)]
pub enum ShownLaw<'a> {
    /// The most probable tokens, most probable first (ties: the lower id first), with natural-log probabilities.
    Top {
        /// Their ids, as many as the surface reports.
        ids: &'a [TokenId],
        /// Their log-probabilities; minus infinity for tokens that truncation ruled out.
        log_probs: &'a [f32],
    },
    /// Natural-log probabilities of all tokens (length: vocabulary).
    Whole(&'a [f32]),
}

/// A model behind a simulated API: processors (a watermark, a defense) bend its law while it answers, and a surface decides what
/// is shown of it.
///
/// Two laws are shown where the surface has any. An answer's laws ([`laws`](Self::laws)) are those the answer was drawn from: the
/// query's temperature and truncation included (for a greedy query, temperature 1, as a point mass would only repeat the token).
/// [`score`](Oracle::score), which knows no query, is at temperature 1 without truncation. `post_watermark` runs the processors
/// at their places in that order, `pre_watermark` leaves them out; nothing else differs.
pub struct Served {
    model: Arc<Model>,
    processors: Vec<Arc<dyn LogitsProcessor>>,
    surface: Surface,
    runtime: Arc<Runtime>,
}

impl Served {
    /// Serves `model` bent by `processors` through `surface`.
    pub fn new(model: Arc<Model>, processors: Vec<Arc<dyn LogitsProcessor>>, surface: Surface, runtime: Arc<Runtime>) -> Self {
        Self { model, processors, surface, runtime }
    }

    /// The model behind the surface: the owner's view.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// [`Oracle::answer`] that reports the number of answer tokens produced since its last call.
    ///
    /// # Errors
    /// As [`Oracle::answer`].
    pub fn answer_with(&self, queries: &[Query], progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Exchange>, OracleError> {
        let greedy;
        let queries = if self.surface == Surface::GreedyText {
            let force = |q: &Query| Query { sampling: Sampling::GREEDY, ..q.clone() };
            greedy = queries.iter().map(force).collect::<Vec<_>>();
            &greedy
        } else {
            queries
        };
        lm::generate(&self.model, queries, &self.processors, &self.runtime, progress).map_err(oracle_error)
    }

    /// Calls `sink(exchange, position, law)` for every answer token with the law it was drawn from, as far as the surface shows
    /// it; from several threads, in any order.
    ///
    /// # Errors
    /// [`OracleError::NotShown`] when the surface shows answers only; otherwise as [`Oracle::answer`].
    pub fn laws(&self, exchanges: &[&Exchange], sink: &(dyn Fn(usize, usize, ShownLaw<'_>) + Sync)) -> Result<(), OracleError> {
        let (law, k) = match &self.surface {
            Surface::TopLogprobs { k, law } => (*law, Some((*k).min(self.vocab_size()))),
            Surface::Logits { law } => (*law, None),
            Surface::Text | Surface::GreedyText => return Err(self.not_shown("law of the next token")),
        };
        let rows = exchanges.iter().map(|e| (&e.query.prompt[..], &e.answer[..])).collect::<Vec<_>>();
        self.for_each_law(&rows, &|exchange, position, before, logits| {
            let query = &exchanges[exchange].query;
            let sampling = if query.sampling.temperature == 0.0 { Sampling::PLAIN } else { query.sampling };
            self.bend(law, &sampling, before, query.prompt.len(), logits);
            match k {
                None => sink(exchange, position, ShownLaw::Whole(logits)),
                Some(k) => {
                    let ids = most_probable(logits, k);
                    let log_probs: Vec<f32> = ids.iter().map(|&id| logits[id as usize]).collect();
                    sink(exchange, position, ShownLaw::Top { ids: &ids, log_probs: &log_probs });
                }
            }
        })
    }

    /// Raw logits to the log-probabilities of the served law.
    fn bend(&self, law: ServedLaw, sampling: &Sampling, before: &[TokenId], answer_start: usize, logits: &mut [f32]) {
        let processors = match law {
            ServedLaw::PostWatermark => &self.processors[..],
            ServedLaw::PreWatermark => &[],
        };
        lm::served_law(logits, sampling, processors, before, answer_start);
        vecmath::log_softmax_in_place(logits);
    }

    /// Raw logits before each token of each (prompt, continuation).
    fn for_each_law(&self, items: &[(&[TokenId], &[TokenId])], sink: &RowSink<'_>) -> Result<(), OracleError> {
        let joined: Vec<Vec<TokenId>> = items.iter().map(|(prompt, rest)| [*prompt, *rest].concat()).collect();
        let rows: Vec<Row<'_>> =
            joined.iter().zip(items).map(|(ids, (prompt, _))| Row { ids, laws: prompt.len()..ids.len() }).collect();
        lm::for_each_law(&self.model, &rows, &self.runtime, &|row, i, logits| {
            sink(row, i - items[row].0.len(), &joined[row][..i], logits);
        })
        .map_err(oracle_error)
    }

    fn not_shown(&self, asked: &'static str) -> OracleError {
        OracleError::NotShown { surface: self.surface.name().to_string(), asked, instead: "top_logprobs" }
    }
}

/// Gets (item, position, tokens before, raw logits).
type RowSink<'a> = dyn Fn(usize, usize, &[TokenId], &mut [f32]) + Sync + 'a;

impl Oracle for Served {
    fn surface(&self) -> &Surface {
        &self.surface
    }

    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    /// On a `greedy_text` surface every query is answered greedily, and the exchange says so.
    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, OracleError> {
        self.answer_with(queries, &|_| ())
    }

    fn score(&self, items: &[ScoreItem]) -> Result<Vec<Vec<f64>>, OracleError> {
        let law = match &self.surface {
            Surface::TopLogprobs { law, .. } | Surface::Logits { law } => *law,
            Surface::Text | Surface::GreedyText => return Err(self.not_shown("log-probability of a chosen token")),
        };
        debug_assert!(self.surface.access() >= Access::Logprobs);
        let blank = |item: &ScoreItem| std::sync::Mutex::new(vec![0.0; item.continuation.len()]);
        let scores: Vec<std::sync::Mutex<Vec<f64>>> = items.iter().map(blank).collect();
        let rows = items.iter().map(|i| (&i.prompt[..], &i.continuation[..])).collect::<Vec<_>>();
        self.for_each_law(&rows, &|item, position, before, logits| {
            self.bend(law, &Sampling::PLAIN, before, items[item].prompt.len(), logits);
            let chosen = items[item].continuation[position] as usize;
            scores[item].lock().unwrap_or_else(std::sync::PoisonError::into_inner)[position] = f64::from(logits[chosen]);
        })?;
        Ok(scores.into_iter().map(|s| s.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)).collect())
    }
}

/// Ids of the `k` largest values, largest first, equal ones by id.
fn most_probable(values: &[f32], k: usize) -> Vec<TokenId> {
    let order = |a: &TokenId, b: &TokenId| values[*b as usize].total_cmp(&values[*a as usize]).then(a.cmp(b));
    let mut ids: Vec<TokenId> = (0..values.len() as TokenId).collect();
    if k < ids.len() {
        ids.select_nth_unstable_by(k, order);
        ids.truncate(k);
    }
    ids.sort_unstable_by(order);
    ids
}

fn oracle_error(error: RunError) -> OracleError {
    match error {
        RunError::Cancelled => OracleError::Cancelled,
        other => OracleError::Model(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
