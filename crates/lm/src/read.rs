//! Why a model directory could not be loaded.

use std::path::PathBuf;

use oracle::ConfigError;

/// Why a model directory could not be loaded. Messages name file, key and value, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory is not there.
    #[error("{path}: not found; {remedy}")]
    Missing {
        /// What is not there.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A file where a model directory should be.
    #[error("{path}: is a file; {remedy}")]
    NotADirectory {
        /// What was given.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// Something else than a plain file where one should be.
    #[error("{path}: {what}; put a file of the model in its place, or take it away")]
    NotAFile {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A link to a file that is none of the model's, whose content would be passed on with the model.
    #[error(
        "{path}: is a symbolic link to {target}, which is no file of this model: its content would be copied into models that are made from \
         it; put a copy of the right file in its place, or remove the link"
    )]
    LinkedAway {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A pointer of Git LFS or Xet in the place of the file.
    #[error(
        "{path}: is a Git LFS pointer, not the file{of} that it stands for; fetch that with `git lfs pull` in the repository, or download the \
         file again"
    )]
    Pointer {
        /// The file.
        path: PathBuf,
        /// ` of N bytes`, where the pointer says so.
        of: String,
    },
    /// A pickle file; unpickling runs code, so none is ever opened further than its first bytes.
    #[error("{path}: is a pickle checkpoint, which can run code when read and is refused; convert it to safetensors first")]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{path}: not a valid safetensors file: {why}; fetch or convert the checkpoint again")]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Not a GGUF file, or a damaged one.
    #[error("{path}: not a valid GGUF file: {why}; fetch the file again")]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A GGUF file, or a directory of them, that is not read.
    #[error("{path}: {why}")]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// A file that should be JSON is not.
    #[error("{path}: not valid JSON for a model directory: {why}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The configuration is incomplete, out of range, or asks for something unsupported.
    #[error("{path}: {error}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Key, value and what to write.
        error: ConfigError,
    },
    /// An architecture that is not registered.
    #[error("{path}: `model_type` is \"{found}\": unknown architecture; known are: {known}")]
    UnknownArchitecture {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// All registered ones.
        known: String,
    },
    /// A tensor that the configuration promises is absent, superfluous, or of another shape or type.
    #[error("{path}: tensor `{name}` {why}; config.json and checkpoint do not belong together")]
    Tensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor with values that are no numbers.
    #[error("{path}: tensor `{name}` is {why}; every weight must be a finite number: fetch or make the checkpoint again")]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Which value where.
        why: String,
    },
    /// A whole model and an adapter in one directory.
    #[error("{path}: holds a whole model ({whole}) and an adapter; move the one that is not meant away")]
    TwoModels {
        /// The directory.
        path: PathBuf,
        /// The model's file.
        whole: String,
    },
    /// A tensor of an adapter that its configuration or its base does not ask for, or one that they ask for and that is absent.
    #[error("{path}: tensor `{name}` {why}; adapter_config.json, adapter and base do not belong together")]
    Adapter {
        /// The adapter's weights.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of reference values that cannot be compared with.
    #[error("{path}: tensor `{name}` {why}")]
    Reference {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The tokenizer cannot be used.
    #[error("{path}: {why}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
