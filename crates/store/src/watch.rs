//! Everything that a store handed out to be read, so that what is made from it can be refused when it was changed meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::StoreError;
use crate::stamp::Seen;

/// Files in use, by path; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    files: Arc<Mutex<BTreeMap<PathBuf, Seen>>>,
}

impl Watch {
    /// Notes that `path` is being read, in place of what was noted of it before.
    pub(crate) fn put(&self, path: PathBuf, seen: Seen) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, seen);
    }

    /// Notes that `path` is being read, again perhaps: then it must be as it was the first time, since that may still be in use.
    pub(crate) fn add(&self, path: PathBuf, seen: Seen) -> Result<(), StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match files.get_mut(&path).map(|known| known.changed(&path)).transpose()? {
            Some(Some(how)) => Err(changed(&path, how)),
            Some(None) => Ok(()),
            None => {
                files.insert(path, seen);
                Ok(())
            }
        }
    }

    /// Forgets all files.
    pub(crate) fn clear(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Refuses to go on when a file was changed since it was noted.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter_mut().try_for_each(|(path, seen)| match seen.changed(path)? {
            Some(how) => Err(changed(path, how)),
            None => Ok(()),
        })
    }
}

fn changed(path: &Path, how: &'static str) -> StoreError {
    StoreError::Changed { path: path.to_path_buf(), how }
}
