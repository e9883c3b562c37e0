//! The one integration-test binary: what only shows when all crates work together.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says aloud what it skips")]

mod adapters;
mod advice;
mod arms;
mod audit;
mod bad_input;
mod bad_model;
mod choice;
mod circles;
mod cli;
mod detectors;
mod devices;
mod durability;
mod estimate;
mod experiments;
mod floors;
mod full_disk;
mod gate;
mod gguf;
mod golden;
mod grids;
mod hub;
#[path = "../crates/lm/tests/it/hub_server.rs"]
mod hub_server;
mod imported;
mod labels;
mod lost;
mod models;
mod mould;
mod open_models;
mod primary;
mod process;
mod protocols;
mod published;
mod readme;
mod real_models;
mod reference;
mod reports;
mod researcher;
mod same_bits;
mod sampling;
mod shared_models;
mod shell;
mod support;
mod tidy;
