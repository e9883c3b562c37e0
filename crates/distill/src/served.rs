use std::sync::{Arc, Mutex, PoisonError};

use kernels::vecmath;
use lm::{Chain, Model, Opened, Processing, Row, Runtime};
use oracle::{
    CompanionId, Exchange, Law, LawSink, LogitsProcessor, OpenModel, Oracle, OracleError, Query, Sampling, ScoreItem, ServedLaw,
    Stage, Step, Surface, TokenId,
};

/// A model behind a simulated API: processors (a watermark, a defense) change its law while it answers, and a surface decides what
/// is shown of it.
///
/// Two laws are shown where the surface has any. An answer's laws ([`laws`](Oracle::laws)) are those the answer was drawn from: the
/// query's temperature and truncation included (for a greedy query, temperature 1, as a point mass would only repeat the token).
/// [`score`](Oracle::score), which knows no query, is at temperature 1 without truncation. `post_watermark` runs the processors
/// at their places in that order, `pre_watermark` leaves them out; nothing else differs.
///
/// Processors of stage [`Stage::Shown`] change either law as the last thing before it is cut to its most probable tokens and
/// reported, and nothing is renormalised after them.
pub struct Served {
    model: Arc<Model>,
    processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Those of `processors` that act on what is reported.
    shown: Vec<Arc<dyn LogitsProcessor>>,
    companions: Vec<(CompanionId, Arc<Model>)>,
    surface: Surface,
    runtime: Arc<Runtime>,
    opened: Option<Opened>,
}

impl Served {
    /// Serves `model` changed by `processors` through `surface`.
    pub fn new(model: Arc<Model>, processors: Vec<Arc<dyn LogitsProcessor>>, surface: Surface, runtime: Arc<Runtime>) -> Self {
        let shown = processors.iter().filter(|processor| processor.stage() == Stage::Shown).cloned().collect();
        Self { model, processors, shown, companions: Vec::new(), surface, runtime, opened: None }
    }

    /// The same with the proxy models that its processors read. One that does not fit is an error of the first question.
    #[must_use]
    pub fn with_companions(self, companions: Vec<(CompanionId, Arc<Model>)>) -> Self {
        Self { companions, ..self }
    }

    /// The same, its inside open to whoever asks.
    #[must_use]
    pub fn opened(self) -> Self {
        let opened = Some(Opened { model: self.model.clone(), runtime: self.runtime.clone() });
        Self { opened, ..self }
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
        let processing = Processing { processors: &self.processors, companions: &self.companions };
        let answers = lm::generate(&self.model, queries, processing, &self.runtime, progress)?;
        self.check_processors()?;
        Ok(answers)
    }

    /// Whether every processor could do its work until now.
    fn check_processors(&self) -> Result<(), OracleError> {
        match self.processors.iter().find_map(|processor| processor.failure()) {
            None => Ok(()),
            Some(why) => {
                // what was stopped from outside has not failed
                self.runtime.check_cancelled()?;
                Err(OracleError::Processor(why))
            }
        }
    }

    /// Calls `sink(item, position, log_probs)` with the reported law of each answer token of `given`, drawn as `sampling` says.
    fn for_each_law(
        &self,
        law: ServedLaw,
        given: &[Given<'_>],
        sampling: &(dyn Fn(&Query) -> Sampling + Sync),
        sink: &(dyn Fn(usize, usize, &[f32]) + Sync),
    ) -> Result<(), OracleError> {
        let processors = match law {
            ServedLaw::PostWatermark => &self.processors[..],
            ServedLaw::PreWatermark => &self.shown[..],
        };
        let processing = Processing { processors, companions: &self.companions };
        let chain = Chain::new(processing, self.model.vocab_size())?;
        let companions: Vec<&Model> = chain.companions().collect();
        let joined: Vec<Vec<TokenId>> = given.iter().map(|(query, answer)| [&query.prompt[..], *answer].concat()).collect();
        let rows: Vec<Row<'_>> =
            joined.iter().zip(given).map(|(ids, (query, _))| Row { ids, laws: query.prompt.len()..ids.len() }).collect();
        lm::for_each_law_beside(&self.model, &companions, &rows, &self.runtime, &|row, i, logits, companions| {
            let step = Step { query: given[row].0, tokens: &joined[row][..i] };
            lm::served_law(logits, &sampling(step.query), &chain, &step, companions);
            vecmath::log_softmax_in_place(logits);
            chain.show(logits, &step, companions);
            sink(row, i - step.query.prompt.len(), logits);
        })?;
        self.check_processors()
    }

    fn not_shown(&self, asked: &'static str) -> OracleError {
        OracleError::NotShown { surface: self.surface.name().to_string(), asked, instead: "top_logprobs" }
    }
}

/// A question and tokens that answer it.
type Given<'a> = (&'a Query, &'a [TokenId]);

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

    fn score(&self, items: &[ScoreItem]) -> Result<Vec<f64>, OracleError> {
        let law = match &self.surface {
            Surface::TopLogprobs { law, .. } | Surface::Logits { law } => *law,
            Surface::Text | Surface::GreedyText => return Err(self.not_shown("log-probability of a chosen token")),
        };
        let query = |item: &ScoreItem| Query {
            sampling: Sampling::PLAIN,
            ..Query::greedy(0, item.prompt.clone(), item.continuation.len())
        };
        let queries: Vec<Query> = items.iter().map(query).collect();
        let given: Vec<Given<'_>> = queries.iter().zip(items).map(|(query, item)| (query, &item.continuation[..])).collect();
        // the laws of one item come from one thread in ascending order, so that a sum does not depend on the threads
        let sums: Vec<Mutex<f64>> = items.iter().map(|_| Mutex::new(0.0)).collect();
        self.for_each_law(law, &given, &|query| query.sampling, &|item, position, log_probs| {
            let chosen = items[item].continuation[position] as usize;
            *sums[item].lock().unwrap_or_else(PoisonError::into_inner) += f64::from(log_probs[chosen]);
        })?;
        Ok(sums.into_iter().map(|sum| sum.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }

    fn laws(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError> {
        let (law, k) = match &self.surface {
            Surface::TopLogprobs { k, law } => (*law, Some((*k).min(self.vocab_size()))),
            Surface::Logits { law } => (*law, None),
            Surface::Text | Surface::GreedyText => return Err(self.not_shown("law of the next token")),
        };
        let exchanges: Vec<Given<'_>> = given.iter().map(|exchange| (&exchange.query, &exchange.answer[..])).collect();
        let sampling = |query: &Query| if query.sampling.temperature == 0.0 { Sampling::PLAIN } else { query.sampling };
        self.for_each_law(law, &exchanges, &sampling, &|exchange, position, log_probs| match k {
            None => sink(exchange, position, Law::Whole(log_probs)),
            Some(k) => {
                let ids = most_probable(log_probs, k);
                let log_probs: Vec<f32> = ids.iter().map(|&id| log_probs[id as usize]).collect();
                sink(exchange, position, Law::Top { ids: &ids, log_probs: &log_probs });
            }
        })
    }

    fn open(&self) -> Option<&dyn OpenModel> {
        self.opened.as_ref().map(|opened| opened as &dyn OpenModel)
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

#[cfg(test)]
mod tests;
