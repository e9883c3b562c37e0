//! Tokens to a tree, by the grammar of Jinja 3.1.

mod expression;
mod statement;
mod stream;

pub use statement::parse;
