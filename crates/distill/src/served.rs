use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kernels::{sample, vecmath};
use lm::{Chain, Model, Opened, Processing, Row, RunError, Runtime};
use oracle::{
    Codec, CompanionId, ConfigError, Exchange, Law, LawSink, LogitsProcessor, OpenModel, Oracle, OracleError, Query, Sampling,
    ScoreItem, ServedLaw, Stage, Step, Stop, Surface, TokenId,
};

use crate::choice::Choice;

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
///
/// On a `label` surface every answer is the label that is most probable under the served law at temperature 1, restricted to the
/// labels, and its exchange is greedy. That one law is what a posterior shows: laws after the first token are certain.
pub struct Served {
    model: Arc<Model>,
    /// All, in their order; the restriction to labels is the first.
    processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Those of `processors` that act on what is drawn.
    drawn: Vec<Arc<dyn LogitsProcessor>>,
    /// Those of `processors` that act on what is reported.
    shown: Vec<Arc<dyn LogitsProcessor>>,
    companions: Vec<(CompanionId, Arc<Model>)>,
    surface: Surface,
    /// The labels of the surface, once they were put into tokens.
    choice: Option<Arc<Choice>>,
    runtime: Arc<Runtime>,
    opened: Option<Opened>,
}

impl Served {
    /// Serves `model` changed by `processors` through `surface`.
    pub fn new(model: Arc<Model>, processors: Vec<Arc<dyn LogitsProcessor>>, surface: Surface, runtime: Arc<Runtime>) -> Self {
        let (shown, drawn) = processors.iter().cloned().partition(|processor| processor.stage() == Stage::Shown);
        Self { model, processors, drawn, shown, companions: Vec::new(), surface, choice: None, runtime, opened: None }
    }

    /// The same with the labels of its surface in the tokens of `codec`, the model's tokenizer: a `label` surface answers nothing
    /// before. Any other surface stays as it is.
    ///
    /// # Errors
    /// As [`Choice::of`]; when the model does not have the tokens.
    pub fn with_labels(mut self, codec: &dyn Codec) -> Result<Self, ConfigError> {
        let Some(choice) = Choice::of(&self.surface, codec)? else { return Ok(self) };
        let vocab = self.model.vocab_size();
        if let Some(token) = choice.answers().iter().flatten().find(|token| **token as usize >= vocab) {
            let remedy =
                format!("the model has {vocab} token ids, and a label takes token {token}; give the model's own tokenizer");
            return Err(ConfigError::new("label.labels", self.surface.label(), remedy));
        }
        let choice = Arc::new(choice);
        self.processors.insert(0, choice.clone());
        self.drawn.insert(0, choice.clone());
        Ok(Self { choice: Some(choice), ..self })
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

    /// The most tokens that a law can show: ids that stand for none are never among them.
    pub(crate) fn tokens(&self) -> usize {
        self.model.vocab_size() - self.model.config().arch().absent().len()
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
        if let Some(choice) = self.choice()? {
            return self.choose(choice, queries, progress);
        }
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

    /// The labels, where the surface has some.
    fn choice(&self) -> Result<Option<&Choice>, OracleError> {
        match (&self.surface, &self.choice) {
            (Surface::Label { .. }, None) => Err(OracleError::Model(
                "a `label` oracle does not know the tokens of its labels; give it the model's tokenizer (`Served::with_labels`)"
                    .into(),
            )),
            (_, choice) => Ok(choice.as_deref()),
        }
    }

    /// The most probable label after each prompt. The law of its first token decides, and nothing has to be generated after that.
    fn choose(&self, choice: &Choice, queries: &[Query], progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Exchange>, OracleError> {
        let (longest, context) = (choice.longest(), self.model.context_length());
        let force = |q: &Query| Query { sampling: Sampling::GREEDY, max_new_tokens: longest, ..q.clone() };
        let queries: Vec<Query> = queries.iter().map(force).collect();
        // the last token of an answer is not read
        if let Some(query) = queries.iter().find(|query| query.prompt.len() + longest > context + 1) {
            let (index, len) = (query.index, query.prompt.len());
            return Err(RunError::Input(format!(
                "query {index}: a prompt of {len} tokens and a label of up to {longest} do not fit the model's context of {context}; \
                 shorten them"
            ))
            .into());
        }
        // a law does not depend on the token that it is asked for with
        let any = choice.answers().first().map_or(&[][..], |answer| &answer[..1]);
        let given: Vec<Given<'_>> = queries.iter().map(|query| (query, any)).collect();
        let found: Vec<OnceLock<&[TokenId]>> = queries.iter().map(|_| OnceLock::new()).collect();
        self.for_each_law(&self.drawn, &given, &|_| Sampling::PLAIN, &|query, _, log_probs| {
            let first = sample::first_max(log_probs).and_then(|first| choice.beginning_with(first as TokenId));
            if let Some(answer) = first {
                let _ = found[query].set(answer);
                progress(answer.len() as u64);
            }
        })?;
        let stop = if choice.ends() { Stop::EndToken } else { Stop::Length };
        let answered = |(query, found): (Query, OnceLock<&[TokenId]>)| match found.get() {
            Some(answer) => Ok(Exchange { answer: answer.to_vec(), query, stop }),
            None => Err(RunError::NoLaw { index: query.index, position: query.prompt.len() }.into()),
        };
        queries.into_iter().zip(found).map(answered).collect()
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

    /// The processors that the law named `law` is reported with.
    fn reporting(&self, law: ServedLaw) -> &[Arc<dyn LogitsProcessor>] {
        match law {
            ServedLaw::PostWatermark => &self.processors,
            ServedLaw::PreWatermark => &self.shown,
        }
    }

    /// Calls `sink(item, position, log_probs)` with the law of each answer token of `given`, changed by `processors` and drawn as
    /// `sampling` says.
    fn for_each_law(
        &self,
        processors: &[Arc<dyn LogitsProcessor>],
        given: &[Given<'_>],
        sampling: &(dyn Fn(&Query) -> Sampling + Sync),
        sink: &(dyn Fn(usize, usize, &[f32]) + Sync),
    ) -> Result<(), OracleError> {
        let processing = Processing { processors, companions: &self.companions };
        let chain = Chain::new(processing, self.model.vocab_size())?.without(self.model.config().arch().absent());
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
        let instead = match self.surface {
            Surface::Label { .. } => "label = { labels, posterior = true }",
            _ => "top_logprobs",
        };
        OracleError::NotShown { surface: self.surface.name().to_string(), asked, instead }
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

    /// On a `greedy_text` surface every query is answered greedily, and the exchange says so. On a `label` surface it says besides that
    /// answers are no longer than the longest label.
    fn answer(&self, queries: &[Query]) -> Result<Vec<Exchange>, OracleError> {
        self.answer_with(queries, &|_| ())
    }

    /// On a `label` surface what is no label, and no beginning of one, scores minus infinity.
    fn score(&self, items: &[ScoreItem]) -> Result<Vec<f64>, OracleError> {
        let law = self.surface.shown_law().ok_or_else(|| self.not_shown("log-probability of a chosen token"))?;
        let choice = self.choice()?;
        let allowed = |item: &ScoreItem| choice.is_none_or(|choice| choice.allows(&item.continuation));
        let query = |item: &ScoreItem| Query {
            sampling: Sampling::PLAIN,
            ..Query::greedy(0, item.prompt.clone(), item.continuation.len())
        };
        let queries: Vec<Query> = items.iter().map(query).collect();
        let scored = |item: &ScoreItem| if allowed(item) { item.continuation.len() } else { 0 };
        let given: Vec<Given<'_>> =
            queries.iter().zip(items).map(|(query, item)| (query, &item.continuation[..scored(item)])).collect();
        // the laws of one item come from one thread in ascending order, so that a sum does not depend on the threads
        let start = |item: &ScoreItem| Mutex::new(if allowed(item) { 0.0 } else { f64::NEG_INFINITY });
        let sums: Vec<Mutex<f64>> = items.iter().map(start).collect();
        self.for_each_law(self.reporting(law), &given, &|query| query.sampling, &|item, position, log_probs| {
            let chosen = items[item].continuation[position] as usize;
            *sums[item].lock().unwrap_or_else(PoisonError::into_inner) += f64::from(log_probs[chosen]);
        })?;
        Ok(sums.into_iter().map(|sum| sum.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }

    fn laws(&self, given: &[&Exchange], sink: &LawSink<'_>) -> Result<(), OracleError> {
        let law = self.surface.shown_law().ok_or_else(|| self.not_shown("law of the next token"))?;
        let k = self.surface.reported_tokens().map(|k| k.min(self.tokens()));
        if let Some(choice) = self.choice()?
            && let Some(other) = given.iter().find(|exchange| !choice.allows(&exchange.answer))
        {
            let index = other.query.index;
            return Err(OracleError::Model(format!(
                "exchange {index}: its answer is none of the labels; ask this oracle for it"
            )));
        }
        let exchanges: Vec<Given<'_>> = given.iter().map(|exchange| (&exchange.query, &exchange.answer[..])).collect();
        let sampling = |query: &Query| if query.sampling.temperature == 0.0 { Sampling::PLAIN } else { query.sampling };
        self.for_each_law(self.reporting(law), &exchanges, &sampling, &|exchange, position, log_probs| match k {
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
