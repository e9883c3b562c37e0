//! LoRA adapters (Hu et al. 2021, arXiv 2106.09685) as the library peft keeps them: read, merged into their base, trained, saved.
//!
//! An adapter adds s B A to some matrices of a model, with A (rank, inputs) and B (outputs, rank). Here it is always merged
//! before anything is computed, so that every compute path and architecture takes it; its gradient follows from that of the
//! whole weights by the chain rule ([`AdapterShape::gradient`]).

mod config;
mod engine;
mod files;
mod modules;
mod names;
mod shape;

pub use config::{AdapterConfig, LARGEST_RANK, Layers, Modules};
pub use engine::adapter_engine;
pub use files::{Adapter, CONFIG, WEIGHTS, is_adapter, read_config};
pub use modules::ends as module_ends;
pub use shape::{AdapterShape, Pair};
