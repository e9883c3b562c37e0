//! Files that are ours to write, opened so that nobody can lead us to another one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::StoreError;

/// Opens `path` for reading and appending, made where it is not there. A symbolic link is not followed, and nothing but a plain file is
/// opened: whoever put something else there wants us to write elsewhere, or to wait.
pub(crate) fn open_own(path: &Path) -> Result<File, StoreError> {
    let wrong = |source| StoreError::io(path, "open it", source);
    loop {
        let there = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                // follows no link: it makes the file or fails
                match File::options().read(true).append(true).create_new(true).open(path) {
                    // somebody was faster
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                    made => return made.map_err(wrong),
                }
            }
            there => there.map_err(wrong)?,
        };
        if !there.is_file() {
            return Err(StoreError::not_plain(path, &there));
        }
        let file = match File::options().read(true).append(true).open(path) {
            // removed meanwhile
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            file => file.map_err(wrong)?,
        };
        if is_same(&there, &file.metadata().map_err(wrong)?) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, b: &fs::Metadata) -> bool {
    b.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_what_is_no_file_is_not_opened() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (target, link, dangling) = (dir.path().join("target"), dir.path().join("link"), dir.path().join("dangling"));
        fs::write(&target, "mine").unwrap();
        symlink(&target, &link).unwrap();
        symlink(dir.path().join("nowhere"), &dangling).unwrap();
        for (path, what) in
            [(&link, "a symbolic link"), (&dangling, "a symbolic link"), (&dir.path().to_path_buf(), "a directory")]
        {
            let error = open_own(path).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(path.to_str().unwrap()), "{error}");
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(!dir.path().join("nowhere").exists());
        open_own(&target).unwrap();
        open_own(&dir.path().join("new")).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    }
}
