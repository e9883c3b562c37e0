//! A mark in given texts: whose mark it is, what the texts are, and what was found.

mod found;
mod texts;
mod wanted;

pub use found::{Found, Level, detect};
pub use texts::{Texts, in_tokens};
pub use wanted::Wanted;
