use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use corpus::GrammarSpec;
use store::Hash;

use super::model_directory::identify;
use super::{
    Asking, BaseSource, CorpusSource, ModelDirectory, ModelSource, Resolved, TeacherSource, TranscriptFile, TranscriptSource,
    World,
};
use crate::config_error::{ConfigErrors, Problem};
use crate::document::steps;
use crate::exit::{self, NotHereYet, WillBeFetched};
use crate::experiment::{BaseConfig, CorpusConfig, Experiment, Pretraining, TranscriptConfig};
use crate::hub::Models;
use crate::loaded::Loaded;
use crate::places::SecretPlace;
use crate::secret::OwnerSecret;

/// Looks everything up. Reads dataset specs, hashes model and text files, and has `models` find those that are named; loads no
/// weights.
///
/// # Errors
/// As [`ConfigErrors`] every path that leads nowhere, every dataset spec that is wrong, a secret file that others can read;
/// otherwise what kept a model from being fetched, or that this was stopped.
pub fn resolve(loaded: &Loaded<Experiment>, models: &Models<'_>) -> anyhow::Result<Resolved> {
    resolve_with(loaded, models, &mut Seen::default())
}

/// What was looked up for other points of the same grid.
#[derive(Default)]
pub(super) struct Seen {
    specs: HashMap<PathBuf, GrammarSpec>,
    files: HashMap<PathBuf, store::Seen>,
    models: HashMap<(PathBuf, String), ModelDirectory>,
}

impl Seen {
    /// Has the dataset spec at `path` looked up already.
    pub(super) fn put_spec(&mut self, path: PathBuf, spec: GrammarSpec) {
        self.specs.insert(path, spec);
    }
}

/// As [`resolve`]; nothing in `seen` is read again.
pub(super) fn resolve_with(loaded: &Loaded<Experiment>, models: &Models<'_>, seen: &mut Seen) -> anyhow::Result<Resolved> {
    let experiment = &loaded.value;
    let mut lookup = Lookup { loaded, models, seen, problems: Vec::new(), to_fetch: Vec::new() };
    let corpus = lookup.corpus(&experiment.corpus)?;
    lookup.left_out(corpus.as_ref());
    let transcript = experiment.transcript.as_ref().and_then(|transcript| lookup.transcript(transcript));
    let secret = lookup.secret();
    let teacher = lookup.teacher()?;
    let stranger = lookup.source("stranger", experiment.stranger.train.as_ref(), experiment.stranger.model.as_deref())?;
    let base = match &experiment.base {
        BaseConfig::Train(plan) => Some(BaseSource::Train(plan.clone())),
        BaseConfig::Cold(cold) => Some(BaseSource::Cold(cold.clone())),
        BaseConfig::Model(typed) => lookup.model("base.model", typed)?.map(BaseSource::Open),
    };
    let models = lookup.named_models()?;
    let mark_files = lookup.mark_files();
    match (corpus, teacher, stranger, base, secret) {
        (Some(corpus), Some(teacher), Some(stranger), Some(base), Some((secret, secret_place)))
            if lookup.problems.is_empty() && lookup.to_fetch.is_empty() =>
        {
            let world = World {
                corpus,
                tokenizer: experiment.tokenizer.clone(),
                optimizer: experiment.optimizer.clone(),
                teacher,
                stranger,
                base,
                models,
                marks: experiment.marks.clone(),
                mark_files,
                planting: experiment.planting.clone(),
                defences: experiment.defences.clone(),
                attacks: experiment.attacks.clone(),
                transcript,
                queries: Asking {
                    prompt_tokens: experiment.queries.prompt_tokens,
                    chat: experiment.queries.chat,
                    chat_date: experiment.queries.chat_date.clone(),
                    accounts: experiment.queries.accounts,
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
                primary: experiment.primary.clone(),
                marks_apart: experiment.marks_apart.clone(),
                world,
                channels: experiment.distill.clone(),
                budgets: experiment.queries.budgets.clone(),
                expect: experiment.expect.clone(),
                secret,
                root: loaded.base(),
                secret_place,
                device: lm::Device::cpu(),
            })
        }
        _ if lookup.problems.is_empty() && !lookup.to_fetch.is_empty() => {
            Err(NotHereYet { name: experiment.name.clone(), models: lookup.to_fetch }.into())
        }
        _ => Err(loaded.errors(lookup.problems).into()),
    }
}

struct Lookup<'a> {
    loaded: &'a Loaded<Experiment>,
    models: &'a Models<'a>,
    seen: &'a mut Seen,
    problems: Vec<Problem>,
    /// Keys of models that a run will fetch, with what is to be said of each.
    to_fetch: Vec<(String, String)>,
}

impl Lookup<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let path = steps(key).unwrap_or_default();
        self.problems.push(self.loaded.problem(&path, what, remedy));
    }

    fn path(&self, key: &str, typed: &str) -> PathBuf {
        self.loaded.path(&steps(key).unwrap_or_default(), typed)
    }

    /// `None` when a problem was noted; mistakes inside a dataset spec are that file's own errors.
    fn corpus(&mut self, corpus: &CorpusConfig) -> Result<Option<CorpusSource>, ConfigErrors> {
        match corpus {
            CorpusConfig::Grammar(typed) => {
                let path = self.path("corpus.grammar", typed);
                if let Some(spec) = self.seen.specs.get(&path) {
                    return Ok(Some(CorpusSource::Grammar(spec.clone())));
                }
                if let Some(why) = store::why_no_file(&path) {
                    let remedy = "name a dataset spec; relative paths start beside the `experiments` folder";
                    self.problem("corpus.grammar", why, remedy);
                    return Ok(None);
                }
                let spec: Loaded<GrammarSpec> = Loaded::read(&path, &[])?;
                if let Err(error) = spec.value.validate() {
                    let at = steps(&error.key).unwrap_or_default();
                    return Err(spec.errors(vec![spec.problem(&at, format!("cannot be: {}", error.value), error.remedy)]));
                }
                self.seen.specs.insert(path, spec.value.clone());
                Ok(Some(CorpusSource::Grammar(spec.value)))
            }
            CorpusConfig::File(file) => {
                let found = self.file("corpus.file.path", &file.path, "a .txt, .jsonl or .parquet file", "texts");
                let source = |(path, seen): (PathBuf, store::Seen)| CorpusSource::File {
                    path,
                    column: file.column.clone(),
                    sha256: seen.sha256,
                    seen,
                };
                Ok(found.map(source))
            }
        }
    }

    /// That the corpus has the kinds of text which some models never see.
    fn left_out(&mut self, corpus: Option<&CorpusSource>) {
        let experiment = &self.loaded.value;
        let base = if let BaseConfig::Train(plan) = &experiment.base { Some(plan) } else { None };
        let trainings = [
            ("teacher.train", experiment.teacher.train.as_ref()),
            ("stranger.train", experiment.stranger.train.as_ref()),
            ("base.train", base),
        ];
        for (key, plan) in trainings {
            let Some(left_out) = plan.map(|plan| &plan.leave_out).filter(|left_out| !left_out.is_empty()) else { continue };
            let key = format!("{key}.leave_out");
            match corpus {
                Some(CorpusSource::Grammar(spec)) => {
                    if let Err(error) = spec.without(left_out) {
                        self.problem(&format!("{key}{}", error.key), "cannot be left out", error.remedy);
                    }
                }
                Some(CorpusSource::File { .. }) => self.problem(&key, "the texts of a file have no kinds", "drop it"),
                None => {}
            }
        }
    }

    /// Where `kind` of file with `content` is, and the file as it was read; `None` when a problem was noted.
    fn file(&mut self, key: &str, typed: &str, kind: &str, content: &str) -> Option<(PathBuf, store::Seen)> {
        let path = self.path(key, typed);
        if let Some(seen) = self.seen.files.get(&path) {
            return Some((path, seen.clone()));
        }
        if let Some(why) = store::why_no_file(&path) {
            let remedy = format!("name {kind}; relative paths start beside the `experiments` folder");
            self.problem(key, why, remedy);
            return None;
        }
        match store::Seen::read(&path) {
            Ok(seen) if seen.bytes == 0 => {
                self.problem(key, format!("{} is empty", path.display()), format!("name a file with {content}"));
                None
            }
            Ok(seen) => {
                self.seen.files.insert(path.clone(), seen.clone());
                Some((path, seen))
            }
            Err(error) => {
                self.problem(key, error.to_string(), "");
                None
            }
        }
    }

    /// `None` when a problem was noted.
    fn transcript(&mut self, transcript: &TranscriptConfig) -> Option<TranscriptSource> {
        let mut file = |key, typed: &str| {
            let found = self.file(key, typed, "a .jsonl or .parquet file of exchanges", "exchanges");
            found.map(|(path, seen)| TranscriptFile { path, sha256: seen.sha256, seen })
        };
        let import = file("transcript.import", &transcript.import)?;
        let control = match &transcript.control {
            Some(typed) => Some(file("transcript.control", typed)?),
            None => None,
        };
        if control.as_ref().is_some_and(|control| control.sha256 == import.sha256) {
            let remedy = "name answers of the unmarked server, or drop it: no mark is proven then";
            self.problem("transcript.control", "the same content as transcript.import", remedy);
        }
        Some(TranscriptSource { import, control })
    }

    fn teacher(&mut self) -> anyhow::Result<Option<TeacherSource>> {
        let teacher = &self.loaded.value.teacher;
        let source = self.source("teacher", teacher.train.as_ref(), teacher.model.as_deref())?;
        Ok(source.map(|source| match source {
            ModelSource::Train(plan) => TeacherSource::Train(plan),
            ModelSource::Open(model) => TeacherSource::Open { model, continued: teacher.continued.clone() },
        }))
    }

    fn named_models(&mut self) -> anyhow::Result<BTreeMap<String, ModelDirectory>> {
        let mut found = BTreeMap::new();
        for (name, typed) in &self.loaded.value.models {
            if let Some(model) = self.model(&format!("models.{name}"), typed)? {
                found.insert(name.clone(), model);
            }
        }
        Ok(found)
    }

    /// Hashes the files that marks name; a word that names none is just a word.
    fn mark_files(&mut self) -> BTreeMap<String, BTreeMap<String, Hash>> {
        let root = self.loaded.base();
        let mut all = BTreeMap::new();
        for (name, entry) in &self.loaded.value.marks {
            let mut files = BTreeMap::new();
            for word in entry.config().map(|config| config.needs().files).unwrap_or_default() {
                let path = root.join(&word);
                if !path.is_file() {
                    continue;
                }
                match store::sha256_file(&path) {
                    Ok((sha256, _)) => {
                        files.insert(word, sha256);
                    }
                    Err(error) => self.problem(&format!("marks.{name}"), error.to_string(), "let this user read the file"),
                }
            }
            if !files.is_empty() {
                all.insert(name.clone(), files);
            }
        }
        all
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
        let name = (path.clone(), typed.to_string());
        if let Some(model) = self.seen.models.get(&name) {
            return Ok(Some(model.clone()));
        }
        // what is wrong already is said at once, not after gigabytes
        if !self.problems.is_empty() && self.models.may_fetch(&path, typed) {
            return Ok(None);
        }
        let identified = match self.models.find(&path, typed, None) {
            Ok(found) => identify(found),
            Err(error) if error.is::<WillBeFetched>() => {
                self.to_fetch.push((key.to_string(), format!("{error:#}")));
                return Ok(None);
            }
            Err(error) if exit::is_refusal(&error) => Err((format!("{error:#}"), String::new())),
            Err(error) => return Err(error.context(format!("`{key}`"))),
        };
        let model = identified.map_err(|(what, remedy)| self.problem(key, what, remedy)).ok();
        if let Some(model) = &model {
            self.seen.models.insert(name, model.clone());
        }
        Ok(model)
    }

    fn secret(&mut self) -> Option<(OwnerSecret, SecretPlace)> {
        let owner = &self.loaded.value.owner;
        match (&owner.secret, &owner.secret_file) {
            (Some(text), _) => {
                let typed = steps("owner.secret").is_some_and(|path| self.loaded.is_from_flag(&path));
                let place = if typed { SecretPlace::Flag } else { SecretPlace::TypedIn(self.loaded.file.clone()) };
                Some((OwnerSecret::public(text, owner.salt.as_deref()), place))
            }
            (None, Some(typed)) => {
                let path = self.path("owner.secret_file", typed);
                match OwnerSecret::from_file(&path, owner.salt.as_deref()) {
                    Ok(secret) => Some((secret, SecretPlace::File(path))),
                    Err((what, remedy)) => {
                        self.problem("owner.secret_file", what, remedy);
                        None
                    }
                }
            }
            (None, None) => None,
        }
    }
}
