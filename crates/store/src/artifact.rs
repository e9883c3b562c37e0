use std::path::{Path, PathBuf};

use crate::Hash;
use crate::manifest::Manifest;

/// A finished, verified artifact on disk.
#[derive(Debug, Clone)]
pub struct Artifact {
    path: PathBuf,
    hash: Hash,
    manifest: Manifest,
}

impl Artifact {
    pub(crate) fn new(path: PathBuf, hash: Hash, manifest: Manifest) -> Self {
        Self { path, hash, manifest }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of one of its files, by the name the manifest gives it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its name: the hash of what made it.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// What it holds and was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// What [`Store::find`] met.
#[derive(Debug)]
pub enum Found {
    /// Finished, and every file is as it was written.
    Ready(Artifact),
    /// Never finished here.
    Missing,
    /// Something is there, but not what was written; it will be made again.
    Damaged {
        /// What is wrong, naming the file.
        reason: String,
    },
}
