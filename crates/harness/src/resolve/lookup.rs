use std::path::PathBuf;

use corpus::GrammarSpec;

use super::model_directory::identify;
use super::{Asking, BaseSource, CorpusSource, ModelDirectory, ModelSource, Resolved, TeacherSource, World};
use crate::config_error::{ConfigErrors, Problem};
use crate::document::steps;
use crate::exit;
use crate::experiment::{BaseConfig, CorpusConfig, Experiment, Pretraining};
use crate::hub::Models;
use crate::load::Loaded;
use crate::secret::OwnerSecret;

/// Looks everything up. Reads dataset specs, hashes model and text files, and has `models` find those that are named; loads no
/// weights.
///
/// # Errors
/// As [`ConfigErrors`] every path that leads nowhere, every dataset spec that is wrong, a secret file that others can read;
/// otherwise what kept a model from being fetched, or that this was stopped.
pub fn resolve(loaded: &Loaded<Experiment>, models: &Models<'_>) -> anyhow::Result<Resolved> {
    let experiment = &loaded.value;
    let mut lookup = Lookup { loaded, models, problems: Vec::new() };
    let corpus = lookup.corpus(&experiment.corpus)?;
    let secret = lookup.secret();
    let teacher = lookup.teacher()?;
    let stranger = lookup.source("stranger", experiment.stranger.train.as_ref(), experiment.stranger.model.as_deref())?;
    let base = match &experiment.base {
        BaseConfig::Train(plan) => Some(BaseSource::Train(plan.clone())),
        BaseConfig::Cold(cold) => Some(BaseSource::Cold(cold.clone())),
        BaseConfig::Model(typed) => lookup.model("base.model", typed)?.map(BaseSource::Open),
    };
    match (corpus, teacher, stranger, base, secret) {
        (Some(corpus), Some(teacher), Some(stranger), Some(base), Some(secret)) if lookup.problems.is_empty() => {
            let world = World {
                corpus,
                tokenizer: experiment.tokenizer.clone(),
                optimizer: experiment.optimizer.clone(),
                teacher,
                stranger,
                base,
                marks: experiment.marks.clone(),
                queries: Asking {
                    prompt_tokens: experiment.queries.prompt_tokens,
                    chat: experiment.queries.chat,
                    max_new_tokens: experiment.queries.max_new_tokens,
                    sampling: experiment.queries.sampling,
                    shard_queries: experiment.queries.shard_queries,
                },
                student: experiment.student.clone(),
                audit: experiment.audit.clone(),
                measure: experiment.measure.clone(),
                commitment: secret.commitment(),
                device: None,
            };
            Ok(Resolved {
                name: experiment.name.clone(),
                question: experiment.question.clone(),
                hypothesis: experiment.hypothesis.clone(),
                seeds: experiment.seeds.clone(),
                alpha: experiment.alpha,
                world,
                channels: experiment.distill.clone(),
                budgets: experiment.queries.budgets.clone(),
                secret,
                device: lm::Device::cpu(),
            })
        }
        _ => Err(loaded.errors(lookup.problems).into()),
    }
}

struct Lookup<'a> {
    loaded: &'a Loaded<Experiment>,
    models: &'a Models<'a>,
    problems: Vec<Problem>,
}

impl Lookup<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, mend: impl Into<String>) {
        let path = steps(key).unwrap_or_default();
        self.problems.push(self.loaded.problem(&path, what, mend));
    }

    fn path(&self, key: &str, typed: &str) -> PathBuf {
        self.loaded.path(&steps(key).unwrap_or_default(), typed)
    }

    /// `None` when a problem was noted; mistakes inside a dataset spec are that file's own errors.
    fn corpus(&mut self, corpus: &CorpusConfig) -> Result<Option<CorpusSource>, ConfigErrors> {
        match corpus {
            CorpusConfig::Grammar(typed) => {
                let path = self.path("corpus.grammar", typed);
                if !path.is_file() {
                    let mend = "name a dataset spec; relative paths start beside the `experiments` folder";
                    self.problem("corpus.grammar", format!("no file {}", path.display()), mend);
                    return Ok(None);
                }
                let spec: Loaded<GrammarSpec> = Loaded::read(&path, &[])?;
                if let Err(error) = spec.value.validate() {
                    let at = steps(&error.key).unwrap_or_default();
                    return Err(spec.errors(vec![spec.problem(&at, format!("cannot be: {}", error.value), error.mend)]));
                }
                Ok(Some(CorpusSource::Grammar(spec.value)))
            }
            CorpusConfig::File(file) => {
                let path = self.path("corpus.file.path", &file.path);
                match store::sha256_file(&path) {
                    Ok((_, 0)) => {
                        self.problem("corpus.file.path", format!("{} is empty", path.display()), "name a file with texts")
                    }
                    Ok((sha256, _)) => {
                        return Ok(Some(CorpusSource::File { path, column: file.column.clone(), sha256 }));
                    }
                    Err(error) if path.is_file() => self.problem("corpus.file.path", error.to_string(), ""),
                    Err(_) => {
                        let mend = "name a .txt, .jsonl or .parquet file; relative paths start beside the `experiments` folder";
                        self.problem("corpus.file.path", format!("no file {}", path.display()), mend);
                    }
                }
                Ok(None)
            }
        }
    }

    fn teacher(&mut self) -> anyhow::Result<Option<TeacherSource>> {
        let teacher = &self.loaded.value.teacher;
        let source = self.source("teacher", teacher.train.as_ref(), teacher.model.as_deref())?;
        Ok(source.map(|source| match source {
            ModelSource::Train(plan) => TeacherSource::Train(plan),
            ModelSource::Open(model) => TeacherSource::Open { model, continued: teacher.continued.clone() },
        }))
    }

    fn source(&mut self, key: &str, train: Option<&Pretraining>, model: Option<&str>) -> anyhow::Result<Option<ModelSource>> {
        match (train, model) {
            (Some(plan), _) => Ok(Some(ModelSource::Train(plan.clone()))),
            (None, Some(typed)) => Ok(self.model(&format!("{key}.model"), typed)?.map(ModelSource::Open)),
            (None, None) => Ok(None),
        }
    }

    /// `None` when a problem was noted; what is no mistake in the file, such as a network that failed, is an error.
    fn model(&mut self, key: &str, typed: &str) -> anyhow::Result<Option<ModelDirectory>> {
        let path = self.path(key, typed);
        // what is wrong already is said at once, not after gigabytes
        if !self.problems.is_empty() && self.models.may_fetch(&path, typed) {
            return Ok(None);
        }
        let identified = match self.models.find(&path, typed, None) {
            Ok(found) => identify(found),
            Err(error) if exit::is_refusal(&error) => Err((format!("{error:#}"), String::new())),
            Err(error) => return Err(error.context(format!("`{key}`"))),
        };
        Ok(identified.map_err(|(what, mend)| self.problem(key, what, mend)).ok())
    }

    fn secret(&mut self) -> Option<OwnerSecret> {
        let owner = &self.loaded.value.owner;
        match (&owner.secret, &owner.secret_file) {
            (Some(text), _) => Some(OwnerSecret::public(text, owner.salt.as_deref())),
            (None, Some(typed)) => {
                let path = self.path("owner.secret_file", typed);
                match OwnerSecret::from_file(&path, owner.salt.as_deref()) {
                    Ok(secret) => Some(secret),
                    Err((what, mend)) => {
                        self.problem("owner.secret_file", what, mend);
                        None
                    }
                }
            }
            (None, None) => None,
        }
    }
}
