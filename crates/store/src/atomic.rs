use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::StoreError;

/// How the name of a file ends that is not yet in its place.
const TEMPORARY: &str = ".tmp";

/// Writes `bytes` to `path` so that a reader, or a crash at any moment, sees the old content or the new, never a mix:
/// a temporary file beside it, flushed to the disk, renamed, and the directory flushed. Missing parent directories
/// are made.
///
/// # Errors
/// When the directory cannot be made or written; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|e| StoreError::io(parent, "make the directory", e))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(TEMPORARY);
    // `tempfile` makes private files; results are ordinary ones, as the user's umask has it
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder.tempfile_in(parent).map_err(|e| StoreError::io(parent, "make a file in it", e))?;
    file.write_all(bytes).map_err(|e| StoreError::io(path, "write it", e))?;
    file.as_file().sync_all().map_err(|e| StoreError::io(path, "flush it to the disk", e))?;
    file.persist(path).map_err(|e| StoreError::io(path, "put it in place", e.error))?;
    sync_dir(parent)
}

/// Removes what [`write_atomic`] left in `directory` when its process was killed; returns how many files that were.
///
/// Only for whoever knows that nobody is writing there.
///
/// # Errors
/// When the directory cannot be read or written; one that is not there holds nothing.
pub fn remove_temporaries(directory: &Path) -> Result<usize, StoreError> {
    let entries = match std::fs::read_dir(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|e| StoreError::io(directory, "list the directory", e))?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io(directory, "list the directory", e))?;
        let name = entry.file_name();
        let temporary = name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY));
        // a directory of such a name is none of ours
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if temporary && !is_dir {
            std::fs::remove_file(entry.path()).map_err(|e| StoreError::io(&entry.path(), "remove it", e))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Flushes a directory's entries, so that a rename in it outlives a power cut.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    // opening a directory as a file is a Unix notion
    if cfg!(unix) {
        let dir = File::open(path).map_err(|e| StoreError::io(path, "open the directory", e))?;
        dir.sync_all().map_err(|e| StoreError::io(path, "flush the directory to the disk", e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/file.txt");
        for content in ["first", "", "a longer second one"] {
            write_atomic(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_a_killed_write_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remove_temporaries(&dir.path().join("nowhere")).unwrap(), 0);
        let kept = ["file.tmp", ".hidden", "file"];
        for name in kept.into_iter().chain([".a1B2c3.tmp", ".x.tmp"]) {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join(".dir.tmp")).unwrap();
        assert_eq!(remove_temporaries(dir.path()).unwrap(), 2);
        std::fs::remove_dir(dir.path().join(".dir.tmp")).unwrap();
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), kept.len());
    }

    #[test]
    fn a_failed_write_names_the_place_and_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("occupied");
        std::fs::write(&in_the_way, "old").unwrap();
        let error = write_atomic(&in_the_way.join("file"), b"new").unwrap_err().to_string();
        assert!(error.contains("occupied"), "{error}");
        assert_eq!(std::fs::read_to_string(&in_the_way).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn files_are_readable_by_others_as_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        write_atomic(&ours, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&ours), mode(&plain));
    }
}
