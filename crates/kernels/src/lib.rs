//! Fused CPU operations and whole training steps over flat `f32` slices: slices in, losses and gradients out.
//!
//! Everything here runs on the calling thread; parallelism comes from above, one workspace per worker. Matrix products are our own
//! (`matmul`): every output element is one chain of fused multiply-adds over the inner dimension in ascending order, so a row's bits do
//! not depend on which other rows share the call. A library product (the `gemm` crate, MKL) promises no such thing, and repacks weights at every call.
#![allow(
    unsafe_code,
    reason = "vector loads and matrix microkernels work on raw pointers; lengths are asserted at each boundary"
)]

pub mod adamw;
pub mod llama;
pub mod peak;
pub mod products;
pub mod rowloss;
pub mod sample;
pub mod vecmath;
pub mod vectors;

mod buffer;
mod matmul;
mod ops;
mod simd;
mod sums;

pub use rowloss::RowLoss;
