//! Why a model could not be had from the hub.

use std::io;
use std::path::{Path, PathBuf};

use super::{ModelName, NameError};
use crate::LoadError;

/// Why a model could not be had from the hub. Every message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not the name of a model.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// It is not in the cache, and cannot be fetched.
    #[error(
        "{name} is not whole in the cache and {why}; where there is a network: `hf download {} --revision {}`, then put the folder \
         {folder} into {}, where it is looked for",
        name.repository(),
        name.revision(),
        cache.display()
    )]
    NotCached {
        /// The model.
        name: ModelName,
        /// Why it cannot be fetched.
        why: String,
        /// The model's folder in the cache.
        folder: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The server did not answer, or answered that it cannot at present.
    #[error("{endpoint} cannot be reached ({why}); try again later")]
    Unreachable {
        /// The server.
        endpoint: String,
        /// What happened.
        why: String,
    },
    /// The server knows no such model, revision or file.
    #[error("{endpoint} has no {what}; check the spelling")]
    NotFound {
        /// The server.
        endpoint: String,
        /// What it does not have.
        what: String,
    },
    /// The server wants to know who asks, or refuses whoever asked.
    #[error(
        "{endpoint} gives no access to {} (status {status}): it is private, gated or does not exist; check the name, accept its \
         licence at {endpoint}/{} if it is gated, and set HF_TOKEN to a token that may read it",
        name.repository(),
        name.repository()
    )]
    NoAccess {
        /// The server.
        endpoint: String,
        /// The model.
        name: ModelName,
        /// HTTP status, 401 or 403.
        status: u16,
    },
    /// All weights are pickles.
    #[error(
        "{name} has its weights only as pickles ({files}), which can run code when read and are refused; take a revision \
         with safetensors, or convert them first"
    )]
    Pickle {
        /// The model.
        name: ModelName,
        /// Their names.
        files: String,
    },
    /// Not a language model in the layout of transformers.
    #[error("{name} has no {missing}; name a model with config.json and model.safetensors (or an adapter in safetensors)")]
    NotAModel {
        /// The model.
        name: ModelName,
        /// What it lacks.
        missing: String,
    },
    /// The server said something that makes no sense here.
    #[error("{url}: {why}; is HF_ENDPOINT a model hub?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The connection broke too often; what came is kept.
    #[error(
        "{name}: {file} broke off at {here} of {bytes} bytes ({why}); what came is kept, and the same command goes on from there"
    )]
    Interrupted {
        /// The model.
        name: ModelName,
        /// The file.
        file: String,
        /// Bytes that are here.
        here: u64,
        /// Bytes of the whole file.
        bytes: u64,
        /// What happened last.
        why: String,
    },
    /// What came is not what the server announced, twice.
    #[error("{name}: {file} came damaged twice ({why}) and was removed; try again, perhaps over another connection")]
    Damaged {
        /// The model.
        name: ModelName,
        /// The file.
        file: String,
        /// How it differs.
        why: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was being done to it, as a verb.
        action: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// Its configuration or the index of its shards cannot be used; its weights were not fetched.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Stopped from outside; what came is kept.
    #[error("stopped while fetching {0}")]
    Cancelled(ModelName),
}

impl HubError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    /// Whether something else must be asked for, or set up otherwise, before trying again can help.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Name(_)
                | Self::Settings(_)
                | Self::NotCached { .. }
                | Self::NotFound { .. }
                | Self::NoAccess { .. }
                | Self::Pickle { .. }
                | Self::NotAModel { .. }
                | Self::Answer { .. }
                | Self::Load(_)
        )
    }
}
