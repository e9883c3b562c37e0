use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space (or quota) is left, or the file may not grow so large; what was finished before is kept, and the same command
    /// resumes.
    #[error("{}: the disk, a quota or a limit on file sizes is full", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// The system refuses to let us read or write there.
    #[error("{}: no permission to {action}; change its permissions, or name another place", path.display())]
    Denied {
        /// What was refused.
        path: PathBuf,
        /// What was to be done, as a verb.
        action: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// Any other input or output failure.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was being touched.
        path: PathBuf,
        /// What was being done to it, as a verb.
        action: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// A value has no canonical JSON: a number that is not finite, or a map whose keys are not text.
    #[error("value cannot be written as canonical JSON: {0}")]
    NotCanonical(String),
    /// What was made for an artifact cannot be kept.
    #[error("{}: {reason}", path.display())]
    NotAFile {
        /// The wrong entry.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process holds the file; wait for it or use another directory.
    #[error("{}: another process is writing it; wait for that to finish, or use another results directory", path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// Something else than a plain file stands where one of ours should be.
    #[error("{}: is {what}, and a plain file is wanted there; move it away, or name another directory", path.display())]
    NotPlain {
        /// The place.
        path: PathBuf,
        /// What stands there, with its article.
        what: &'static str,
    },
    /// A file in an artifact's directory that its manifest does not name.
    #[error("{}: its artifact's manifest.json does not name it; move it away, or remove the whole directory and run again", path.display())]
    Unnamed {
        /// The file.
        path: PathBuf,
    },
    /// Something was changed after it was verified and while work was made from it, which is therefore not kept.
    #[error("{}: was changed while it was in use ({how}); nothing that was made from it since is kept", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// In what way.
        how: &'static str,
    },
    /// An artifact is not there as it was written, and nothing may be made.
    #[error("{reason}; run without --offline-artifacts to make it")]
    NotMade {
        /// What is wrong, naming the file.
        reason: String,
    },
    /// The work was stopped from outside while waiting for a lock.
    #[error("stopped while waiting for another process to make {}", path.display())]
    Cancelled {
        /// The artifact waited for.
        path: PathBuf,
    },
}

impl StoreError {
    /// `path`, of which `metadata` says that it is no plain file.
    pub(crate) fn not_plain(path: &Path, metadata: &std::fs::Metadata) -> Self {
        Self::NotPlain { path: path.to_path_buf(), what: crate::kind_in_words(metadata) }
    }

    /// Sorts an I/O failure on `path` into [`Full`](Self::Full), [`Denied`](Self::Denied) or [`Io`](Self::Io);
    /// `action` is a verb phrase ("write the manifest").
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match kind_of(&source) {
            Some(Trouble::Full) => Self::Full { path, source },
            Some(Trouble::Denied) => Self::Denied { path, action, source },
            _ => Self::Io { path, action, source },
        }
    }
}

/// What kind of failure lies at the bottom of an error, for the choice of an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No space or quota left: resumable once some is freed.
    Full,
    /// Permission denied, or a read-only file system: a mistake in the set-up.
    Denied,
    /// Another process holds the results.
    InUse,
    /// Stopped from outside.
    Cancelled,
    /// Something was changed while it was being used.
    Changed,
}

/// Looks through the chain of causes of `error` for a failure that calls for its own exit code.
///
/// Plain [`io::Error`]s anywhere in the chain count too, so that a full disk met while an artifact is being made is
/// recognised as well as one met by the store itself.
pub fn trouble(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(e) = next {
        let found = match e.downcast_ref::<StoreError>() {
            Some(StoreError::Full { .. }) => Some(Trouble::Full),
            Some(StoreError::Denied { .. }) => Some(Trouble::Denied),
            Some(StoreError::InUse { .. }) => Some(Trouble::InUse),
            Some(StoreError::Cancelled { .. }) => Some(Trouble::Cancelled),
            Some(StoreError::Changed { .. }) => Some(Trouble::Changed),
            _ => e.downcast_ref::<io::Error>().and_then(kind_of),
        };
        if found.is_some() {
            return found;
        }
        next = e.source();
    }
    None
}

fn kind_of(error: &io::Error) -> Option<Trouble> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(Trouble::Full),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Trouble::Denied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_full_disk_is_recognised_through_any_wrapping() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let cases: Vec<(anyhow::Error, Option<Trouble>)> = vec![
            (full().into(), Some(Trouble::Full)),
            (Err::<(), _>(full()).context("writing a checkpoint").unwrap_err(), Some(Trouble::Full)),
            (StoreError::io(Path::new("a"), "write", full()).into(), Some(Trouble::Full)),
            (StoreError::io(Path::new("a"), "write", denied()).into(), Some(Trouble::Denied)),
            (StoreError::InUse { path: "a".into() }.into(), Some(Trouble::InUse)),
            (StoreError::Changed { path: "a".into(), how: "it is gone" }.into(), Some(Trouble::Changed)),
            (io::Error::from(io::ErrorKind::FileTooLarge).into(), Some(Trouble::Full)),
            (io::Error::from(io::ErrorKind::NotFound).into(), None),
            (anyhow::anyhow!("something else"), None),
        ];
        for (error, expected) in cases {
            assert_eq!(trouble(error.as_ref()), expected, "{error:#}");
        }
    }

    #[test]
    fn messages_name_the_file() {
        let text = StoreError::io(Path::new("artifacts/x"), "write", io::ErrorKind::StorageFull.into()).to_string();
        assert!(text.contains("artifacts/x") && text.contains("full"), "{text}");
    }
}
