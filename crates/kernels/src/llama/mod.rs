//! A Llama without biases (Touvron et al. 2023): training step, scoring, decoding, over flat parameters in HF order.
//!
//! Conventions are Hugging Face's: weights (out, in) row-major; RMSNorm; rotary embedding in halves; grouped-query attention; SwiGLU.
//! Legend of names: `rows` sequences of `time` tokens; token count m = rows * time.

mod attention;
mod backward;
mod cache;
mod decoder;
mod forward;
mod head;
mod packed;
mod shape;
mod workspace;

pub use backward::loss_and_gradient;
pub use decoder::Decoder;
pub use forward::for_each_logits;
pub use packed::{BackwardWeights, PackedWeights, StepWeights};
pub use shape::LlamaShape;
pub use workspace::Workspace;
