//! What all marks have in common that score units of text under a key: the walk over answers, de-duplication, decoy keys, evidence
//! (methods 0.1 to 0.6). A scheme supplies a score for a unit, the law of that score when the text has nothing to do with the
//! key, and what changes the law while the teacher answers.

pub(crate) mod cumulant;
mod decoys;
mod distinct;
pub(crate) mod green;
mod judge;
pub(crate) mod masking;
pub(crate) mod scheme;
pub(crate) mod siphash;
pub(crate) mod walk;

pub use decoys::ranked;
pub use judge::Keyed;
pub use scheme::{KeyedValues, Scheme, Scorer};
pub use walk::{Dedup, MAX_CONTEXT, Rules, Skipped, Units};

#[cfg(test)]
mod tests;
