//! Null distributions, p-values, e-values, intervals, ROC curves and power: pure functions over numbers.
//!
//! Two decisions run through the crate. Probabilities travel as log10 (`log10_p`), are computed in log space from the
//! start, and are never `-inf`, NaN or above 0: a student can leave 1e-100000, and 0 would be a lie. And every test that
//! can be exact is: binomial tails instead of z, permutation ranks instead of fitted laws, e-processes wherever somebody
//! may look at the evidence before all of it is in.
//!
//! Arguments outside a function's stated domain (more hits than trials, a rate of 0) are broken invariants and panic;
//! quantities measured on models, which may be NaN when a student diverged, are refused with an error.

pub mod audit_size;
pub mod calibration;
pub mod combine;
pub mod evalue;
mod evidence;
pub mod exposure;
pub mod interval;
pub mod monte_carlo;
pub mod needed;
pub mod null;
pub mod paired;
pub mod periodogram;
pub mod power;
mod random;
pub mod repeat;
pub mod roc;
mod saddlepoint;
mod special;
pub mod tail;
pub mod two_sample;

pub use evidence::{Evidence, EvidenceError};
pub use interval::Interval;
pub use null::{Null, NullKind, NullLaw};
pub use saddlepoint::Saddlepoint;
