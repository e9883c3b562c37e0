use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::artifact::Artifact;
use crate::atomic::sync_dir;
use crate::key::Key;
use crate::place::{Place, remove_dir};
use crate::verify::seal;
use crate::watch::Watch;
use crate::{Hash, StoreError};

/// What [`Store::claim`](crate::Store::claim) comes back with.
#[derive(Debug)]
pub enum Claim {
    /// Somebody finished it, and every file is as it was written.
    Ready(Artifact),
    /// It is the caller's to make.
    Mine(Making),
}

/// An artifact under construction: its lock, and an empty directory to fill.
///
/// It may be handed to another thread. Dropped before [`finish`](Self::finish), it takes the directory with it; a kill at
/// any moment frees the lock and leaves nothing that looks finished.
#[derive(Debug)]
pub struct Making {
    // before the lock: fields are dropped in order, and the directory may only be touched under it
    directory: Unfinished,
    place: Place,
    kind: String,
    key: Key,
    hash: Hash,
    watch: Watch,
    _lock: File,
}

impl Making {
    /// `lock` is the held lock of `place`.
    pub(crate) fn new(place: Place, kind: &str, key: &Key, hash: Hash, lock: File, watch: Watch) -> Result<Self, StoreError> {
        place.clear_leftovers()?;
        let directory = Unfinished::new(&place.making)?;
        Ok(Self { directory, place, kind: kind.to_string(), key: key.clone(), hash, watch, _lock: lock })
    }

    /// The directory to fill; empty at first.
    pub fn path(&self) -> &Path {
        &self.place.making
    }

    /// The artifact's name.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// A directory for what is needed to resume (checkpoints): it outlives failures and kills, and goes when the artifact is
    /// finished.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<PathBuf, StoreError> {
        let path = &self.place.scratch;
        fs::create_dir_all(path).map_err(|e| StoreError::io(path, "make the directory", e))?;
        Ok(path.clone())
    }

    /// Flushes every file to the disk, writes the manifest and renames the directory into place, unless something that the store handed out
    /// was changed meanwhile.
    ///
    /// # Errors
    /// When the disk refuses, when nothing or something other than files and directories was made, and [`StoreError::Changed`]; nothing of it
    /// is kept then.
    pub fn finish(self) -> Result<Artifact, StoreError> {
        let place = &self.place;
        self.watch.check()?;
        let (manifest, seen) = seal(&place.making, &self.kind, &self.key)?;
        if place.done.exists() {
            fs::rename(&place.done, &place.damaged).map_err(|e| StoreError::io(&place.done, "move it aside", e))?;
        }
        fs::rename(&place.making, &place.done).map_err(|e| StoreError::io(&place.done, "put it in place", e))?;
        self.directory.keep();
        // a renamed directory leaves its files as they are
        manifest.files.iter().zip(seen).for_each(|(file, seen)| self.watch.put(place.done.join(&file.name), seen));
        sync_dir(&place.parent)?;
        remove_dir(&place.damaged)?;
        remove_dir(&place.scratch)?;
        Ok(Artifact::new(self.place.done, self.hash, manifest))
    }
}

/// Removes the directory when dropped unless kept: a failed `make` (or a panic in it) leaves nothing behind.
#[derive(Debug)]
struct Unfinished {
    path: Option<PathBuf>,
}

impl Unfinished {
    fn new(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir(path).map_err(|e| StoreError::io(path, "make the directory", e))?;
        Ok(Self { path: Some(path.to_path_buf()) })
    }

    fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // already failing for a better reason; what stays is cleared by the next builder
            let _ = remove_dir(path);
        }
    }
}
