//! The shapes of the models an experiment uses, from configurations alone: no weights are loaded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use distill::SavedAs;
use lm::{LoadError, ModelConfig, Tokenizer};
use oracle::{Access, Codec};

use crate::chat;
use crate::experiment::{Channel, TokenizerConfig};
use crate::resolve::{BaseSource, ModelDirectory, ModelSource, TeacherSource, World};

/// Configurations of the teacher, its independent twin and the student.
#[derive(Debug, Clone)]
pub struct Shapes {
    /// The served model; clean twin and marked teacher have one shape.
    pub teacher: ModelConfig,
    /// The independent teacher.
    pub stranger: ModelConfig,
    /// The student.
    pub student: ModelConfig,
    /// What the files of open models say and the reader should know, with the key that names the model.
    pub notes: Vec<String>,
}

/// What was read of open models, so that points of a grid read none again.
#[derive(Default)]
pub struct ModelsRead {
    configs: HashMap<Vec<PathBuf>, Read>,
}

/// An open model without its weights.
#[derive(Clone)]
struct Read {
    config: ModelConfig,
    tokenizer: Option<Arc<Tokenizer>>,
    notes: Vec<String>,
}

impl Read {
    /// Its configuration with the rows of its tables that its tokenizer has tokens for, `shared` of them at most.
    fn used(&self, shared: usize) -> ModelConfig {
        let config = self.config.clone();
        match &self.tokenizer {
            Some(tokenizer) if tokenizer.size() > shared => config.for_tokens(&Tokenizer::clone(tokenizer).within(shared)),
            Some(tokenizer) => config.for_tokens(tokenizer),
            None => config,
        }
    }
}

impl ModelsRead {
    fn read(&mut self, model: &ModelDirectory, key: &str) -> Result<Read, ShapeError> {
        let places: Vec<PathBuf> =
            std::iter::successors(Some(model), |at| at.base.as_deref()).map(|at| at.path.clone()).collect();
        if let Some(known) = self.configs.get(&places) {
            return Ok(known.clone());
        }
        let wrong = |error: LoadError| ShapeError { key: key.to_string().into(), what: error.to_string(), remedy: String::new() };
        let said = model.found().said().map_err(wrong)?;
        let read = Read { config: said.config, tokenizer: said.tokenizer.map(Arc::new), notes: said.notes };
        self.configs.insert(places, read.clone());
        Ok(read)
    }
}

/// A shape that cannot be used.
#[derive(Debug)]
pub struct ShapeError {
    /// Dotted key of the experiment file.
    pub key: Cow<'static, str>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Shapes {
    /// The shapes that `world` asks for. Begin and end tokens of models still to be trained are left open; tables of open models have
    /// the rows that their tokenizers have tokens for.
    ///
    /// # Errors
    /// A `config.json` or a tokenizer that cannot be used, or all shapes that do not hold together, each with the key that named it.
    pub fn of(world: &World, channels: &[Channel], models: &mut ModelsRead) -> Result<Self, Vec<ShapeError>> {
        let shapes = Self::read(world, models).map_err(|error| vec![error])?;
        let problems = shapes.fit(world, channels, models);
        if problems.is_empty() { Ok(shapes) } else { Err(problems) }
    }

    fn read(world: &World, models: &mut ModelsRead) -> Result<Self, ShapeError> {
        let shared = shared_rows(world, models)?;
        let mut notes = Vec::new();
        let mut read = |model: &ModelDirectory, key: &str| -> Result<ModelConfig, ShapeError> {
            let read = models.read(model, key)?;
            notes.extend(read.notes.iter().map(|note| format!("{key}: {note}")));
            Ok(read.used(shared))
        };
        let teacher_vocab = match (&world.tokenizer, &world.teacher) {
            (TokenizerConfig::Bpe(bpe), _) => bpe.vocab_size,
            (TokenizerConfig::OfTeacher, TeacherSource::Open { model, .. }) => read(model, "teacher.model")?.vocab_size(),
            (TokenizerConfig::OfTeacher, TeacherSource::Train(_)) => 0,
        };
        let student_vocab = match &world.student.tokenizer {
            Some(TokenizerConfig::Bpe(bpe)) => bpe.vocab_size,
            _ => teacher_vocab,
        };
        let sized = |architecture, vocab, key: &'static str| {
            ModelConfig::from_architecture(architecture, vocab, None, None).map_err(|error| ShapeError {
                key: key.into(),
                what: format!("does not fit: {error}"),
                remedy: String::new(),
            })
        };
        let new = |architecture, key| sized(architecture, teacher_vocab, key);
        let teacher = match &world.teacher {
            TeacherSource::Train(plan) => new(&plan.architecture, "teacher.train.architecture")?,
            TeacherSource::Open { model, .. } => read(model, "teacher.model")?,
        };
        let stranger = match &world.stranger {
            ModelSource::Train(plan) => new(&plan.architecture, "stranger.train.architecture")?,
            ModelSource::Open(model) => read(model, "stranger.model")?,
        };
        let student = match &world.base {
            BaseSource::Train(plan) => sized(&plan.architecture, student_vocab, "base.train.architecture")?,
            BaseSource::Cold(cold) => sized(&cold.architecture, student_vocab, "base.cold.architecture")?,
            BaseSource::Open(model) => read(model, "base.model")?,
        };
        for (name, model) in &world.models {
            let key = format!("models.{name}");
            let config = read(model, &key)?;
            // how many ids a tokenizer gets that is trained here is known when it is
            if matches!(world.teacher, TeacherSource::Open { .. }) {
                check_ids(&key, config.vocab_size(), teacher.vocab_size())?;
            }
        }
        notes.sort();
        notes.dedup();
        Ok(Self { teacher, stranger, student, notes })
    }

    /// Texts longer than a model's context, and models of different vocabularies: everything that does not fit.
    fn fit(&self, world: &World, channels: &[Channel], models: &mut ModelsRead) -> Vec<ShapeError> {
        let mut problems = match template(world) {
            Ok(template) => self.texts_fit(world, template),
            Err(error) => vec![error],
        };
        problems.extend(self.marks_fit(world));
        problems.extend(self.adapter_fits(world, models).err());
        let rows = [
            match &world.teacher {
                TeacherSource::Train(plan) => Some(("teacher.train.row_tokens", plan.row_tokens, &self.teacher)),
                TeacherSource::Open { continued, .. } => {
                    continued.as_ref().map(|plan| ("teacher.continued.row_tokens", plan.row_tokens, &self.teacher))
                }
            },
            match &world.stranger {
                ModelSource::Train(plan) => Some(("stranger.train.row_tokens", plan.row_tokens, &self.stranger)),
                ModelSource::Open(_) => None,
            },
            match &world.base {
                BaseSource::Train(plan) => Some(("base.train.row_tokens", plan.row_tokens, &self.student)),
                BaseSource::Cold(_) | BaseSource::Open(_) => None,
            },
        ];
        let long = rows.into_iter().flatten().filter(|(_, row_tokens, config)| *row_tokens > config.context_length());
        problems.extend(long.map(|(key, _, config)| {
            let what = format!("longer than the model's context of {}", config.context_length());
            ShapeError { key: key.into(), what, remedy: "write less".into() }
        }));
        problems.extend(self.vocabularies_fit(channels));
        problems
    }

    /// Prompts with their answers that are longer than a model's context, for each key the first model.
    fn texts_fit(&self, world: &World, template: Option<Template>) -> Vec<ShapeError> {
        let (prompts, answers) = (world.queries.prompt_tokens, world.queries.max_new_tokens);
        // what was asked elsewhere has its template already
        let asked = if world.transcript.is_some() { None } else { template };
        let query = ("queries.max_new_tokens", prompts, answers, asked);
        let audit = ("audit.max_new_tokens", world.audit.prompt_tokens, world.audit.max_new_tokens, template);
        let models = [("teacher", &self.teacher), ("stranger", &self.stranger), ("student", &self.student)];
        let mut problems = Vec::new();
        for (key, prompt, answer, template) in [query, audit] {
            // one more for the token that begins every text; in a template the text is put without it
            let plain = prompt.saturating_add(answer).saturating_add(1);
            let put = template.map(|Template { tokens, begins }| (tokens, prompt - usize::from(begins).min(prompt)));
            let tokens = put.map_or(plain, |(template, prompt)| plain.max(template + prompt.saturating_add(answer)));
            let parts = match put {
                Some((template, prompt)) => {
                    format!("chat template ({template}), prompt ({prompt}) and answer ({answer}) take {tokens} tokens")
                }
                None => format!("prompt and answer take {tokens} tokens"),
            };
            let short = models.iter().find(|(_, config)| tokens > config.context_length());
            problems.extend(short.map(|(model, config)| ShapeError {
                key: key.into(),
                what: format!("{parts}, the {model} holds {}", config.context_length()),
                remedy: "ask for less, or give the model a longer context".into(),
            }));
        }
        problems
    }

    fn vocabularies_fit(&self, channels: &[Channel]) -> Vec<ShapeError> {
        let vocab = self.teacher.vocab_size();
        let mut problems: Vec<ShapeError> =
            check_ids("stranger.model", self.stranger.vocab_size(), vocab).err().into_iter().collect();
        // text passes between any two vocabularies, laws between equal ones
        let student = self.student.vocab_size();
        let needs_laws = channels.iter().map(|channel| channel.loss.build()).find(|loss| loss.needs() > Access::Text);
        problems.extend(needs_laws.filter(|_| student != vocab).map(|loss| ShapeError {
            key: "base.model".into(),
            what: format!("it has {student} token ids, the teacher {vocab}, and `{}` compares laws token by token", loss.name()),
            remedy: "use sequence_kd, or name a model with the teacher's tokenizer".into(),
        }));
        problems
    }

    /// Refuses an adapter that the student cannot take.
    fn adapter_fits(&self, world: &World, models: &mut ModelsRead) -> Result<(), ShapeError> {
        if world.student.lora.as_ref().is_some_and(|lora| lora.save == SavedAs::Adapter)
            && let BaseSource::Open(model) = &world.base
            && let Some(what) = not_a_base_of_peft(model)
        {
            let remedy = "write save = \"merged\", or convert the base first (birthmark model convert)".into();
            return Err(ShapeError {
                key: "student.lora.save".into(),
                what: format!("the base is {what}, which peft puts no adapter on"),
                remedy,
            });
        }
        let Some(lora) = &world.student.lora else { return Ok(()) };
        let error = match lora.shape(&self.student) {
            Ok(shape) => {
                let head = self.student.arch().decoder().head.name;
                let is_table = |pair: &lm::lora::Pair| pair.table || head.strip_suffix(".weight") == Some(&*pair.module);
                if let BaseSource::Open(model) = &world.base
                    && let rows = models.read(model, "base.model")?.config.vocab_size()
                    && rows != self.student.vocab_size()
                    && lora.save == SavedAs::Adapter
                    && shape.pairs().iter().any(is_table)
                {
                    let ids = self.student.vocab_size();
                    let what = format!(
                        "the base's tables have {rows} rows for {ids} token ids, and an adapter on them would have {ids}"
                    );
                    let remedy =
                        "write save = \"merged\", or leave the table and the last product out of student.lora.targets".into();
                    return Err(ShapeError { key: "student.lora.save".into(), what, remedy });
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let key = if error.key == "rank" { "student.lora.rank" } else { "student.lora.targets" };
        Err(ShapeError { key: key.into(), what: format!("{} does not fit the student", error.value), remedy: error.remedy })
    }

    /// Marks that ask longer rows than some model holds, as far as their parameters tell.
    fn marks_fit(&self, world: &World) -> Vec<ShapeError> {
        let context = [&self.teacher, &self.stranger, &self.student].map(ModelConfig::context_length).into_iter().min();
        let context = context.unwrap_or(usize::MAX);
        let long = world.needs().filter(|(_, needs)| needs.longest_row > context);
        let error = |(name, needs): (&String, marks::Needs)| {
            let what = format!("it asks rows of {} tokens, a model holds {context}", needs.longest_row);
            let remedy = "shorten what it asks, or give the models a longer context".into();
            ShapeError { key: format!("marks.{name}").into(), what, remedy }
        };
        long.map(error).collect()
    }
}

/// A chat template around a question.
#[derive(Clone, Copy)]
struct Template {
    /// Its own tokens.
    tokens: usize,
    /// Whether an opening that is put in it loses a token that begins every text.
    begins: bool,
}

/// The chat template, where questions are put in one.
fn template(world: &World) -> Result<Option<Template>, ShapeError> {
    let TeacherSource::Open { model, .. } = &world.teacher else { return Ok(None) };
    if !world.queries.chat {
        return Ok(None);
    }
    let problem = |what: String, remedy: &str| ShapeError { key: "queries.chat".into(), what, remedy: remedy.into() };
    let tokenizer = Tokenizer::load_for(&model.with_tokenizer().path, &model.root().path);
    let tokenizer = tokenizer.map_err(|error| problem(format!("teacher.model: {error}"), ""))?;
    let taken = chat::template_tokens(&tokenizer, world.queries.chat_date.as_deref());
    let tokens = taken.map_err(|error| problem(format!("teacher.model: {error}"), chat::remedy(&error)))?;
    Ok(Some(Template { tokens, begins: tokenizer.bos().is_some() }))
}

/// What `model` is, if peft cannot load it as the base of an adapter.
fn not_a_base_of_peft(model: &ModelDirectory) -> Option<&'static str> {
    if model.base.is_some() {
        return Some("itself an adapter");
    }
    model.files.iter().any(|file| file.name.ends_with(".gguf")).then_some("a GGUF file")
}

/// Rows that the tables of all models have whose token ids must mean what those of an open teacher mean.
fn shared_rows(world: &World, models: &mut ModelsRead) -> Result<usize, ShapeError> {
    let TeacherSource::Open { model, .. } = &world.teacher else { return Ok(usize::MAX) };
    let mut all = vec![("teacher.model".to_string(), model)];
    if let ModelSource::Open(model) = &world.stranger {
        all.push(("stranger.model".into(), model));
    }
    all.extend(world.models.iter().map(|(name, model)| (format!("models.{name}"), model)));
    let mut least = usize::MAX;
    for (key, model) in all {
        least = least.min(models.read(model, &key)?.config.vocab_size());
    }
    Ok(least)
}

/// Refuses a model whose token ids are not as many as the teacher's.
fn check_ids(key: &str, ids: usize, teacher: usize) -> Result<(), ShapeError> {
    if ids == teacher {
        return Ok(());
    }
    let what = format!("it has {ids} token ids, the teacher {teacher}");
    Err(ShapeError { key: key.to_string().into(), what, remedy: "name a model with the teacher's tokenizer".into() })
}
