//! Where a rehearsal and a look work: a directory of its own among the temporary ones, which the next rehearsal clears away when a kill left it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// How the names of the directories begin.
const PREFIX: &str = "birthmark-rehearsal-";
/// A file in each that is locked as long as somebody works there.
const LOCK: &str = "lock";
/// How old a directory without that file must be to have been left so by a kill.
const SETTLED: Duration = Duration::from_secs(60);

/// A directory that goes when this is dropped.
pub(crate) struct ScratchPlace {
    // before the directory: on some systems an open file cannot be removed
    _lock: File,
    directory: TempDir,
}

impl ScratchPlace {
    /// A new one; those that dead processes of this user left are removed.
    pub(crate) fn make() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create_new(directory.path().join(LOCK))?;
        lock.try_lock()?;
        clear(parent, directory.path());
        Ok(Self { _lock: lock, directory })
    }

    /// Where artifacts go.
    pub(crate) fn artifacts(&self) -> std::path::PathBuf {
        self.directory.path().join("artifacts")
    }
}

/// Removes what dead processes left beside `own`. What cannot be removed is left to others.
fn clear(parent: &Path, own: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_one = is_dir && entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if is_one && path != own && is_same_owner(&path, own) && is_abandoned(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    let lock = directory.join(LOCK);
    match lock.symlink_metadata() {
        Ok(there) if there.is_file() => File::open(&lock).is_ok_and(|lock| lock.try_lock().is_ok()),
        // killed before it made one, or about to
        _ => directory
            .metadata()
            .and_then(|there| there.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > SETTLED)),
    }
}

#[cfg(unix)]
fn is_same_owner(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &Path| path.symlink_metadata().map(|there| there.uid()).ok();
    owner(a).is_some() && owner(a) == owner(b)
}

#[cfg(not(unix))]
fn is_same_owner(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_goes_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let listed = || fs::read_dir(parent.path()).unwrap().count();
        let first = ScratchPlace::within(parent.path()).unwrap();
        fs::create_dir_all(first.artifacts()).unwrap();
        // another that is alive, one whose process died, one that is just being made, and what is none
        let second = ScratchPlace::within(parent.path()).unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("artifacts/student")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::create_dir(parent.path().join(format!("{PREFIX}young"))).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        fs::write(parent.path().join(format!("{PREFIX}file")), "").unwrap();
        let third = ScratchPlace::within(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(first.artifacts().exists());
        assert_eq!(listed(), 6);
        drop((first, second, third));
        assert_eq!(listed(), 3);
    }
}
