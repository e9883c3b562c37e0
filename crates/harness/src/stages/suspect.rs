use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use distill::{Cost, Served, read_parquet};
use marks::{Asked, Marked, Question, Seen, no_texts};
use oracle::{Exchange, LogitsProcessor, Oracle, OracleError, Query, ServedLaw, Stage, Surface};
use results::Arm;

use crate::resolve::Run;
use crate::stages::context::Trained;
use crate::stages::lineage::Lineage;
use crate::stages::marks::Built;
use crate::stages::worth::Worth;
use crate::stages::{Context, Taught, Vocabulary};

/// What changes a model's law while it answers.
#[derive(Clone, Default)]
pub struct Serving {
    /// Processors, each with the name of the mark that it belongs to; defences and attacks belong to none.
    pub laws: Vec<(Option<String>, Arc<dyn LogitsProcessor>)>,
    /// Proxy models that they read.
    pub companions: Vec<(oracle::CompanionId, Arc<lm::Model>)>,
    /// What the models of `[models]` that defences read compute, by name.
    pub models: BTreeMap<String, store::Hash>,
}

impl Serving {
    /// The processors.
    pub fn processors(&self) -> Vec<Arc<dyn LogitsProcessor>> {
        self.laws.iter().map(|(_, law)| law.clone()).collect()
    }

    /// Names them.
    pub fn names(&self) -> Vec<String> {
        self.names_of(|_| true)
    }

    /// Names those that change what is drawn.
    pub fn drawn(&self) -> Vec<String> {
        self.names_of(|stage| stage != Stage::Shown)
    }

    /// Names those that change what is shown and nothing else.
    pub fn shown(&self) -> Vec<String> {
        self.names_of(|stage| stage == Stage::Shown)
    }

    /// Names those of the stages that are `wanted`, and the models that any of them may read.
    fn names_of(&self, wanted: impl Fn(Stage) -> bool) -> Vec<String> {
        let laws = self.laws.iter().filter(|(_, law)| wanted(law.stage())).map(|(_, law)| law.name());
        laws.chain(self.models.iter().map(|(name, hash)| format!("model {name} {hash}"))).collect()
    }

    /// What of it stays when laws are read for the mark called `mark`: a law that is keyed after truncation is a point mass or
    /// nearly, and says nothing of the model behind it, unless it is this mark's own.
    fn read_for(&self, mark: &str) -> Self {
        let stays = |(owner, law): &&(Option<String>, Arc<dyn LogitsProcessor>)| {
            law.stage() != Stage::AfterTruncation || owner.as_deref() == Some(mark)
        };
        Self { laws: self.laws.iter().filter(stays).cloned().collect(), ..self.clone() }
    }

    /// `trained`, whose vocabulary is `own` where it is not the teacher's, as it answers: everything a log-probability surface shows, its
    /// inside too, in the teacher's tokens.
    fn oracle(&self, ctx: &Context<'_>, own: Option<&Vocabulary>, trained: &Trained) -> Box<dyn Oracle> {
        let surface = Surface::Logits { law: ServedLaw::PostWatermark };
        let served = Served::new(trained.model.clone(), self.processors(), surface, ctx.rt.clone());
        ctx.asked(own, served.with_companions(self.companions.clone()).opened())
    }
}

/// What sets a model from outside apart from the experiment's own.
#[derive(Clone)]
pub struct Outside {
    /// What records call it.
    pub name: String,
    /// Its vocabulary, where it is not the teacher's.
    pub vocabulary: Option<Arc<Vocabulary>>,
}

/// Answers to the audit on disk.
pub struct Kept {
    /// Directory of their artifact below the artifacts, `kind/hash`.
    pub place: String,
    /// The Parquet file.
    pub file: PathBuf,
}

/// A model under suspicion.
pub struct Suspect {
    /// Its place in the grid.
    pub run: Run,
    /// How it was trained; `None` for arms that were not distilled.
    pub taught: Option<Taught>,
    /// The model.
    pub trained: Trained,
    /// Of a model from outside: what it is called, and how it reads.
    pub outside: Option<Outside>,
    /// What changes its answers: marks and defences on the teacher arm, a thief's decoding on what was distilled.
    pub serving: Serving,
    /// What it cost the thief; `None` for arms that were not distilled.
    pub cost: Option<Cost>,
    /// What it learned from.
    pub lineage: Lineage,
    /// Its answers to the audit, asked once.
    pub audit: OnceCell<Arc<Vec<Exchange>>>,
    /// Where they are kept, once they are.
    pub kept: OnceCell<Kept>,
    /// Its losses on held-out text.
    pub worth: Worth,
}

impl Suspect {
    /// Who it is, for progress.
    pub fn name(&self) -> String {
        match (&self.run.channel, self.run.budget) {
            (Some(channel), Some(budget)) => format!("{} {} {budget}", self.run.who(), channel.surface.name()),
            _ => match &self.outside {
                Some(outside) => format!("{} {}", self.run.who(), outside.name),
                None => self.run.who(),
            },
        }
    }

    /// Its vocabulary, where it is not the teacher's.
    pub fn own_vocabulary<'a>(&'a self, ctx: &'a Context<'_>) -> Option<&'a Vocabulary> {
        vocabulary_of(ctx, self.run.arm, self.outside.as_ref())
    }

    /// The suspect as it answers: everything a log-probability surface shows, changed as it is served, in the teacher's tokens.
    pub fn served(&self, ctx: &Context<'_>) -> Box<dyn Oracle> {
        self.asked(ctx, &self.serving)
    }

    fn asked(&self, ctx: &Context<'_>, serving: &Serving) -> Box<dyn Oracle> {
        serving.oracle(ctx, self.own_vocabulary(ctx), &self.trained)
    }

    /// Whether laws are read for the mark called `mark` as they are served, rather than raw.
    pub fn reads_served_law(&self, mark: &str) -> bool {
        !self.serving.read_for(mark).laws.is_empty()
    }

    /// Its answers to the audit's `queries`.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    pub fn audited(&self, ctx: &Context<'_>, queries: &[Query]) -> Result<Arc<Vec<Exchange>>, OracleError> {
        if let Some(answers) = self.audit.get() {
            return Ok(answers.clone());
        }
        let answers = match self.kept.get() {
            // written by this suspect to these queries, as its name says
            Some(kept) => read_parquet(&kept.file).map_err(|error| OracleError::Model(error.to_string()))?,
            None => self.served(ctx).answer(queries)?,
        };
        let answers = Arc::new(answers);
        Ok(self.audit.get_or_init(|| answers).clone())
    }

    /// What comes back for `questions` of the mark called `mark`; `marked` has the texts of the teacher as it is served.
    ///
    /// # Errors
    /// When the model shows less than it is asked for, or fails.
    pub fn ask(
        &self,
        ctx: &Context<'_>,
        mark: &str,
        questions: &[Question],
        audit: &[Query],
        marked: &dyn Fn(Marked) -> Result<Arc<Vec<Exchange>>, OracleError>,
    ) -> Result<Vec<Seen>, OracleError> {
        let (answers, laws) = (self.served(ctx), self.asked(ctx, &self.serving.read_for(mark)));
        // one with tokens of its own cuts for itself
        let fits = |question: &Question| match self.own_vocabulary(ctx) {
            None => that_fits(question, &self.trained.model),
            Some(_) => question.clone(),
        };
        let questions: Vec<Question> = questions.iter().map(fits).collect();
        Asked { answers: &*answers, laws: &*laws, audit: &|| self.audited(ctx, audit), marked }.ask_all(&questions)
    }
}

fn vocabulary_of<'a>(ctx: &'a Context<'_>, arm: Arm, outside: Option<&'a Outside>) -> Option<&'a Vocabulary> {
    match outside {
        Some(outside) => outside.vocabulary.as_deref(),
        None => ctx.own_vocabulary(arm),
    }
}

/// `question` with given answers cut to what `model` can read: an answer in the tokens of another tokenizer may be longer than it was
/// asked for, and a model may lack the last ids of the vocabulary. The last token is not read.
fn that_fits(question: &Question, model: &lm::Model) -> Question {
    let Question::Laws { given, reduce } = question else { return question.clone() };
    let (context, vocab) = (model.context_length(), model.vocab_size());
    let readable = |given: &Exchange| {
        let room = (context + 1).saturating_sub(given.query.prompt.len());
        // what is asked for must be a token of the model too
        given.answer.iter().position(|&token| token as usize >= vocab).unwrap_or(given.answer.len()).min(room)
    };
    if given.iter().all(|given| given.answer.len() == readable(given)) {
        return question.clone();
    }
    let cut = |given: &Exchange| {
        let mut cut = given.clone();
        cut.answer.truncate(readable(given));
        cut
    };
    Question::Laws { given: Arc::new(given.iter().map(cut).collect()), reduce: reduce.clone() }
}

/// A model that suspects are compared with, raw or as it is served; its answers to each mark are asked once.
pub struct Peer {
    /// Who it is.
    pub arm: Arm,
    /// The model.
    pub trained: Trained,
    /// Of a model from outside: what it is called, and how it reads.
    outside: Option<Outside>,
    /// What changes its answers; nothing of a raw one.
    serving: Serving,
    /// Its losses on held-out text.
    pub worth: Worth,
    /// By name of the mark.
    seen: RefCell<BTreeMap<String, Rc<Vec<Seen>>>>,
}

impl Peer {
    /// `trained` as the peer called `arm`, raw.
    pub fn new(arm: Arm, trained: &Trained) -> Self {
        let (serving, worth, seen) = (Serving::default(), Worth::default(), RefCell::default());
        Self { arm, trained: trained.clone(), outside: None, serving, worth, seen }
    }

    /// The same, brought from outside.
    #[must_use]
    pub fn brought(self, outside: Option<Outside>) -> Self {
        Self { outside, ..self }
    }

    /// Who it is, in words.
    pub fn name(&self) -> &str {
        self.outside.as_ref().map_or(self.arm.name(), |outside| &outside.name)
    }

    /// Its vocabulary, where it is not the teacher's.
    pub fn own_vocabulary<'a>(&'a self, ctx: &'a Context<'_>) -> Option<&'a Vocabulary> {
        vocabulary_of(ctx, self.arm, self.outside.as_ref())
    }

    /// The same, changed by `serving`.
    #[must_use]
    pub fn served(self, serving: Serving) -> Self {
        Self { serving, ..self }
    }

    /// What changes its answers; nothing of a raw one.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Names the model and what changes its answers.
    pub fn identity(&self) -> serde_json::Value {
        match self.serving.names() {
            names if names.is_empty() => serde_json::json!(self.trained.hash),
            names => serde_json::json!([self.trained.hash, names]),
        }
    }

    /// Its own answers to a mark, drawn independently of every other model's.
    ///
    /// # Errors
    /// When the model shows less than it is asked for, or fails.
    pub fn seen(&self, ctx: &Context<'_>, built: &Built, audit: &[Query]) -> Result<Rc<Vec<Seen>>, OracleError> {
        if let Some(seen) = self.seen.borrow().get(&built.name) {
            return Ok(seen.clone());
        }
        let who = match &self.outside {
            Some(_) => format!("{} {}", self.arm.name(), self.trained.hash),
            None => self.arm.name().to_string(),
        };
        let stream = ctx.seed_for(&format!("questions to the {who}"));
        let seen = Rc::new(self.ask(ctx, &built.mark.questions(stream), audit)?);
        self.seen.borrow_mut().insert(built.name.clone(), seen.clone());
        Ok(seen)
    }

    /// What comes back for `questions`.
    ///
    /// # Errors
    /// As [`seen`](Self::seen).
    pub fn ask(&self, ctx: &Context<'_>, questions: &[Question], audit: &[Query]) -> Result<Vec<Seen>, OracleError> {
        let (answers, laws) = (self.oracle(ctx, &self.serving), self.oracle(ctx, &self.serving.read_for("")));
        let fitting: Vec<Question> = questions.iter().map(|question| that_fits(question, &self.trained.model)).collect();
        Asked { answers: &*answers, laws: &*laws, audit: &|| Ok(Arc::new(answers.answer(audit)?)), marked: &no_texts }
            .ask_all(&fitting)
    }

    fn oracle(&self, ctx: &Context<'_>, serving: &Serving) -> Box<dyn Oracle> {
        serving.oracle(ctx, self.own_vocabulary(ctx), &self.trained)
    }
}
