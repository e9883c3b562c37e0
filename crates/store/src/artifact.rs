use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;

use crate::atomic::sync_dir;
use crate::manifest::{FileEntry, MANIFEST_FORMAT, Manifest};
use crate::{Hash, StoreError, canonical_json, hash_json, sha256_file};

const MANIFEST: &str = "manifest.json";
const LOCK_POLL: std::time::Duration = std::time::Duration::from_millis(50);

/// What an artifact is made from. Two keys are one artifact exactly when kind, revision and inputs are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Revision of the stage that makes it: raised whenever the same inputs give other bytes.
    pub revision: u32,
    /// Everything else the bytes depend on, hashes of other artifacts included.
    pub inputs: Value,
}

impl Key {
    /// A key over any serializable inputs.
    ///
    /// # Errors
    /// [`StoreError::NotCanonical`], as [`canonical_json`].
    pub fn new(revision: u32, inputs: &impl Serialize) -> Result<Self, StoreError> {
        canonical_json(inputs)?;
        let inputs = serde_json::to_value(inputs).map_err(|e| StoreError::NotCanonical(e.to_string()))?;
        Ok(Self { revision, inputs })
    }

    /// The artifact's name: SHA-256 over (kind, revision, inputs).
    ///
    /// # Errors
    /// [`StoreError::NotCanonical`], as [`canonical_json`].
    pub fn hash(&self, kind: &str) -> Result<Hash, StoreError> {
        hash_json(&(kind, self.revision, &self.inputs))
    }
}

/// A finished, verified artifact on disk.
#[derive(Debug, Clone)]
pub struct Artifact {
    path: PathBuf,
    hash: Hash,
    manifest: Manifest,
}

impl Artifact {
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

/// Artifacts under one root: `root/<kind>/<hash>/`, with a lock file `.<hash>.lock` and, while one is being made, a
/// directory `.<hash>.making` beside it.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    cancelled: Arc<AtomicBool>,
}

impl Store {
    /// Opens a store, making its directory, and removes what dead processes left half made.
    ///
    /// # Errors
    /// When the directory cannot be made, read or written.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), cancelled: Arc::default() };
        fs::create_dir_all(&store.root).map_err(|e| StoreError::io(&store.root, "make the directory", e))?;
        store.remove_leftovers()?;
        Ok(store)
    }

    /// The same store, which gives up waiting for another process once `cancelled` is set.
    #[must_use]
    pub fn cancelled_by(self, cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled, ..self }
    }

    /// The directory everything lies under.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the artifact of `key` lies, finished or not.
    ///
    /// # Errors
    /// [`StoreError::NotCanonical`], as [`canonical_json`].
    pub fn location(&self, kind: &str, key: &Key) -> Result<PathBuf, StoreError> {
        Ok(self.root.join(kind).join(key.hash(kind)?.hex()))
    }

    /// A directory for what an unfinished artifact needs to resume (checkpoints). It outlives failures and kills, and
    /// is removed when the artifact is finished. Only whoever makes the artifact should write here, from inside
    /// [`build`](Self::build), which holds the lock.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self, kind: &str, key: &Key) -> Result<PathBuf, StoreError> {
        let place = Place::of(&self.root.join(kind), key.hash(kind)?);
        fs::create_dir_all(&place.scratch).map_err(|e| StoreError::io(&place.scratch, "make the directory", e))?;
        Ok(place.scratch)
    }

    /// Looks for an artifact, reading every byte of it: the size and SHA-256 of each file must be as in its manifest.
    ///
    /// # Errors
    /// When the system refuses to let us look; damage is not an error but [`Found::Damaged`].
    pub fn find(&self, kind: &str, key: &Key) -> Result<Found, StoreError> {
        let hash = key.hash(kind)?;
        verify(&Place::of(&self.root.join(kind), hash), kind, key, hash)
    }

    /// Makes the artifact of `key` unless it is there already, and returns it.
    ///
    /// `make` fills an empty directory. It runs under the artifact's lock, so of two processes that want the same
    /// artifact the second waits and then finds it. Files are flushed to the disk and the directory renamed into
    /// place after its manifest is written: a kill at any moment leaves nothing that looks finished.
    ///
    /// # Errors
    /// The error of `make`, unchanged; or a [`StoreError`] ([`trouble`](crate::trouble) finds either kind of full disk).
    pub fn build(&self, kind: &str, key: &Key, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Artifact> {
        self.get_or_build(kind, key, make, &mut |_| {})
    }

    /// As [`build`](Self::build), telling `note` in a line of words what it waits for, found, or must make again.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn get_or_build(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
        note: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Artifact> {
        let hash = key.hash(kind)?;
        let name = format!("{kind} {}", hash.short());
        let parent = self.root.join(kind);
        let place = Place::of(&parent, hash);
        if let Found::Ready(artifact) = verify(&place, kind, key, hash)? {
            return Ok(artifact);
        }
        fs::create_dir_all(&parent).map_err(|e| StoreError::io(&parent, "make the directory", e))?;
        let _lock = self.lock(&place, &mut || note(&format!("{name}: another process is making it, waiting")))?;
        match verify(&place, kind, key, hash)? {
            Found::Ready(artifact) => return Ok(artifact),
            Found::Damaged { reason } => note(&format!("{name}: {reason}; making it again")),
            Found::Missing => {}
        }
        place.clear_leftovers()?;
        let making = Unfinished::new(&place.making)?;
        make(&place.making)?;
        let manifest = seal(&place.making, kind, key)?;
        if place.done.exists() {
            fs::rename(&place.done, &place.damaged).map_err(|e| StoreError::io(&place.done, "move it aside", e))?;
        }
        fs::rename(&place.making, &place.done).map_err(|e| StoreError::io(&place.done, "put it in place", e))?;
        making.keep();
        sync_dir(&parent)?;
        remove_dir(&place.damaged)?;
        remove_dir(&place.scratch)?;
        Ok(Artifact { path: place.done, hash, manifest })
    }

    fn lock(&self, place: &Place, waiting: &mut dyn FnMut()) -> Result<File, StoreError> {
        let wrong = |source| StoreError::io(&place.lock, "lock it", source);
        let file = File::options().create(true).append(true).open(&place.lock).map_err(wrong)?;
        let mut told = false;
        // polled rather than blocked on, so that Ctrl-C ends the wait
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(source)) => return Err(wrong(source)),
                Err(fs::TryLockError::WouldBlock) => {}
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(StoreError::Cancelled { path: place.done.clone() });
            }
            if !told {
                waiting();
                told = true;
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// A half-made directory belongs to a dead process exactly when its lock can be taken.
    fn remove_leftovers(&self) -> Result<(), StoreError> {
        for kind in entries(&self.root)?.into_iter().filter(|path| path.is_dir()) {
            for path in entries(&kind)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let hash = name.strip_prefix('.').and_then(|rest| rest.split_once('.')).map(|(hash, _)| hash);
                let Some(Ok(hash)) = hash.map(str::parse::<Hash>) else { continue };
                if name.ends_with(".lock") || name.ends_with(".partial") {
                    continue;
                }
                let place = Place::of(&kind, hash);
                let lock = File::options().create(true).append(true).open(&place.lock);
                let lock = lock.map_err(|e| StoreError::io(&place.lock, "lock it", e))?;
                if lock.try_lock().is_ok() {
                    place.clear_leftovers()?;
                }
            }
        }
        Ok(())
    }
}

/// Every path that belongs to one artifact.
struct Place {
    done: PathBuf,
    making: PathBuf,
    damaged: PathBuf,
    scratch: PathBuf,
    lock: PathBuf,
}

impl Place {
    fn of(parent: &Path, hash: Hash) -> Self {
        let beside = |suffix: &str| parent.join(format!(".{hash}.{suffix}"));
        Self {
            done: parent.join(hash.hex()),
            making: beside("making"),
            damaged: beside("damaged"),
            scratch: beside("partial"),
            lock: beside("lock"),
        }
    }

    /// Only under the lock.
    fn clear_leftovers(&self) -> Result<(), StoreError> {
        remove_dir(&self.making)?;
        remove_dir(&self.damaged)
    }
}

/// Removes the directory when dropped unless kept: a failed `make` (or a panic in it) leaves nothing behind.
struct Unfinished<'a> {
    path: Option<&'a Path>,
}

impl<'a> Unfinished<'a> {
    fn new(path: &'a Path) -> Result<Self, StoreError> {
        fs::create_dir(path).map_err(|e| StoreError::io(path, "make the directory", e))?;
        Ok(Self { path: Some(path) })
    }

    fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.path {
            // already failing for a better reason; what stays is cleared by the next builder
            let _ = remove_dir(path);
        }
    }
}

fn remove_dir(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path, "remove it", e)),
        _ => Ok(()),
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let wrong = |e| StoreError::io(dir, "list the directory", e);
    let mut paths =
        fs::read_dir(dir).map_err(wrong)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    paths.sort();
    Ok(paths)
}

/// Flushes every file, then writes the manifest, which makes the directory complete.
fn seal(dir: &Path, kind: &str, key: &Key) -> Result<Manifest, StoreError> {
    let mut files = Vec::new();
    collect(dir, "", &mut files)?;
    let manifest =
        Manifest { format: MANIFEST_FORMAT, kind: kind.to_string(), revision: key.revision, inputs: key.inputs.clone(), files };
    crate::write_atomic(&dir.join(MANIFEST), &canonical_json(&manifest)?)?;
    Ok(manifest)
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<FileEntry>) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let refuse = |reason| StoreError::NotAFile { path: path.clone(), reason };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| refuse("its name is not UTF-8"))?;
        let name = format!("{prefix}{name}");
        if name == MANIFEST {
            return Err(refuse("an artifact's own files may not be called manifest.json"));
        }
        let kind = fs::symlink_metadata(&path).map_err(|e| StoreError::io(&path, "look at it", e))?.file_type();
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if kind.is_file() {
            let file = File::open(&path).map_err(|e| StoreError::io(&path, "open it", e))?;
            file.sync_all().map_err(|e| StoreError::io(&path, "flush it to the disk", e))?;
            let (sha256, bytes) = sha256_file(&path)?;
            files.push(FileEntry { name, bytes, sha256 });
        } else {
            return Err(refuse("an artifact holds plain files and directories only"));
        }
    }
    sync_dir(dir)
}

fn verify(place: &Place, kind: &str, key: &Key, hash: Hash) -> Result<Found, StoreError> {
    let damaged = |name: &str, what: &str| Ok(Found::Damaged { reason: format!("{}: {what}", place.done.join(name).display()) });
    if !place.done.exists() {
        return Ok(Found::Missing);
    }
    let path = place.done.join(MANIFEST);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return damaged(MANIFEST, "is missing"),
        Err(e) => return Err(StoreError::io(&path, "read it", e)),
    };
    let value: Value = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(_) => return damaged(MANIFEST, "is not JSON"),
    };
    // looked at before the rest: another version may have other fields
    if value.get("format") != Some(&MANIFEST_FORMAT.into()) {
        return damaged(MANIFEST, &format!("is not of format {MANIFEST_FORMAT}"));
    }
    let files = match serde_json::from_value::<Manifest>(value) {
        Ok(manifest) => manifest.files,
        Err(e) => return damaged(MANIFEST, &format!("is not a manifest ({e})")),
    };
    // as bytes, not as values: a parsed float may be one unit in the last place off, and any flipped bit shows
    let manifest =
        Manifest { format: MANIFEST_FORMAT, kind: kind.to_string(), revision: key.revision, inputs: key.inputs.clone(), files };
    if canonical_json(&manifest)? != text {
        return damaged(MANIFEST, "is not the manifest of what its directory's name stands for");
    }
    for entry in &manifest.files {
        if !entry.is_inside() {
            return damaged(MANIFEST, &format!("names a file outside its directory, `{}`", entry.name));
        }
        let path = place.done.join(&entry.name);
        let bytes = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return damaged(&entry.name, "is missing"),
            Err(e) => return Err(StoreError::io(&path, "look at it", e)),
        };
        if bytes != entry.bytes {
            return damaged(&entry.name, &format!("has {bytes} bytes instead of {}", entry.bytes));
        }
        if sha256_file(&path)?.0 != entry.sha256 {
            return damaged(&entry.name, "has changed since it was written (SHA-256 differs)");
        }
    }
    Ok(Found::Ready(Artifact { path: place.done.clone(), hash, manifest }))
}
