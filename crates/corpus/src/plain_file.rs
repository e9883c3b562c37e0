//! Files that are files.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Refuses what is no plain file before somebody opens it: a pipe would be waited for. That nothing is there is left to whoever opens it.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Error::new(ErrorKind::InvalidInput, "it is a directory, not a file")),
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::new(ErrorKind::InvalidInput, "it is a pipe, a socket or a device, not a file"))
        }
        _ => Ok(()),
    }
}
