//! Telling, without reading a file again, that nobody wrote to it.

use std::fs::{File, Metadata};
use std::path::Path;
use std::time::SystemTime;

use crate::hash::sha256_of;
use crate::{Hash, StoreError};

/// What the system says of a file that changes with every write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Which file it is: a name may lead to another one later.
    file: (u64, u64),
    /// When its content or anything about it changed, in seconds and nanoseconds; unlike `modified`, nobody can set it.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (file, changed) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.dev(), metadata.ino()), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (file, changed) = ((0, 0), (0, 0));
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), file, changed }
    }
}

/// A file as it was when it was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// SHA-256 of its content.
    pub sha256: Hash,
    /// Its length.
    pub bytes: u64,
    stamp: Stamp,
}

impl Seen {
    /// Reads the plain file at `path`; whoever writes to it from now on is noticed by [`changed`](Self::changed).
    ///
    /// # Errors
    /// When it cannot be read, or is a directory, a pipe or a device.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let wrong = |source| StoreError::io(path, "read it", source);
        // asked first: opening a pipe waits for its writer
        let metadata = std::fs::metadata(path).map_err(wrong)?;
        if !metadata.is_file() {
            return Err(StoreError::not_plain(path, &metadata));
        }
        let file = File::open(path).map_err(wrong)?;
        // before the content, so that a write in between is noticed
        let stamp = Stamp::of(&file.metadata().map_err(wrong)?);
        let (sha256, bytes) = sha256_of(file).map_err(wrong)?;
        Ok(Self { sha256, bytes, stamp })
    }

    /// How the file at `path` was changed since it was read, in a few words; `None` when it was not.
    ///
    /// What only its names, owner or mode changed for is read again; a file that was written to is not trusted even if it reads as before,
    /// since nobody knows how it read in between.
    ///
    /// # Errors
    /// When the system refuses to let us look.
    pub fn changed(&mut self, path: &Path) -> Result<Option<&'static str>, StoreError> {
        let now = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Stamp::of(&metadata),
            Ok(_) => return Ok(Some("another thing stands in its place")),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Some("it is gone"));
            }
            Err(e) => return Err(StoreError::io(path, "look at it", e)),
        };
        if now == self.stamp {
            return Ok(None);
        }
        let touched = Stamp { changed: now.changed, ..self.stamp.clone() } == now;
        if !touched {
            return Ok(Some("it was written to, or replaced"));
        }
        let again = Self::read(path)?;
        if (again.sha256, again.bytes) != (self.sha256, self.bytes) {
            return Ok(Some("its content is another"));
        }
        self.stamp = again.stamp;
        Ok(None)
    }
}
