use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corpus::GrammarSpec;
use distill::{AttackConfig, DefenceConfig};
use oracle::Sampling;
use serde::Serialize;
use store::{Hash, Seen};

use crate::experiment::{
    AuditConfig, ColdStart, ContinuedTraining, MarksConfig, MeasureConfig, Optimizer, PlantingConfig, Pretraining, StudentConfig,
    TokenizerConfig,
};
use crate::hub::{FoundModel, Origin};

/// Everything that all runs of an experiment share, and that decides their results.
#[derive(Debug, Clone, Serialize)]
pub struct World {
    /// Where texts and prompts come from.
    pub corpus: CorpusSource,
    /// Text to token ids.
    pub tokenizer: TokenizerConfig,
    /// Shared by every training.
    pub optimizer: Optimizer,
    /// The model that is served.
    pub teacher: TeacherSource,
    /// The independent teacher.
    pub stranger: ModelSource,
    /// The student before distillation.
    pub base: BaseSource,
    /// Further open models that marks, defences and attacks may name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelDirectory>,
    /// What is planted and looked for.
    pub marks: MarksConfig,
    /// By mark: the files that decide what it does, as they are named, with the SHA-256 of their content.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mark_files: BTreeMap<String, BTreeMap<String, Hash>>,
    /// How marks get into training data and weights.
    pub planting: PlantingConfig,
    /// What the owner does at the API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub defences: Vec<DefenceConfig>,
    /// What the thief does against marks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attacks: Vec<AttackConfig>,
    /// Answers from outside, in place of asking the teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<TranscriptSource>,
    /// How the thief asks; the budgets are in each run.
    pub queries: Asking,
    /// How a student is trained.
    pub student: StudentConfig,
    /// What the owner asks a suspect.
    pub audit: AuditConfig,
    /// How much is measured.
    pub measure: MeasureConfig,
    /// Commitment to the owner's secret.
    pub commitment: String,
    /// Kind of device that computes, where it is not the CPU: each adds up in an order of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'static str>,
}

/// Where texts and prompts come from, looked up.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CorpusSource {
    /// A seeded grammar, whole: the same spec in another file is the same corpus.
    Grammar(GrammarSpec),
    /// A file, identified by its content.
    File {
        /// Where it is on this machine.
        #[serde(skip)]
        path: PathBuf,
        /// The column that holds the text.
        column: String,
        /// SHA-256 of the file.
        sha256: Hash,
        /// The file as it was when that was computed.
        #[serde(skip)]
        seen: Seen,
    },
}

/// Answers from outside, looked up.
#[derive(Debug, Clone, Serialize)]
pub struct TranscriptSource {
    /// Those of the marked server.
    pub import: TranscriptFile,
    /// Those of the unmarked server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<TranscriptFile>,
}

/// A file of exchanges, identified by its content.
#[derive(Debug, Clone, Serialize)]
pub struct TranscriptFile {
    /// Where it is on this machine.
    #[serde(skip)]
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Hash,
    /// The file as it was when that was computed.
    #[serde(skip)]
    pub seen: Seen,
}

/// A local model directory, identified by the content of its files.
#[derive(Debug, Clone, Serialize)]
pub struct ModelDirectory {
    /// Where it is on this machine.
    #[serde(skip)]
    pub path: PathBuf,
    /// What it was found under on the hub; no part of what it is, which a copy of the files would be too.
    #[serde(skip)]
    pub origin: Option<Origin>,
    /// Files that make the model (configuration, weights, tokenizer), sorted by name.
    pub files: Vec<ModelFile>,
    /// The base of an adapter; `None` for a whole model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<ModelDirectory>>,
}

impl ModelDirectory {
    /// Names what the model computes: its files, and those of its bases.
    ///
    /// # Errors
    /// Never, as names and hashes have canonical JSON.
    pub fn hash(&self) -> Result<Hash, store::StoreError> {
        match &self.base {
            None => store::hash_json(&self.files),
            Some(_) => store::hash_json(self),
        }
    }

    /// The same as a model to load.
    pub fn found(&self) -> FoundModel {
        let base = self.base.as_ref().map(|base| Box::new(base.found()));
        FoundModel { directory: self.path.clone(), origin: self.origin.clone(), base }
    }

    /// The directory that brings the tokenizer: an adapter's own, or one below it.
    pub fn with_tokenizer(&self) -> &Self {
        match &self.base {
            Some(base) if !self.files.iter().any(|file| file.name == "tokenizer.json") => base.with_tokenizer(),
            _ => self,
        }
    }

    /// The whole model below all adapters.
    pub fn root(&self) -> &Self {
        self.base.as_deref().map_or(self, Self::root)
    }

    /// Its files and those of its bases.
    pub fn all_files(&self) -> Vec<&ModelFile> {
        self.files.iter().chain(self.base.iter().flat_map(|base| base.all_files())).collect()
    }

    /// Where it and its bases came from, as far as that was a hub.
    fn origins(&self) -> Vec<&Origin> {
        self.origin.iter().chain(self.base.iter().flat_map(|base| base.origins())).collect()
    }
}

/// A file of a model directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Hash,
    /// Where it is on this machine.
    #[serde(skip)]
    pub path: PathBuf,
    /// The file as it was when its content was hashed.
    #[serde(skip)]
    pub seen: Seen,
}

/// The model that is served.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherSource {
    /// Trained on the corpus.
    Train(Pretraining),
    /// An open model.
    Open {
        /// Where it comes from.
        model: ModelDirectory,
        /// Further training that plants canaries.
        #[serde(skip_serializing_if = "Option::is_none")]
        continued: Option<ContinuedTraining>,
    },
}

/// A model that is trained or brought.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// Trained on the corpus.
    Train(Pretraining),
    /// An open model.
    Open(ModelDirectory),
}

/// The student before distillation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseSource {
    /// Trained a little on the corpus.
    Train(Pretraining),
    /// Freshly initialised.
    Cold(ColdStart),
    /// An open model.
    Open(ModelDirectory),
}

impl World {
    /// Every file from outside that it names, as it was when it was hashed: texts, imported answers, models.
    pub fn files(&self) -> Vec<(&Path, &Seen)> {
        let mut files: Vec<(&Path, &Seen)> = Vec::new();
        if let CorpusSource::File { path, seen, .. } = &self.corpus {
            files.push((path, seen));
        }
        let transcripts = self.transcript.iter().flat_map(|source| [Some(&source.import), source.control.as_ref()]).flatten();
        files.extend(transcripts.map(|file| (&*file.path, &file.seen)));
        let open = self.open_models().into_iter().map(|(_, model)| model);
        files.extend(open.flat_map(ModelDirectory::all_files).map(|file| (&*file.path, &file.seen)));
        files
    }

    /// Rows that the tables of all open models have whose token ids must mean the same: the teacher, the stranger, those of `[models]`.
    ///
    /// # Errors
    /// When a configuration cannot be used.
    pub fn shared_rows(&self) -> Result<usize, lm::LoadError> {
        let teacher = if let TeacherSource::Open { model, .. } = &self.teacher { Some(model) } else { None };
        let stranger = if let ModelSource::Open(model) = &self.stranger { Some(model) } else { None };
        let all = teacher.into_iter().chain(stranger).chain(self.models.values());
        let mut least = usize::MAX;
        for model in all {
            least = least.min(model.found().config()?.vocab_size());
        }
        Ok(least)
    }

    /// What every mark needs.
    pub fn needs(&self) -> impl Iterator<Item = (&String, marks::Needs)> {
        self.marks.iter().filter_map(|(name, entry)| Some((name, entry.config().ok()?.needs())))
    }

    /// Training tokens of the teacher before the first planted text; `None` where no mark plants texts.
    pub fn planted_after(&self) -> Option<u64> {
        let texts = self.needs().any(|(_, needs)| needs.phase == marks::Phase::Data);
        self.planting.canaries_after_tokens.filter(|_| texts)
    }

    /// Names of the models that defences read.
    pub fn models_of_defences(&self) -> Vec<String> {
        self.defences.iter().flat_map(|defence| defence.build().models()).collect()
    }

    /// Names of the models that attacks ask.
    pub fn models_of_attacks(&self) -> Vec<String> {
        self.attacks.iter().flat_map(|attack| attack.build().models()).collect()
    }

    /// What the models of `[models]` called `names` compute, by name; those that are not there are left out.
    ///
    /// # Errors
    /// As [`ModelDirectory::hash`].
    pub fn model_hashes(&self, names: &[String]) -> Result<BTreeMap<String, Hash>, store::StoreError> {
        let there = self.models.iter().filter(|(name, _)| names.contains(name));
        there.map(|(name, model)| Ok((name.clone(), model.hash()?))).collect()
    }

    /// Whether there is a model that learned from the same server without marks. Answers from outside may come without them.
    pub fn has_control(&self) -> bool {
        self.transcript.as_ref().is_none_or(|transcript| transcript.control.is_some())
    }

    /// Label of the defences in records and figures; `None` without any.
    pub fn defence(&self) -> Option<String> {
        let labels: Vec<String> = self.defences.iter().map(|defence| defence.build().label()).collect();
        (!labels.is_empty()).then(|| labels.join(" + "))
    }

    /// Label of the attacks in records and figures; `None` without any.
    pub fn attack(&self) -> Option<String> {
        let labels: Vec<String> = self.attacks.iter().map(|attack| attack.build().label()).collect();
        (!labels.is_empty()).then(|| labels.join(" + "))
    }

    /// The open models, with the keys that name them.
    pub fn open_models(&self) -> Vec<(String, &ModelDirectory)> {
        let teacher = match &self.teacher {
            TeacherSource::Open { model, .. } => Some(model),
            TeacherSource::Train(_) => None,
        };
        let stranger = match &self.stranger {
            ModelSource::Open(model) => Some(model),
            ModelSource::Train(_) => None,
        };
        let base = match &self.base {
            BaseSource::Open(model) => Some(model),
            BaseSource::Train(_) | BaseSource::Cold(_) => None,
        };
        let keyed = [("teacher.model", teacher), ("stranger.model", stranger), ("base.model", base)];
        let keyed = keyed.into_iter().filter_map(|(key, model)| Some((key.to_string(), model?)));
        keyed.chain(self.models.iter().map(|(name, model)| (format!("models.{name}"), model))).collect()
    }

    /// The models that came from the hub, with the keys that named them; an adapter's base under the adapter's key and `.base`.
    pub fn origins(&self) -> Vec<(String, &Origin)> {
        let mut origins = Vec::new();
        for (mut key, model) in self.open_models() {
            for origin in model.origins() {
                origins.push((key.clone(), origin));
                key.push_str(".base");
            }
        }
        origins
    }

    /// Keys of the experiment file that name files and models, with where these are: a path, or `org/name@commit`.
    pub fn places(&self) -> Vec<(String, PathBuf)> {
        let mut places = Vec::new();
        if let CorpusSource::File { path, .. } = &self.corpus {
            places.push(("corpus.file.path".to_string(), path.clone()));
        }
        if let Some(transcript) = &self.transcript {
            places.push(("transcript.import".into(), transcript.import.path.clone()));
            places.extend(transcript.control.iter().map(|control| ("transcript.control".into(), control.path.clone())));
        }
        let place = |model: &ModelDirectory| match &model.origin {
            Some(Origin { name, commit, .. }) => PathBuf::from(format!("{name}@{commit}")),
            None => model.path.clone(),
        };
        places.extend(self.open_models().into_iter().map(|(key, model)| (key, place(model))));
        places
    }
}

/// How the thief asks.
#[derive(Debug, Clone, Serialize)]
pub struct Asking {
    /// Tokens of corpus text that each query opens with.
    pub prompt_tokens: usize,
    /// Whether questions are put in the teacher's chat template.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub chat: bool,
    /// The day that the template shows, if it shows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<String>,
    /// Accounts that the thief asks through, in turn.
    #[serde(skip_serializing_if = "is_one")]
    pub accounts: u32,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// How answers are drawn.
    pub sampling: Sampling,
    /// Queries in a shard of the transcript.
    pub shard_queries: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(accounts: &u32) -> bool {
    *accounts == 1
}

impl Asking {
    /// Tokens of a whole exchange, prompt and longest answer (a chat template's own left out): the row length of distillation.
    pub fn row_tokens(&self) -> usize {
        self.prompt_tokens + self.max_new_tokens
    }
}
