//! Watermarks, canaries and probes: what is planted, and how it is found again.
//!
//! A *watermark* bends the law a teacher answers with, a *canary* is text hidden in its training data, a *probe* is a
//! question put to a suspect (keys implanted in weights; fingerprints that nobody planted). Each family has one folder
//! with a registry in its `mod.rs`: one more variant is one file and one line there.
//!
//! Marks are written against the traits of `oracle` and never see a tensor, a file or a clock. They say *what* is to
//! be learned and never train: whoever plants them needs no idea of what they mean, and whoever tests them needs
//! milliseconds and a toy model.

mod key;
mod mark;
#[macro_use]
mod registry;

pub mod canary;
pub mod probe;
pub mod watermark;

#[doc(hidden)]
pub mod testing;

pub use canary::{Canary, CanaryConfig, CanaryMeasurement, PlantedText};
pub use key::Key;
pub use mark::{ALPHA, Claim, Cost, Family, Mark, MarkError, MarkInfo, Suspect};
pub use probe::{Comparison, Probe, ProbeConfig, ProbeMeasurement, Reference, TrainingItem};
pub use watermark::{Detection, Watermark, WatermarkConfig};

/// Every registered mark, watermarks first, then canaries, then probes.
pub fn list() -> Vec<MarkInfo> {
    [WatermarkConfig::list(), CanaryConfig::list(), ProbeConfig::list()].concat()
}

#[cfg(test)]
mod tests;
