use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::artifact::{Artifact, Found};
use crate::key::Key;
use crate::making::{Claim, Making};
use crate::own::open_own;
use crate::place::Place;
use crate::stamp::Seen;
use crate::verify::{Verified, entries, verify};
use crate::watch::Watch;
use crate::{Hash, StoreError};

const LOCK_POLL: std::time::Duration = std::time::Duration::from_millis(50);

/// Artifacts under one root: `root/<kind>/<hash>/`, with a lock file `.<hash>.lock` and, while one is being made, a
/// directory `.<hash>.making` beside it.
///
/// What the store hands out is read later and by others, so it also watches over it: nothing is finished once a file of an artifact that was
/// handed out has changed ([`check`](Self::check)). Clones watch over the same files.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    cancelled: Arc<AtomicBool>,
    offline: bool,
    watch: Watch,
}

impl Store {
    /// Opens a store, making its directory, and removes what dead processes left half made.
    ///
    /// # Errors
    /// When the directory cannot be made, read or written.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), cancelled: Arc::default(), offline: false, watch: Watch::default() };
        fs::create_dir_all(&store.root).map_err(|e| StoreError::io(&store.root, "make the directory", e))?;
        store.remove_leftovers()?;
        Ok(store)
    }

    /// A store in which nothing is made or removed, so that it may lie where nobody can write: whoever wants an artifact
    /// that is not there as it was written gets [`StoreError::NotMade`].
    pub fn offline(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cancelled: Arc::default(), offline: true, watch: Watch::default() }
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
    /// [`StoreError::NotCanonical`], as [`canonical_json`](crate::canonical_json).
    pub fn location(&self, kind: &str, key: &Key) -> Result<PathBuf, StoreError> {
        Ok(self.root.join(kind).join(key.hash(kind)?.hex()))
    }

    /// Looks for an artifact, reading every byte of it: the size and SHA-256 of each file must be as in its manifest.
    ///
    /// # Errors
    /// When the system refuses to let us look; damage is not an error but [`Found::Damaged`].
    pub fn find(&self, kind: &str, key: &Key) -> Result<Found, StoreError> {
        let hash = key.hash(kind)?;
        self.look(&Place::of(&self.root.join(kind), hash), kind, key, hash)
    }

    /// Refuses to go on when a file that was handed out since [`forget`](Self::forget) has been changed: what was made from it may be wrong.
    /// To be asked before anything is kept that was made from artifacts; [`Making::finish`] does so itself.
    ///
    /// # Errors
    /// [`StoreError::Changed`], naming the file.
    pub fn check(&self) -> Result<(), StoreError> {
        self.watch.check()
    }

    /// Watches over `path` too, a file from elsewhere that was `seen` when it was read.
    pub fn watch(&self, path: &Path, seen: &Seen) {
        self.watch.put(path.to_path_buf(), seen.clone());
    }

    /// Lets go of all that was handed out: nothing of it is in use any more.
    pub fn forget(&self) {
        self.watch.clear();
    }

    fn look(&self, place: &Place, kind: &str, key: &Key, hash: Hash) -> Result<Found, StoreError> {
        Ok(match verify(place, kind, key, hash)? {
            Verified::Ready(artifact, seen) => {
                seen.into_iter().try_for_each(|(path, seen)| self.watch.add(path, seen))?;
                Found::Ready(artifact)
            }
            Verified::Missing => Found::Missing,
            Verified::Damaged { reason } => Found::Damaged { reason },
        })
    }

    /// Gives the caller the task of making the artifact of `key`, unless it is there already.
    ///
    /// Of two that want the same artifact, in one process or two, the second waits until the first is done and then finds
    /// it (so a thread that claims what it is making itself waits for ever). `note` is told in a line of words what is
    /// waited for, or was found damaged and must be made again.
    ///
    /// # Errors
    /// When the system refuses, the wait is cancelled, the store is [`offline`](Self::offline) and has it not, or as [`check`](Self::check).
    pub fn claim(&self, kind: &str, key: &Key, note: &mut dyn FnMut(&str)) -> Result<Claim, StoreError> {
        let hash = key.hash(kind)?;
        let name = format!("{kind} {}", hash.short());
        let parent = self.root.join(kind);
        let place = Place::of(&parent, hash);
        let found = self.look(&place, kind, key, hash)?;
        if self.offline {
            return match found {
                Found::Ready(artifact) => Ok(Claim::Ready(artifact)),
                Found::Damaged { reason } => Err(StoreError::NotMade { reason }),
                Found::Missing => Err(StoreError::NotMade { reason: format!("{}: is not there", place.done.display()) }),
            };
        }
        if let Found::Ready(artifact) = found {
            place.clear_outlived_scratch()?;
            return Ok(Claim::Ready(artifact));
        }
        fs::create_dir_all(&parent).map_err(|e| StoreError::io(&parent, "make the directory", e))?;
        let lock = self.lock(&place, &mut || note(&format!("{name}: another process is making it, waiting")))?;
        match self.look(&place, kind, key, hash)? {
            Found::Ready(artifact) => return Ok(Claim::Ready(artifact)),
            Found::Damaged { reason } => note(&format!("{name}: {reason}; making it again")),
            Found::Missing => {}
        }
        // work that could not be kept is not begun: one that was handed out and is damaged now may have been read as it is
        self.check()?;
        Ok(Claim::Mine(Making::new(place, kind, key, hash, lock, self.watch.clone())?))
    }

    /// Makes the artifact of `key` unless it is there already, and returns it: [`claim`](Self::claim), `make`,
    /// [`finish`](Making::finish).
    ///
    /// # Errors
    /// The error of `make`, unchanged; or a [`StoreError`] ([`trouble`](crate::trouble) finds either kind of full disk).
    pub fn get_or_build(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Making) -> anyhow::Result<()>,
        note: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Artifact> {
        match self.claim(kind, key, note)? {
            Claim::Ready(artifact) => Ok(artifact),
            Claim::Mine(making) => {
                make(&making)?;
                Ok(making.finish()?)
            }
        }
    }

    fn lock(&self, place: &Place, waiting: &mut dyn FnMut()) -> Result<File, StoreError> {
        let wrong = |source| StoreError::io(&place.lock, "lock it", source);
        let file = open_own(&place.lock)?;
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
                let lock = open_own(&place.lock)?;
                if lock.try_lock().is_ok() {
                    place.clear_leftovers()?;
                }
            }
        }
        Ok(())
    }
}
