//! Audit of somebody's detector: what its p-values and thresholds really say, judged on texts that are known to be unmarked.
//!
//! A detector claims that an unmarked text gets a p at most x with probability at most x, or that an unmarked text passes a threshold
//! with some nominal rate. Both are claims about a rate, and unmarked texts test them exactly: counts by the binomial law, the whole
//! range of p by the one-sided Kolmogorov-Smirnov statistic. A p that is too large on the whole breaks no claim: it wastes power, and is
//! reported as such. All of it takes texts that are independent of each other.

mod band;
mod claim;
mod kolmogorov;
mod levels;
mod separation;
mod threshold;

pub use band::band;
pub use claim::{CHECKED_LEVELS, Calibration, Claimed, PValues, Scored};
pub use kolmogorov::{Distance, log10_one_sided_sf};
pub use levels::{Level, Rate};
pub use separation::{Found, Separation};
pub use threshold::{SafeThreshold, Threshold, safe_threshold};
