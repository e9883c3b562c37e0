//! Intervals: of a proportion, of a mean, of a ratio of sums, of a proportion over models, and by bootstrap, of items and of estimates in groups.

mod binomial;
mod bootstrap;
mod clustered;
mod ends;
mod estimates;
mod mean;
mod ratio;

pub use binomial::{clopper_pearson, wilson};
pub use bootstrap::bootstrap;
pub use clustered::{ClusterMethod, ClusteredProportion, clustered_proportion};
pub use ends::Interval;
pub use estimates::{Estimate, two_level_bootstrap};
pub use mean::mean_interval;
pub use ratio::ratio_interval;
