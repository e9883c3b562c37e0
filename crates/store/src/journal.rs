use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::sync_dir;
use crate::{StoreError, canonical_json};

/// An append-only file of JSON lines that survives a kill: each record is on the disk when [`append`](Self::append)
/// returns, and a line torn by a crash is dropped when the journal is opened again.
///
/// One process at a time: the file is locked while open.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or creates the journal at `path` and returns the records already in it, oldest first.
    ///
    /// A last line without its newline, or one that does not parse, was never acknowledged: it is cut off.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open; [`StoreError::BadLine`] when an earlier line does not
    /// parse, which no crash explains.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), StoreError> {
        let wrong = |action| move |source| StoreError::io(path, action, source);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| StoreError::io(parent, "make the directory", e))?;
        }
        let fresh = !path.exists();
        let file = File::options().read(true).append(true).create(true).open(path).map_err(wrong("open it"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.to_path_buf() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(wrong("lock it")(source)),
        }
        if let (true, Some(parent)) = (fresh, path.parent().filter(|parent| !parent.as_os_str().is_empty())) {
            sync_dir(parent)?;
        }
        let mut journal = Self { file, path: path.to_path_buf() };
        let records = journal.replay()?;
        Ok((journal, records))
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

    /// Removes all records.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).and_then(|()| self.file.sync_data()).map_err(|e| StoreError::io(&self.path, "clear it", e))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn replay<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, StoreError> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(|e| StoreError::io(&self.path, "read it", e))?;
        let mut records = Vec::new();
        let mut kept = 0;
        let mut lines = bytes.split_inclusive(|&b| b == b'\n').enumerate().peekable();
        while let Some((i, line)) = lines.next() {
            let parsed = serde_json::from_slice(line);
            match parsed {
                Ok(record) if line.ends_with(b"\n") => records.push(record),
                _ if lines.peek().is_none() => break,
                Ok(_) => break,
                Err(e) => return Err(StoreError::BadLine { path: self.path.clone(), line: i + 1, reason: e.to_string() }),
            }
            kept += line.len();
        }
        if kept < bytes.len() {
            self.file.set_len(kept as u64).map_err(|e| StoreError::io(&self.path, "cut off a torn line", e))?;
            self.file.sync_data().map_err(|e| StoreError::io(&self.path, "flush it to the disk", e))?;
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Line = (u32, String);

    fn written(path: &Path, n: u32) -> Vec<Line> {
        let lines: Vec<Line> = (0..n).map(|i| (i, format!("record {i}\n"))).collect();
        let (mut journal, old) = Journal::open::<Line>(path).unwrap();
        assert!(old.is_empty());
        lines.iter().for_each(|line| journal.append(line).unwrap());
        lines
    }

    proptest! {
        /// A crash can leave any prefix of the bytes: exactly the records whose whole line arrived come back, and the
        /// next append starts on a line of its own.
        #[test]
        fn any_prefix_reopens_with_its_whole_lines(cut in 0usize..200) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("j.jsonl");
            let lines = written(&path, 8);
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.min(bytes.len());
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();

            let (mut journal, old) = Journal::open::<Line>(&path).unwrap();
            prop_assert_eq!(&old, &lines[..whole]);
            journal.append(&(99, "new")).unwrap();
            drop(journal);
            let (_, again) = Journal::open::<Line>(&path).unwrap();
            prop_assert_eq!(again.len(), whole + 1);
            prop_assert_eq!(again.last().unwrap().0, 99);
        }
    }

    #[test]
    fn a_last_line_of_zeros_is_a_tear_and_a_bad_line_before_it_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.jsonl");
        let lines = written(&path, 3);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{good}\0\0\0\n")).unwrap();
        assert_eq!(Journal::open::<Line>(&path).unwrap().1, lines);

        std::fs::write(&path, format!("oops\n{good}")).unwrap();
        let error = Journal::open::<Line>(&path).unwrap_err();
        assert!(matches!(error, StoreError::BadLine { line: 1, .. }), "{error}");
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.jsonl");
        let (journal, _) = Journal::open::<Line>(&path).unwrap();
        assert!(matches!(Journal::open::<Line>(&path), Err(StoreError::InUse { .. })));
        drop(journal);
        assert!(Journal::open::<Line>(&path).is_ok());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_journal_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.jsonl");
        let (mut journal, _) = Journal::open::<f64>(&path).unwrap();
        journal.append(&1.5).unwrap();
        assert!(matches!(journal.append(&f64::NAN), Err(StoreError::NotCanonical(_))));
        drop(journal);
        let (mut journal, old) = Journal::open::<f64>(&path).unwrap();
        assert_eq!(old, [1.5]);
        journal.clear().unwrap();
        journal.append(&2.5).unwrap();
        drop(journal);
        assert_eq!(Journal::open::<f64>(&path).unwrap().1, [2.5]);
    }
}
