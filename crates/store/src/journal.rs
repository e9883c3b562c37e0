use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atomic::sync_dir;
use crate::own::open_own;
use crate::{StoreError, canonical_json};

/// JSON lines of work under way, for whoever looks meanwhile: each record is on the disk when [`append`](Self::append) returns.
///
/// One process at a time: the file is locked while open. What an earlier one left is thrown away unread, so that no line of it, torn or
/// strange, stands in the way.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or creates the journal at `path`, and empties it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open; when something else than a plain file is there, a symbolic link included,
    /// which is left as it is.
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let wrong = |action| move |source| StoreError::io(path, action, source);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            std::fs::create_dir_all(parent).map_err(|e| StoreError::io(parent, "make the directory", e))?;
        }
        let file = loop {
            let file = open_own(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.to_path_buf() }),
                Err(std::fs::TryLockError::Error(source)) => return Err(wrong("lock it")(source)),
            }
            if !has_other_names(&file.metadata().map_err(wrong("look at it"))?) {
                break file;
            }
            // what else goes by that file keeps it: a backup made of hard links, say
            std::fs::remove_file(path).map_err(wrong("remove it"))?;
        };
        file.set_len(0).and_then(|()| file.sync_data()).map_err(wrong("clear it"))?;
        parent.map_or(Ok(()), sync_dir)?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Adds one record and waits until it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written (then nothing of it remains), or is not canonical JSON.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), StoreError> {
        let wrong = |path: &Path, source| StoreError::io(path, "append a record", source);
        let mut line = canonical_json(record)?;
        line.push(b'\n');
        let before = self.file.seek(SeekFrom::End(0)).map_err(|e| wrong(&self.path, e))?;
        if let Err(source) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // a half-written line followed by a whole one would be damage, not a tear
            let _ = self.file.set_len(before);
            return Err(wrong(&self.path, source));
        }
        Ok(())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
fn has_other_names(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal at `path`, whose last one is closed. A process that another test starts holds all open files until it runs its program.
    fn begun(path: &Path) -> Journal {
        loop {
            match Journal::begin(path) {
                Err(StoreError::InUse { .. }) => std::thread::sleep(std::time::Duration::from_millis(1)),
                begun => return begun.unwrap(),
            }
        }
    }

    #[test]
    fn records_are_there_as_they_come_and_whatever_was_left_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/records.partial.jsonl");
        for left in [&b""[..], b"{\"a\":1}\n", b"no JSON\n{\"a\":1}\n", b"\xff\xfe\n\0", b"{\"torn\":"] {
            if !left.is_empty() {
                std::fs::write(&path, left).unwrap();
            }
            let mut journal = begun(&path);
            assert_eq!(std::fs::read(&path).unwrap(), b"");
            journal.append(&(1, "a")).unwrap();
            journal.append(&(2, "b\nc")).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "[1,\"a\"]\n[2,\"b\\nc\"]\n");
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(&dir.path().join("j")).unwrap();
        journal.append(&1).unwrap();
        assert!(journal.append(&f64::NAN).is_err());
        assert_eq!(std::fs::read_to_string(journal.path()).unwrap(), "1\n");
    }

    #[test]
    fn one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::begin(&path).unwrap();
        journal.append(&1).unwrap();
        assert!(matches!(Journal::begin(&path), Err(StoreError::InUse { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n", "and what the first wrote is left alone");
        drop(journal);
        begun(&path);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_keeps_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("j"), dir.path().join("target"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let error = Journal::begin(&path).unwrap_err().to_string();
        assert!(error.contains("a symbolic link"), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&target, &path).unwrap();
        Journal::begin(&path).unwrap().append(&1).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
    }
}
