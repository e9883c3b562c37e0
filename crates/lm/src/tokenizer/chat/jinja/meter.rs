//! What a template may take: no template runs for ever or fills the memory, whatever it is made of.

use std::cell::Cell;

use super::error::{Result, fail};

/// Most bytes of a template; the longest known ones have some 30,000.
pub const MAX_SOURCE: usize = 1 << 18;
/// Levels of brackets and of blocks within each other. Python's own limit of recursion allows about 80.
pub const MAX_NESTING: usize = 80;
/// Levels of an expression: terms of one sum, links of one chain of filters.
pub const MAX_EXPRESSION: usize = 250;
/// Levels of blocks, macros and expressions that are being worked out at one time.
pub const MAX_CALLS: usize = 700;
/// Levels of lists, tuples and dictionaries within each other.
pub const MAX_VALUE: usize = 120;
/// Steps (parts of expressions, values looked at, 64 bytes of text) after which a template is held never to end; the longest known ones
/// take some hundreds for each message.
const MAX_STEPS: u64 = 10_000_000;
/// Bytes of all values and texts that are made while one conversation is rendered, whether still needed or not.
const MAX_BYTES: u64 = 64 << 20;

/// Counts what one rendering takes.
#[derive(Debug, Default)]
pub struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    /// `n` steps more.
    pub fn steps(&self, n: usize) -> Result<()> {
        self.steps.set(self.steps.get().saturating_add(n as u64));
        if self.steps.get() > MAX_STEPS { fail("it does not come to an end") } else { Ok(()) }
    }

    /// A text of `n` bytes is looked at.
    pub fn reads(&self, n: usize) -> Result<()> {
        self.steps(1 + n / 64)
    }

    /// A text of `n` bytes is about to be made.
    pub fn text(&self, n: usize) -> Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(n as u64));
        if self.bytes.get() > MAX_BYTES {
            return fail(format!("it makes more than {} MiB of text and values", MAX_BYTES >> 20));
        }
        self.reads(n)
    }

    /// `n` values are about to be put into a list or its like.
    pub fn values(&self, n: usize) -> Result<()> {
        self.steps(n)?;
        self.text(n.saturating_mul(64))
    }
}
