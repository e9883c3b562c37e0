use std::collections::BTreeMap;
use std::sync::Arc;

use ::marks::Phase;
use anyhow::Context as _;
use distill::{Curve, Served};
use lm::{Model, ModelConfig, Tokenizer};
use oracle::{Codec, Oracle, ServedLaw, Surface};
use serde_json::json;

use crate::resolve::{BaseSource, ModelDirectory, ModelSource, TeacherSource};
use crate::stages::Context;
use crate::stages::canaries::{Branches, branches};
use crate::stages::context::Trained;
use crate::stages::course::{Course, REVISION, Rows};
use crate::stages::implant::implant;
use crate::stages::law_distillation::{Learned, distil_laws};
use crate::stages::marks::{BuiltFrom, Marks};

/// The teacher in all its states.
pub struct Teachers {
    /// With everything planted that goes into weights and training data.
    pub marked: Trained,
    /// With canaries, before anything else entered its weights.
    pub before_implant: Trained,
    /// The twin without any mark.
    pub clean: Trained,
    /// With every mark in weights and training data but one each, by its name.
    pub apart: BTreeMap<String, Trained>,
    /// How far it was from the laws that were distilled into its weights, and how far it is; `None` where none was.
    pub distilled: Option<Learned>,
    /// How many implanted items are answered with the margin asked for, of how many; `None` when nothing is implanted.
    pub implanted: Option<(u64, u64)>,
}

/// The teacher and its clean twin: trained (or further trained) with and without planted texts from a common trunk, then
/// laws distilled into the marked one and items implanted; and the teachers that lack one mark each. Marks are built as the models come
/// that they are built from.
///
/// # Errors
/// When a model cannot be read, a training diverges, planted texts do not fit, or the work is cancelled.
pub fn teachers(ctx: &Context<'_>, marks: &mut Marks) -> anyhow::Result<Teachers> {
    let course = match &ctx.resolved.world.teacher {
        TeacherSource::Train(train) => Some(Course::from_scratch(ctx, "teacher", train, ctx.vocabulary)?),
        TeacherSource::Open { model, continued: Some(continued) } => {
            let start = (*load(ctx, "teacher.model", model)?.0.model).clone();
            let rows = Rows { steps: continued.steps(), tokens: continued.row_tokens, batch: continued.batch_rows };
            let from = json!({ "model": model });
            Some(Course::new(ctx, "teacher", ctx.vocabulary, (start, from), &rows, continued.peak_lr)?)
        }
        TeacherSource::Open { continued: None, .. } => None,
    };
    let Branches { marked: before_implant, clean, apart: without_texts } = match (&course, &ctx.resolved.world.teacher) {
        (None, TeacherSource::Open { model, .. }) => Branches::same(brought(ctx, "teacher.model", model)?),
        (Some(course), _) if marks.texts().is_empty() => Branches::same(course.finish(ctx)?),
        (Some(course), _) => branches(ctx, course, marks)?,
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
    let (with_laws, distilled) = distil_laws(ctx, &before_implant, marks, None)?;
    let (marked, implanted) = implant(ctx, &with_laws, marks, None)?;
    build(marks, &marked, Phase::Nothing)?;
    let mut apart = BTreeMap::new();
    for name in &ctx.resolved.marks_apart {
        let model = match without_texts.get(name) {
            // what is served needs no other model
            None if !marks.enters_weights(name) => marked.clone(),
            before => {
                let (with_laws, _) = distil_laws(ctx, before.unwrap_or(&before_implant), marks, Some(name))?;
                implant(ctx, &with_laws, marks, Some(name))?.0
            }
        };
        apart.insert(name.clone(), model);
    }
    Ok(Teachers { marked, before_implant, clean, apart, distilled, implanted })
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

/// Key of the model that the student starts from.
const BASE: &str = "base.model";

/// The student before distillation.
///
/// # Errors
/// As [`teachers`].
pub fn base(ctx: &Context<'_>) -> anyhow::Result<Trained> {
    let own = ctx.student_vocabulary.unwrap_or(ctx.vocabulary);
    match &ctx.resolved.world.base {
        BaseSource::Train(train) => Course::from_scratch(ctx, "base", train, own)?.finish(ctx),
        BaseSource::Open(model) => brought(ctx, BASE, model),
        BaseSource::Cold(cold) => {
            let tokenizer = &own.tokenizer;
            let config =
                ModelConfig::from_architecture(&cold.architecture, tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos())?
                    .for_tokens(tokenizer);
            let seed = ctx.seed_for("base initialisation");
            let model = Arc::new(Model::init(&config, seed));
            let hash = store::hash_json(&json!({ "revision": REVISION, "cold": cold, "vocabulary": own.hash, "seed": seed }))?;
            Ok(Trained { model, hash, place: None, curve: Curve::default() })
        }
    }
}

/// The model in the directory that `key` of the experiment file names, as it is.
fn brought(ctx: &Context<'_>, key: &str, directory: &ModelDirectory) -> anyhow::Result<Trained> {
    Ok(load(ctx, key, directory)?.0)
}

/// The model in the directory that `key` of the experiment file names, with its tokenizer. Rows of its tables that this has no token for
/// are left out, and its name says so.
fn load(ctx: &Context<'_>, key: &str, directory: &ModelDirectory) -> anyhow::Result<(Trained, Tokenizer)> {
    load_with(ctx, key, directory, key == BASE && ctx.student_vocabulary.is_some())
}

/// The same; `has_own` says that its tokenizer is not the teacher's, and all of it is kept.
pub(super) fn load_with(
    ctx: &Context<'_>,
    key: &str,
    directory: &ModelDirectory,
    has_own: bool,
) -> anyhow::Result<(Trained, Tokenizer)> {
    let found = directory.found();
    let (model, tokenizer) = found.load_with_tokenizer().with_context(|| format!("`{key}`"))?;
    let tokenizer = if has_own { tokenizer } else { tokenizer.within(ctx.vocabulary.tokenizer.size()) };
    let model = model.cut(tokenizer.size(), tokenizer.absent());
    for note in model.notes() {
        ctx.progress.note(&format!("note: {key}: {note}"));
    }
    let (ids, absent) = (model.vocab_size(), model.config().arch().absent());
    let hash = if ids == found.config()?.vocab_size() && absent.is_empty() {
        directory.hash()?
    } else {
        store::hash_json(&json!({ "model": directory.hash()?, "ids": ids, "absent": absent }))?
    };
    Ok((Trained { model: Arc::new(model), hash, place: None, curve: Curve::default() }, tokenizer))
}

/// A model that was brought, refused unless its token ids mean what the teacher's mean.
fn same_vocabulary(ctx: &Context<'_>, key: &str, directory: &ModelDirectory) -> anyhow::Result<Trained> {
    let (trained, tokenizer) = load(ctx, key, directory)?;
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
    Ok(trained)
}
