//! Exposure of canaries (*The Secret Sharer*, Carlini et al. 2019, section 4; methods c1).
//!
//! A canary's log-perplexity is ranked among those of references drawn from the same template that were never planted.
//! Exposure counts ties in favour of the canary, as the paper's code does; p-values count them against it, because only then are they valid.

mod permutation;
mod ranks;
mod skew_normal;

pub use permutation::{ExposureError, ExposureTest, Stratum, exposure_test};
pub use ranks::{exposure, rank, rank_log10_p};
pub use skew_normal::{SkewNormal, SkewNormalFit};
