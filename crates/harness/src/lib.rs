//! Experiment file -> runs -> stages -> records.
//!
//! The only crate that reads experiment files, environment, clock and signals; everything below gets values and
//! callbacks. [`experiment`] is what was typed, [`resolve`] makes of it what will run, [`pipeline`] runs it.

pub mod audit_size;
pub mod chat;
pub mod config_error;
pub mod detection;
mod document;
pub mod estimate;
pub mod exit;
pub mod experiment;
mod found;
pub mod grid;
pub mod hub;
pub mod load;
pub mod loaded;
pub mod look;
pub mod memory;
mod nowhere;
pub mod pipeline;
pub mod places;
mod process;
pub mod progress;
pub mod rehearsal;
pub mod resolve;
pub mod schema;
mod scratch_place;
pub mod secret;
pub mod seeds;
mod set;
mod shape;
pub mod shapes;
pub mod sharing;
pub mod stages;
mod stand_ins;
pub mod written;
