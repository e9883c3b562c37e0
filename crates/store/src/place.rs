use std::fs;
use std::path::{Path, PathBuf};

use crate::own::open_own;
use crate::{Hash, StoreError};

/// Every path that belongs to one artifact.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: PathBuf,
    pub(crate) done: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) making: PathBuf,
    pub(crate) damaged: PathBuf,
    pub(crate) scratch: PathBuf,
}

impl Place {
    pub(crate) fn of(parent: &Path, hash: Hash) -> Self {
        let beside = |suffix: &str| parent.join(format!(".{hash}.{suffix}"));
        Self {
            parent: parent.to_path_buf(),
            done: parent.join(hash.hex()),
            lock: beside("lock"),
            making: beside("making"),
            damaged: beside("damaged"),
            scratch: beside("partial"),
        }
    }

    /// Removes what an earlier holder of the lock left half made. Only under the lock.
    pub(crate) fn clear_leftovers(&self) -> Result<(), StoreError> {
        remove_dir(&self.making)?;
        remove_dir(&self.damaged)
    }

    /// Removes the scratch of a finished artifact, whose maker died between putting it in place and clearing up.
    pub(crate) fn clear_outlived_scratch(&self) -> Result<(), StoreError> {
        if !self.scratch.exists() {
            return Ok(());
        }
        let lock = open_own(&self.lock)?;
        // held by another: it is clearing up
        if lock.try_lock().is_ok() { remove_dir(&self.scratch) } else { Ok(()) }
    }
}

/// Removes a directory, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path, "remove it", e)),
        _ => Ok(()),
    }
}
