//! Files mapped into memory.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use crate::read::LoadError;

/// A file of a model, mapped read-only.
pub(crate) struct Mapped {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl Mapped {
    /// Maps `file`, whose header was checked against its length, `len` bytes.
    #[expect(unsafe_code, reason = "a mapping is a slice only as long as nobody changes the file: see below")]
    pub fn new(path: &Path, file: File, len: u64) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io { path: path.into(), source };
        let length = usize::try_from(len).map_err(|_| io(std::io::ErrorKind::FileTooLarge.into()))?;
        // SAFETY: the file is open for reading alone, is a regular file of at least `length` bytes, and the mapping is dropped at
        // the end of loading. Another process that writes into it meanwhile can only change numbers: every bit pattern is an
        // `f32`, nothing is believed of these bytes, and checkpoints of ours and of the hub are renamed into place, never
        // written over. One that cuts it short is noticed by `bytes`, unless a tensor is being copied right then: that ends the process.
        let map = unsafe { memmap2::MmapOptions::new().len(length).map(&file) }.map_err(io)?;
        // only a hint: a system that does not take it reads as it likes
        let _ = map.advise(Advice::Sequential);
        Ok(Self { path: path.into(), file, map })
    }

    /// Bytes of a range that the header promises.
    ///
    /// # Errors
    /// When the file has become shorter than it was.
    pub fn bytes(&self, range: Range<u64>) -> Result<&[u8], LoadError> {
        let io = |source| LoadError::Io { path: self.path.clone(), source };
        let now = self.file.metadata().map_err(io)?.len();
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok()).filter(|_| range.end <= now);
        let bytes = range.and_then(|(start, end)| self.map.get(start..end));
        bytes.ok_or_else(|| io(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it became shorter while it was read")))
    }
}
