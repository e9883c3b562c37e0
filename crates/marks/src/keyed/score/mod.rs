//! The keyed score test (methods m): all tokens of the answers, centred on the law that the owner knows, under any key.
//!
//! Let N(i) be how often PRF input i = (context, candidate) was chosen, and E(i) the sum of the reference's probabilities of that
//! candidate over all scored places with that context. S = sum of w(i) xi(i), with weights w = f (N - E) that no key enters and the
//! scheme's keyed values xi. Under a random key the values of distinct inputs are independent whatever the text looks like, so that
//! the law of S is known although no unit is thrown away.

mod candidates;
mod effect;
mod fit;
mod names;
mod options;
mod prefixes;
mod said;
mod tally;
mod weighted;
mod weights;

pub(crate) use candidates::Candidates;
pub(super) use effect::Effect;
pub use options::{Choices, ScoreTest};
pub(super) use prefixes::{Prefixes, Process};
pub(super) use said::{Inputs, Said, Walked};
pub(super) use tally::Tally;
pub(super) use weighted::WeightedSum;

#[cfg(test)]
mod tests;
