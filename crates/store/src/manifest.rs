use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::Hash;

/// Version of `manifest.json`; a manifest of another version is treated as damage and its artifact made again.
pub const MANIFEST_FORMAT: u32 = 1;

/// What an artifact directory holds and what it was made from; written last, so that its presence means completeness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`] of the writer.
    pub format: u32,
    /// Kind of artifact, which is also its directory's name ("teacher", "transcript" ...).
    pub kind: String,
    /// Revision of the stage that made it.
    pub revision: u32,
    /// Everything it was made from, as hashed.
    pub inputs: serde_json::Value,
    /// Every file, sorted by name.
    pub files: Vec<FileEntry>,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path below the artifact directory, with `/` between its parts.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the content.
    pub sha256: Hash,
}

impl FileEntry {
    /// Whether the name stays below the artifact directory: a damaged manifest must not make us read elsewhere.
    pub(crate) fn is_inside(&self) -> bool {
        !self.name.is_empty() && Path::new(&self.name).components().all(|part| matches!(part, Component::Normal(_)))
    }
}
