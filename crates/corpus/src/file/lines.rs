//! The lines of a file, one after the other: memory does not grow with the file, and a byte-order mark at its start is passed over.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::FileError;
use crate::plain_file;
use crate::room::{hold, room};

/// The mark with which some programs begin a text in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of lines.
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next line begins, in bytes of the file.
    at: usize,
}

/// Opens `path`, which must be a file with something in it.
pub(super) fn open(path: &Path) -> Result<File, FileError> {
    let io = |source| FileError::Io { path: path.to_path_buf(), source };
    // looked at before it is opened: to open a pipe would wait for whoever writes to it
    plain_file::check(path).map_err(io)?;
    if std::fs::metadata(path).map_err(io)?.len() == 0 {
        return Err(FileError::Empty { path: path.to_path_buf() });
    }
    File::open(path).map_err(io)
}

impl Lines {
    /// At the first line of `path`.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self { path: path.to_path_buf(), file: BufReader::new(open(path)?), at: 0 })
    }

    /// The next line without its end; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<String>, FileError> {
        let mut line: Vec<u8> = Vec::new();
        loop {
            let io = |source| FileError::Io { path: self.path.clone(), source };
            let here = self.file.fill_buf().map_err(io)?;
            let end = here.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let n = end.unwrap_or(here.len());
            hold(&mut line, n).map_err(|bytes| FileError::NoRoom { path: self.path.clone(), bytes })?;
            if line.len() / STEP != (line.len() + n) / STEP {
                room(line.len()).map_err(|bytes| FileError::NoRoom { path: self.path.clone(), bytes })?;
            }
            line.extend_from_slice(&here[..n]);
            self.file.consume(n);
            if end.is_some() || n == 0 {
                break;
            }
        }
        if line.is_empty() {
            return Ok(None);
        }
        let begins = self.at;
        self.at += line.len();
        let marked = if begins == 0 && line.starts_with(MARK) { MARK.len() } else { 0 };
        line.drain(..marked);
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        let path = self.path.clone();
        let text = String::from_utf8(line);
        text.map(Some).map_err(|error| FileError::NotUtf8 { path, offset: begins + marked + error.utf8_error().valid_up_to() })
    }
}

/// Bytes of one line after which the memory that is left is looked at again.
const STEP: usize = 1 << 24;
