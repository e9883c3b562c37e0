//! What all marks have in common that score units of text under a key: the walk over answers, the keyed score test (methods m), the count
//! of distinct units (0.1 to 0.6), decoy keys, evidence. A scheme supplies a score for a unit, the law of that score when the text has
//! nothing to do with the key, and what changes the law while the teacher answers.

pub(crate) mod alignment;
pub(crate) mod authors;
pub(crate) mod count;
pub(crate) mod cumulant;
mod decoys;
mod distinct;
pub(crate) mod elementary;
pub(crate) mod entropy_of;
pub(crate) mod green;
pub(crate) mod green_scheme;
mod judge;
pub(crate) mod left_law;
pub(crate) mod masking;
pub(crate) mod philox;
pub(crate) mod place;
mod place_weights;
pub(crate) mod race;
pub(crate) mod ratio;
pub(crate) mod reweight;
pub(crate) mod rows;
pub(crate) mod rules;
pub(crate) mod sbw;
pub(crate) mod scheme;
mod score;
pub(crate) mod self_salted;
pub(crate) mod siphash;
pub(crate) mod soft_list;
pub(crate) mod steps;
mod test_choice;
mod texts;
pub(crate) mod torch;
pub(crate) mod torch_keys;
pub(crate) mod torch_lists;
pub(crate) mod tournament;
pub(crate) mod vllm;
pub(crate) mod walk;
pub(crate) mod window_hits;

pub use authors::{Authors, AuthorsScore};
pub use decoys::ranked;
pub use judge::Keyed;
pub use place::{Place, Unit};
pub use place_weights::PlaceWeights;
pub use rules::{Dedup, MAX_CONTEXT, MAX_PADDED_CONTEXT, NO_TOKEN, Rules};
pub use scheme::{Draws, FixedLists, KeyedValues, Scheme, Scorer};
pub(crate) use score::Candidates;
pub use score::{Choices, ScoreTest};
pub use test_choice::KeyedTest;
pub use walk::{Skipped, Units};

#[cfg(test)]
mod tests;
