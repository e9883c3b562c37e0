//! Bytes of a header, counted: nothing is taken from a file that the file does not have.

use std::io::{self, Read};

/// Headers beyond this are refused; those of the largest vocabularies take some 20 MB.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Why a header could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The operating system refused, or the file became shorter while it was read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// These bytes are no GGUF, or a damaged one.
    #[error("{0}")]
    Damaged(String),
    /// A GGUF that this program does not read.
    #[error("{0}")]
    Unsupported(String),
}

/// A reader that knows how many bytes are left.
pub(super) struct Source<R> {
    inner: R,
    at: u64,
    len: u64,
}

impl<R: Read> Source<R> {
    /// Over `len` bytes of `inner`.
    pub(super) fn new(inner: R, len: u64) -> Self {
        Self { inner, at: 0, len }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.len - self.at
    }

    /// The next `N` bytes; `what` is named when they are not there.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], HeaderError> {
        self.claim(N as u64, what)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, HeaderError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, HeaderError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length and as many bytes.
    pub(super) fn bytes(&mut self, what: &str) -> Result<Vec<u8>, HeaderError> {
        let count = self.u64(what)?;
        self.claim(count, what)?;
        let mut bytes = vec![0; count as usize];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A number of things that take at least `each` bytes, refused when so many cannot follow.
    pub(super) fn count(&mut self, each: u64, what: &str) -> Result<u64, HeaderError> {
        let count = self.u64(what)?;
        if count > self.left() / each {
            let left = self.left();
            return Err(HeaderError::Damaged(format!("{what} claims {count} entries, but only {left} bytes follow")));
        }
        Ok(count)
    }

    /// Counts `count` bytes as read, if they are there.
    fn claim(&mut self, count: u64, what: &str) -> Result<(), HeaderError> {
        if count > self.left() {
            let left = self.left();
            return Err(HeaderError::Damaged(format!("{what} takes {count} bytes, but only {left} follow: it is cut short")));
        }
        // cannot overflow: what is claimed is left
        self.at += count;
        if self.at > MAX_HEADER_BYTES {
            return Err(HeaderError::Unsupported(format!(
                "its header is longer than {MAX_HEADER_BYTES} bytes; use the model's safetensors"
            )));
        }
        Ok(())
    }
}

/// A name of the file's, fit for a line of text.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    if name.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}
