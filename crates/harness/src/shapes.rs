//! The shapes of the models an experiment uses, from configurations alone: no weights are loaded.

use std::borrow::Cow;

use distill::SavedAs;
use lm::ModelConfig;
use oracle::Access;

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
    /// The shapes that `world` asks for. Begin and end tokens of models still to be trained are left open.
    ///
    /// # Errors
    /// A `config.json` that cannot be used, or all shapes that do not hold together, each with the key that named it.
    pub fn of(world: &World, channels: &[Channel]) -> Result<Self, Vec<ShapeError>> {
        let shapes = Self::read(world).map_err(|error| vec![error])?;
        let problems = shapes.fit(world, channels);
        if problems.is_empty() { Ok(shapes) } else { Err(problems) }
    }

    fn read(world: &World) -> Result<Self, ShapeError> {
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
        Ok(Self { teacher, stranger, student })
    }

    /// Texts longer than a model's context, and models of different vocabularies: everything that does not fit.
    fn fit(&self, world: &World, channels: &[Channel]) -> Vec<ShapeError> {
        let query = ("queries.max_new_tokens", world.queries.prompt_tokens + world.queries.max_new_tokens);
        let audit = ("audit.max_new_tokens", world.audit.prompt_tokens + world.audit.max_new_tokens);
        let models = [("teacher", &self.teacher), ("stranger", &self.stranger), ("student", &self.student)];
        let mut problems = Vec::new();
        for (key, tokens) in [query, audit] {
            // one more for the token that begins every text
            let short = models.iter().find(|(_, config)| tokens + 1 > config.context_length());
            problems.extend(short.map(|(model, config)| ShapeError {
                key: key.into(),
                what: format!("prompt and answer take {} tokens, the {model} holds {}", tokens + 1, config.context_length()),
                remedy: "ask for less, or give the model a longer context".into(),
            }));
        }
        problems.extend(self.marks_fit(world));
        problems.extend(self.adapter_fits(world).err());
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

    fn vocabularies_fit(&self, channels: &[Channel]) -> Vec<ShapeError> {
        let (vocab, stranger) = (self.teacher.vocab_size(), self.stranger.vocab_size());
        let mut problems = Vec::new();
        if stranger != vocab {
            problems.push(ShapeError {
                key: "stranger.model".into(),
                what: format!("it has {stranger} token ids, the teacher {vocab}"),
                remedy: "name a model with the teacher's tokenizer".into(),
            });
        }
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
    fn adapter_fits(&self, world: &World) -> Result<(), ShapeError> {
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
        let Some(Err(error)) = world.student.lora.as_ref().map(|lora| lora.shape(&self.student)) else { return Ok(()) };
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

/// What `model` is, if peft cannot load it as the base of an adapter.
fn not_a_base_of_peft(model: &ModelDirectory) -> Option<&'static str> {
    if model.base.is_some() {
        return Some("itself an adapter");
    }
    model.files.iter().any(|file| file.name.ends_with(".gguf")).then_some("a GGUF file")
}

fn read(model: &ModelDirectory, key: &'static str) -> Result<ModelConfig, ShapeError> {
    model.found().config().map_err(|error| ShapeError { key: key.into(), what: error.to_string(), remedy: String::new() })
}
