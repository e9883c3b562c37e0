//! Operations of a training on the CPU: each goes over its data once forward and once back, and adds the gradients of its parameters to
//! [`Summed`](crate::arch::Summed).
//!
//! candle-nn has them too, but without gradients; candle's own that have one are many small steps, each of which makes tensors of its own. An
//! operation here keeps nothing: what its way back needs is its argument, and what it computed of it is computed again.

mod attention;
mod floats;
mod gated;
mod head;
mod lookup;
mod norm;
mod product;

pub(super) use attention::AttentionPass;
pub(super) use gated::{Activated, Gated};
pub(super) use head::HeadPass;
pub(super) use lookup::LookupPass;
pub(super) use norm::NormPass;
pub(super) use product::ProductPass;
