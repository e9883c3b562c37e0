use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ::marks::Phase;
use anyhow::Context as _;
use corpus::Split;
use distill::{Curve, PackedDocuments, PretrainSource, Served, TrainPlan, TrainState};
use lm::{Model, ModelConfig, Tokenizer};
use oracle::{Codec, Oracle, ServedLaw, Surface, TokenId};
use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use store::{Key, Making};

use crate::experiment::Pretraining;
use crate::resolve::{BaseSource, ModelDirectory, ModelSource, TeacherSource};
use crate::stages::card::card;
use crate::stages::context::Trained;
use crate::stages::documents::documents_with;
use crate::stages::implant::implant;
use crate::stages::law_distillation::{Learned, distil_laws};
use crate::stages::marks::{BuiltFrom, Marks};
use crate::stages::{Context, Training, Vocabulary};

/// Raised when the same inputs would give other weights.
pub(super) const REVISION: u32 = 2;
/// Kind of the artifacts of models trained on the corpus.
pub(super) const PRETRAINED: &str = "pretrained";
/// The teacher in all its states.
pub struct Teachers {
    /// With everything planted that goes into weights and training data.
    pub marked: Trained,
    /// With canaries, before anything else entered its weights.
    pub before_implant: Trained,
    /// The twin without any mark.
    pub clean: Trained,
    /// How far it was from the laws that were distilled into its weights, and how far it is; `None` where none was.
    pub distilled: Option<Learned>,
    /// How many implanted items are answered with the margin asked for, of how many; `None` when nothing is implanted.
    pub implanted: Option<(u64, u64)>,
}

/// Steps and batches of a training on packed documents.
struct Rows {
    steps: u64,
    /// Tokens of a row.
    tokens: usize,
    /// Rows of a batch.
    batch: usize,
}

/// A training on packed documents: what `teacher`, `stranger` and `base` have in common.
struct Course<'a> {
    /// For progress and titles.
    name: &'static str,
    vocabulary: &'a Vocabulary,
    start: Model,
    plan: TrainPlan,
    row_tokens: usize,
    /// Kinds of text that it never sees.
    left_out: Vec<String>,
    /// Everything that decides the result, marks left out.
    inputs: Value,
}

impl<'a> Course<'a> {
    fn from_scratch(
        ctx: &Context<'_>,
        name: &'static str,
        train: &Pretraining,
        vocabulary: &'a Vocabulary,
    ) -> anyhow::Result<Self> {
        let tokenizer = &vocabulary.tokenizer;
        let config =
            ModelConfig::from_architecture(&train.architecture, tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos())?;
        let seed = ctx.seed_for(&format!("{name} initialisation"));
        let start = Model::init(&config, seed);
        let from = json!({ "architecture": train.architecture, "seed": seed });
        let rows = Rows { steps: train.steps(), tokens: train.row_tokens, batch: train.batch_rows };
        let mut course = Self::new(ctx, name, vocabulary, (start, from), &rows, train.peak_lr)?;
        if !train.leave_out.is_empty() {
            course.left_out.clone_from(&train.leave_out);
            course.inputs["left_out"] = json!(train.leave_out);
        }
        Ok(course)
    }

    /// A training of `start`, a model with what names it.
    fn new(
        ctx: &Context<'_>,
        name: &'static str,
        vocabulary: &'a Vocabulary,
        start: (Model, Value),
        rows: &Rows,
        peak_lr: f64,
    ) -> anyhow::Result<Self> {
        let ((start, from), row_tokens) = (start, rows.tokens);
        if row_tokens > start.context_length() {
            let context = start.context_length();
            let problem = format!("{name}: rows of {row_tokens} tokens do not fit its context of {context}; lower row_tokens");
            return Err(crate::exit::UsageError(problem).into());
        }
        let plan = ctx.plan(rows.steps, rows.batch, peak_lr);
        let inputs = json!({
            "start": from,
            "corpus": ctx.sources.identity(),
            "vocabulary": vocabulary.hash,
            "documents": ctx.seed_for(&format!("{name} documents")),
            "plan": plan,
            "row_tokens": row_tokens,
        });
        Ok(Self { name, vocabulary, start, plan, row_tokens, left_out: Vec::new(), inputs })
    }

    fn documents(&self, ctx: &Context<'_>) -> anyhow::Result<PackedDocuments> {
        let rows = self.plan.total_rows();
        let texts = ctx.sources.of_without(ctx.seed_for(&format!("{} documents", self.name)), &self.left_out)?;
        let documents = documents_with(&*texts, Split::Train, rows * self.row_tokens as u64 + 1, self.vocabulary, ctx.rt);
        Ok(PackedDocuments::new(documents, self.row_tokens, rows, self.vocabulary.tokenizer.bos())?)
    }

    /// Trains on `documents` up to `until` steps, as the artifact that `making` makes: from a checkpoint of it, or from `start`.
    fn train(
        &self,
        ctx: &Context<'_>,
        making: &Making,
        what: &str,
        documents: &PackedDocuments,
        start: impl FnOnce() -> anyhow::Result<TrainState>,
        until: u64,
    ) -> anyhow::Result<TrainState> {
        let source = PretrainSource::new(documents, &self.plan)?;
        let (scratch, identity) = (making.scratch()?, making.hash().hex());
        let training =
            Training { what, trained: &self.start, plan: &self.plan, source: &source, scratch: &scratch, identity: &identity };
        training.run(ctx, start, until)
    }

    /// The whole training in one go.
    fn finish(&self, ctx: &Context<'_>) -> anyhow::Result<Trained> {
        let key = Key::new(REVISION, &self.inputs)?;
        let artifact = ctx.resumable(PRETRAINED, &key, |making| {
            let start = || Ok(TrainState::new(&self.start));
            let state = self.train(ctx, making, self.name, &self.documents(ctx)?, start, self.plan.steps)?;
            self.save(ctx, making.path(), &state, "trained on the experiment's corpus, without any mark")
        })?;
        ctx.load_model(&artifact)
    }

    fn save(&self, ctx: &Context<'_>, directory: &Path, state: &TrainState, body: &str) -> anyhow::Result<()> {
        let card = card(ctx, self.name, body);
        ctx.save_model(directory, &state.model(&self.start), self.vocabulary, &state.curve, &card)
    }
}

/// The teacher and its clean twin: trained (or further trained) with and without planted texts from a common trunk, then
/// laws distilled into the marked one and items implanted. Marks are built as the models come that they are built from.
///
/// # Errors
/// When a model cannot be read, a training diverges, planted texts do not fit, or the work is cancelled.
pub fn teachers(ctx: &Context<'_>, marks: &mut Marks) -> anyhow::Result<Teachers> {
    let course = match &ctx.resolved.world.teacher {
        TeacherSource::Train(train) => Some(Course::from_scratch(ctx, "teacher", train, ctx.vocabulary)?),
        TeacherSource::Open { model, continued: Some(continued) } => {
            let (start, _) = load("teacher.model", model)?;
            let rows = Rows { steps: continued.steps(), tokens: continued.row_tokens, batch: continued.batch_rows };
            let from = json!({ "model": model });
            Some(Course::new(ctx, "teacher", ctx.vocabulary, (start, from), &rows, continued.peak_lr)?)
        }
        TeacherSource::Open { continued: None, .. } => None,
    };
    let (texts, _) = marks.texts();
    let (before_implant, clean) = match (&course, &ctx.resolved.world.teacher) {
        (None, TeacherSource::Open { model, .. }) => {
            let model = brought("teacher.model", model)?;
            (model.clone(), model)
        }
        (Some(course), _) if texts.is_empty() => {
            let model = course.finish(ctx)?;
            (model.clone(), model)
        }
        (Some(course), _) => with_and_without_texts(ctx, course, marks)?,
        (None, TeacherSource::Train(_)) => anyhow::bail!("a teacher that is trained has a training"),
    };
    let order = match &course {
        Some(course) if ctx.resolved.world.needs().any(|(_, needs)| needs.training_order) => {
            let packed = course.documents(ctx)?;
            Some((0..packed.n_documents()).map(|document| packed.document(document).to_vec()).collect::<Vec<_>>())
        }
        _ => None,
    };
    let author = |name: &str| named(ctx, name).map(|model| raw(ctx, &model));
    let build = |marks: &mut Marks, model: &Trained, phase: Phase| {
        let teacher = raw(ctx, model);
        let from = BuiltFrom { teacher: Some(&*teacher), training_order: order.as_deref(), author: Some(&author) };
        marks.build_phase(ctx, phase, from)
    };
    build(marks, &before_implant, Phase::Weights)?;
    let (with_laws, distilled) = distil_laws(ctx, &before_implant, marks)?;
    let (marked, implanted) = implant(ctx, &with_laws, marks)?;
    build(marks, &marked, Phase::Nothing)?;
    Ok(Teachers { marked, before_implant, clean, distilled, implanted })
}

/// A model as its owner asks it: raw, everything shown, its inside too.
pub fn raw(ctx: &Context<'_>, trained: &Trained) -> Box<dyn Oracle> {
    let surface = Surface::Logits { law: ServedLaw::PreWatermark };
    Box::new(Served::new(trained.model.clone(), Vec::new(), surface, ctx.rt.clone()).opened())
}

/// The model that `[models]` calls `name`.
///
/// # Errors
/// When there is none, or it has another tokenizer than the teacher.
pub fn named(ctx: &Context<'_>, name: &str) -> anyhow::Result<Trained> {
    let models = &ctx.resolved.world.models;
    let Some(directory) = models.get(name) else {
        let known: Vec<&str> = models.keys().map(String::as_str).collect();
        let there = if known.is_empty() { "there is none".to_string() } else { format!("there are {}", known.join(", ")) };
        return Err(crate::exit::UsageError(format!("models.{name}: it is named and {there}; add it to [models]")).into());
    };
    same_vocabulary(ctx, &format!("models.{name}"), directory)
}

/// The marked model and its clean twin.
fn with_and_without_texts(ctx: &Context<'_>, course: &Course<'_>, marks: &Marks) -> anyhow::Result<(Trained, Trained)> {
    let tokens_per_step = (course.plan.batch_rows * course.row_tokens) as u64;
    let trunk_steps = (ctx.resolved.world.planted_after().unwrap_or(0) / tokens_per_step).min(course.plan.steps);
    let trunk_key = Key::new(REVISION, &json!({ "course": course.inputs, "steps": trunk_steps }))?;
    let mut packed = None;
    let mut documents = || -> anyhow::Result<Arc<PackedDocuments>> {
        if packed.is_none() {
            packed = Some(Arc::new(course.documents(ctx)?));
        }
        packed.clone().ok_or_else(|| anyhow::anyhow!("documents were packed"))
    };
    let mut branch = |what: &'static str, body: &str, planted: Value| -> anyhow::Result<Trained> {
        let marked = !planted.is_null();
        let key = Key::new(REVISION, &json!({ "course": course.inputs, "trunk_steps": trunk_steps, "canaries": planted }))?;
        let artifact = ctx.resumable(PRETRAINED, &key, |making| {
            let plain = documents()?;
            let trunk = || {
                let trunk = ctx.resumable("trunk", &trunk_key, |making| {
                    let start = || Ok(TrainState::new(&course.start));
                    let state = course.train(ctx, making, "teacher, trunk", &plain, start, trunk_steps)?;
                    Ok(state.save(&making.path().join(TRUNK), &making.hash().hex())?)
                })?;
                Ok(TrainState::load(&trunk.file(TRUNK), &course.start, &trunk.hash().hex())?)
            };
            let read = if marked { Arc::new(planted_in(ctx, course, &plain, trunk_steps, marks)?) } else { plain.clone() };
            let state = course.train(ctx, making, what, &read, trunk, course.plan.steps)?;
            course.save(ctx, making.path(), &state, body)
        })?;
        ctx.load_model(&artifact)
    };
    let planted = json!({ "marks": marks.texts().1, "places": ctx.seed_for("canary places") });
    let marked = branch("teacher, with canaries", "trained with canaries in its data", planted)?;
    let clean = branch("teacher, clean twin", "the clean twin: same data order, no canaries", Value::Null)?;
    Ok((marked, clean))
}

/// File of a trunk artifact.
const TRUNK: &str = "state.safetensors";

/// The training stream with canaries in the places of ordinary documents, one copy to a row, rows after the trunk drawn without
/// replacement. A copy begins where the ordinary document began: only places count where the longest copy fits before the row's end, and
/// of those of a row each is as likely, so that canaries stand where ordinary documents do.
fn planted_in(
    ctx: &Context<'_>,
    course: &Course<'_>,
    plain: &PackedDocuments,
    trunk_steps: u64,
    marks: &Marks,
) -> anyhow::Result<PackedDocuments> {
    let (texts, _) = marks.texts();
    let mut copies: Vec<Vec<TokenId>> = Vec::new();
    for planted in &texts {
        copies.extend(std::iter::repeat_n(ctx.vocabulary.document(&planted.text), planted.repeats as usize));
    }
    let longest = copies.iter().map(Vec::len).max().unwrap_or(0);
    let first_row = trunk_steps * course.plan.batch_rows as u64;
    let rows = course.plan.total_rows().min(plain.n_rows());
    let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for document in (0..plain.n_documents()).filter(|&document| plain.fits(document, longest)) {
        let row = plain.row_of(document);
        if row >= first_row && row + 1 < rows {
            places.entry(row).or_default().push(document);
        }
    }
    let places: Vec<Vec<usize>> = places.into_values().collect();
    if copies.len() > places.len() {
        return Err(crate::exit::UsageError(format!(
            "marks: {} copies of planted texts need as many rows after the trunk in which {longest} tokens fit behind the beginning of a \
             text, and there are {}; raise the training tokens or row_tokens, or lower their repeats or \
             planting.canaries_after_tokens",
            copies.len(),
            places.len()
        ))
        .into());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(ctx.seed_for("canary places"));
    copies.shuffle(&mut rng);
    let chosen = index::sample(&mut rng, places.len(), copies.len());
    let mut slots = Vec::with_capacity(copies.len());
    for (row, copy) in chosen.into_iter().zip(copies) {
        let of_row = &places[row];
        slots.push((of_row[rng.random_range(0..of_row.len())], copy));
    }
    plain.with_slots(&slots).context("`marks`: planted texts")
}

/// The independent teacher.
///
/// # Errors
/// As [`teachers`].
pub fn stranger(ctx: &Context<'_>) -> anyhow::Result<Trained> {
    match &ctx.resolved.world.stranger {
        ModelSource::Train(train) => Course::from_scratch(ctx, "stranger", train, ctx.vocabulary)?.finish(ctx),
        ModelSource::Open(model) => same_vocabulary(ctx, "stranger.model", model),
    }
}

/// The student before distillation.
///
/// # Errors
/// As [`teachers`].
pub fn base(ctx: &Context<'_>) -> anyhow::Result<Trained> {
    let own = ctx.student_vocabulary.unwrap_or(ctx.vocabulary);
    match &ctx.resolved.world.base {
        BaseSource::Train(train) => Course::from_scratch(ctx, "base", train, own)?.finish(ctx),
        BaseSource::Open(model) => brought("base.model", model),
        BaseSource::Cold(cold) => {
            let tokenizer = &own.tokenizer;
            let config =
                ModelConfig::from_architecture(&cold.architecture, tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos())?;
            let seed = ctx.seed_for("base initialisation");
            let model = Arc::new(Model::init(&config, seed));
            let hash = store::hash_json(&json!({ "revision": REVISION, "cold": cold, "vocabulary": own.hash, "seed": seed }))?;
            Ok(Trained { model, hash, curve: Curve::default() })
        }
    }
}

/// The model in the directory that `key` of the experiment file names, as it is.
fn brought(key: &str, directory: &ModelDirectory) -> anyhow::Result<Trained> {
    let (model, _) = load(key, directory)?;
    let hash = directory.hash()?;
    Ok(Trained { model: Arc::new(model), hash, curve: Curve::default() })
}

/// The model in the directory that `key` of the experiment file names, with its tokenizer.
fn load(key: &str, directory: &ModelDirectory) -> anyhow::Result<(Model, Tokenizer)> {
    directory.found().load_with_tokenizer().with_context(|| format!("`{key}`"))
}

/// A model that was brought, refused unless its token ids mean what the teacher's mean.
fn same_vocabulary(ctx: &Context<'_>, key: &str, directory: &ModelDirectory) -> anyhow::Result<Trained> {
    let (model, tokenizer) = load(key, directory)?;
    let ours = &ctx.vocabulary.tokenizer;
    if !ctx.vocabulary.means_the_same(&tokenizer, ctx.sources)? {
        return Err(crate::exit::UsageError(format!(
            "{key}: {} has another tokenizer ({} ids) than the teacher ({} ids); name a model with the teacher's",
            directory.path.display(),
            tokenizer.vocab_size(),
            ours.vocab_size()
        ))
        .into());
    }
    let hash = directory.hash()?;
    Ok(Trained { model: Arc::new(model), hash, curve: Curve::default() })
}
