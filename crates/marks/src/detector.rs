//! What is found of a mark in given texts alone: no model is asked.

use oracle::Exchange;

use crate::{Chance, Finding, MarkError};

/// A mark that shows in texts alone.
pub trait Detector {
    /// What is found in `texts`, answers with what was asked where that is known: one detection, or one for each account whose texts are
    /// there, where keys differ by account. Decoy keys are tried on each text and on all together. A pure function; it may use the
    /// threads of the pool it is called in.
    ///
    /// # Errors
    /// [`MarkError::Unmeasurable`] when a score is no number.
    fn detect(&self, texts: &[Exchange], chance: Chance) -> Result<Vec<Detection>, MarkError>;
}

/// What one key finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The account whose key this is about, where keys differ by account.
    pub account: Option<u32>,
    /// Places of the texts among those that were given.
    pub texts: Vec<usize>,
    /// What is found in each text on its own, in their order.
    pub each: Vec<Detected>,
    /// What is found in all of them together, in which every unit counts once.
    pub pooled: Detected,
}

/// What is found in one text, or in several together.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The test.
    pub finding: Finding,
    /// What it was made on.
    pub judged: Judged,
}

/// Tokens and units, and why units were left out: the first reason that applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Texts.
    pub texts: u64,
    /// Tokens of prompts, none of which is ever scored.
    pub prompt_tokens: u64,
    /// Tokens of the texts themselves.
    pub tokens: u64,
    /// Units that were scored, each once.
    pub units: u64,
    /// Tokens from the end of a text on: the end itself, and what follows it.
    pub ended: u64,
    /// First tokens of texts, whose context is not known.
    pub without_context: u64,
    /// Special tokens, and tokens after one within the context.
    pub special: u64,
    /// Units that stand in the text's own prompt too, and may be copied from it.
    pub in_prompt: u64,
    /// Units that were met before.
    pub repeated: u64,
}
