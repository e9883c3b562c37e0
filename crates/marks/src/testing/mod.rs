//! Toy models for tests: a law that is a pure hash of the last few tokens, and a codec over printable characters.
//!
//! They answer in microseconds and their law is known exactly, so that theory can be the oracle of every test.

mod codec;
mod lab;
mod model;
mod null_draws;
mod power;
mod program;

pub use codec::ToyCodec;
pub use lab::Lab;
pub use model::ToyModel;
pub use null_draws::NullText;
pub use power::{Power, Strength};
pub use program::ToyPrograms;
