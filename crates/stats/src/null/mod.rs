//! Laws of a test's scores when the mark is absent: each gives p, effect and, where there is one, a bet.
//!
//! Scores are one number for each scored unit, in the order the units were asked. They must be finite; [`Evidence::of_scores`]
//! refuses others with an error, the laws themselves panic.
//!
//! [`Evidence::of_scores`]: crate::Evidence::of_scores

mod bernoulli;
mod bits;
mod bounded;
mod exponential;
mod finite;
mod hypergeometric;
mod law;
mod list_hits;
mod scores;
mod two_gamma;
mod weighted_bits;
mod weighted_hits;

pub use bernoulli::Bernoulli;
pub use bits::{BiasedBits, Bits};
pub use bounded::Bounded;
pub use exponential::Exponential;
pub use finite::Finite;
pub use hypergeometric::Hypergeometric;
pub use law::{NullKind, NullLaw};
pub use list_hits::ListHits;
pub use scores::Null;
pub use two_gamma::TwoGamma;
pub use weighted_bits::WeightedBits;
pub use weighted_hits::WeightedHits;
