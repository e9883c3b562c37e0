//! Open language models: load, run, train, save.
//!
//! A [`Model`] is a configuration and one flat vector of `f32` weights in layout order; everything else is a function
//! of these two. There are two ways to compute with it: the *fused* path (crate `kernels`, plain Llama on the CPU) and
//! the *generic* path (operations of candle and candle-nn, any registered architecture, any [`Device`]). Both give the same
//! numbers up to rounding, which is why a caller states path and device in its [`Runtime`] and never picks an implementation by
//! hand.

pub mod arch;
mod card;
mod checkpoint;
mod device;
mod directory;
mod draw;
mod generate;
pub mod gguf;
mod gradient;
mod guard;
mod header;
pub mod hub;
mod laws;
mod load;
pub mod lora;
mod mapped;
mod model;
mod open;
mod parse;
mod pointer;
mod processing;
mod read;
mod reference;
mod runtime;
mod score;
mod stored;
mod tokenizer;
mod trigram;
mod unit_interval;
mod verify;
mod wrapped;

pub use arch::{ArchitectureConfig, ModelConfig, Parameter};
pub use card::ModelCard;
pub use device::{Device, DeviceError, DeviceName};
pub use draw::served_law;
pub use generate::generate;
pub use gradient::{Batch, GradientAt, GradientEngine, gradient_engine};
pub use guard::is_guarded;
pub use kernels::RowLoss;
pub use laws::{LawsSink, Row, for_each_law, for_each_law_beside};
pub use load::tokenizer_file;
pub use model::Model;
pub use open::Opened;
pub use pointer::refuse_pointer;
pub use processing::{Chain, Processing};
pub use read::LoadError;
pub use runtime::{ComputePath, RunError, Runtime};
pub use score::{TextScore, document_nats, log_probability, score_texts};
pub use stored::Stored;
pub use tokenizer::{ChatError, ChatMessage, ChatOptions, ChatTemplate, Tokenizer};
pub use trigram::Trigram;
pub use verify::{Deviation, Tolerances, verify};
