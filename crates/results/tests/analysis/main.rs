//! The analysis on records made up for the purpose: every verdict, every edge of N*, every file and figure.

#![expect(clippy::unwrap_used, reason = "test helpers, which clippy.toml's exception for tests does not reach")]

mod apart;
mod expect;
mod figures;
mod files;
mod fixture;
mod grid_figures;
mod grids;
mod joined;
mod outside;
mod primary;
mod rates;
mod summaries;
mod tables;
mod thresholds;
mod together;
mod verdicts;
