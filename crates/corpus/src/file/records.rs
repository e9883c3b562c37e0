//! The different texts of a file, as they come.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use super::FileError;
use crate::room::{hold, room};

/// Bytes of texts after which the memory that is left is looked at again.
const STEP: usize = 1 << 24;
/// Records after which it is asked whether to go on.
const OFTEN: u64 = 4096;

/// Different texts in the order in which they first occur, and how many were left out.
pub(super) struct Records<'a> {
    pub texts: Vec<String>,
    pub blank: u64,
    pub repeated: u64,
    path: &'a Path,
    /// By hash: the texts that have it.
    seen: HashMap<u64, Vec<u32>>,
    hasher: RandomState,
    /// Bytes of all texts.
    bytes: usize,
    taken: u64,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Records<'a> {
    /// None yet; `stop` says when the work is to be given up.
    pub(super) fn new(path: &'a Path, stop: &'a dyn Fn() -> bool) -> Self {
        let (seen, hasher) = (HashMap::new(), RandomState::new());
        Self { texts: Vec::new(), blank: 0, repeated: 0, path, seen, hasher, bytes: 0, taken: 0, stop }
    }

    /// A record without text.
    pub(super) fn skip(&mut self) -> Result<(), FileError> {
        self.blank += 1;
        self.go_on()
    }

    /// A record, kept if it has text and is new.
    pub(super) fn push(&mut self, text: &str) -> Result<(), FileError> {
        let text = text.trim();
        if text.is_empty() {
            return self.skip();
        }
        self.go_on()?;
        let hash = self.hasher.hash_one(text);
        if self.seen.get(&hash).is_some_and(|same| same.iter().any(|&at| self.texts[at as usize] == text)) {
            self.repeated += 1;
            return Ok(());
        }
        let no_room = |bytes| FileError::NoRoom { path: self.path.to_path_buf(), bytes };
        let before = self.bytes;
        self.bytes += text.len() + size_of::<String>() + size_of::<(u64, Vec<u32>)>();
        if before / STEP != self.bytes / STEP {
            room(text.len()).map_err(no_room)?;
        }
        let mut kept = String::new();
        kept.try_reserve_exact(text.len()).map_err(|_| no_room(text.len()))?;
        kept.push_str(text);
        hold(&mut self.texts, 1).map_err(no_room)?;
        self.seen.try_reserve(1).map_err(|_| no_room(before))?;
        let Ok(at) = u32::try_from(self.texts.len()) else { return Err(no_room(before)) };
        self.seen.entry(hash).or_default().push(at);
        self.texts.push(kept);
        Ok(())
    }

    /// A record that is known to have been there just before, which had text or was blank.
    pub(super) fn again(&mut self, blank: bool) -> Result<(), FileError> {
        if blank {
            return self.skip();
        }
        self.repeated += 1;
        self.go_on()
    }

    fn go_on(&mut self) -> Result<(), FileError> {
        self.taken += 1;
        let stops = self.taken.is_multiple_of(OFTEN) && (self.stop)();
        if stops { Err(FileError::Stopped { path: self.path.to_path_buf() }) } else { Ok(()) }
    }
}
