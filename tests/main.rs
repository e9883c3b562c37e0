//! The one integration-test binary: what only shows when the crates stand together.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says aloud what it skips")]

mod bad_input;
mod bad_model;
mod cli;
mod experiments;
mod floors;
mod golden;
mod readme;
mod reference;
mod sampling;
mod shared_models;
mod support;
mod tidy;
