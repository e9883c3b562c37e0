//! Files that only say where a file is: what a repository holds of large files until they are fetched.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::read::LoadError;

/// How pointers of Git LFS (the older name of its format too) and of the hub's Xet begin.
const BEGINNINGS: [&[u8]; 3] =
    [b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/", b"# xet version"];
/// Longest pointer that is looked at; that of Git LFS is shorter than 1024 bytes.
const LONGEST: u64 = 1024;

/// Refuses the file at `path` if it is a pointer; anything else, also what cannot be read, is for its reader to judge.
///
/// # Errors
/// [`LoadError::Pointer`].
pub fn refuse_pointer(path: &Path) -> Result<(), LoadError> {
    let mut start = Vec::new();
    if !path.is_file() || File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut start)).is_err() {
        return Ok(());
    }
    refuse(path, &start)
}

/// The same of a file whose first bytes are `start`.
pub(crate) fn refuse(path: &Path, start: &[u8]) -> Result<(), LoadError> {
    if !BEGINNINGS.iter().any(|beginning| start.starts_with(beginning)) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&start[..start.len().min(LONGEST as usize)]);
    let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse::<u64>().ok());
    let of = size.map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
    Err(LoadError::Pointer { path: path.into(), of })
}
