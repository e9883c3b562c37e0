//! One training loop for every purpose.
//!
//! A step's batch is cut into logical shards whose number belongs to the plan, not to the machine. Each shard's gradient is
//! computed on its own, the shards are summed as a binary tree of fixed shape, and the update is elementwise: hence the trained
//! bits are a function of plan, source and first state, whatever the number of threads and wherever it was interrupted.

mod checkpoints;
mod fit;
mod plan;
mod reduce;
mod source;
mod state;
mod steps;
mod trainable;

pub use checkpoints::Checkpoints;
pub use fit::{Trained, fit};
pub use plan::{Decay, TrainPlan};
pub(crate) use source::pad_rows;
pub use source::{BatchSource, ShardBatch, first_steps};
pub use state::{Curve, CurvePoint, TrainState};
pub use steps::train;
pub use trainable::{AdapterTraining, Part, Trainable};

#[cfg(test)]
mod tests;
