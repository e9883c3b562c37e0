//! Tests of models as a whole: every registered architecture, both compute paths, files good and bad, and the reference
//! values beside the checkout where they are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "helpers of tests are tests too")]

mod agreement;
mod by_hand;
mod chat;
mod companions;
mod devices;
mod families;
mod files;
mod generation;
mod gguf;
mod gradients;
mod hostile;
mod hub;
mod hub_server;
mod jinja;
mod laws;
mod lora;
mod open;
mod padded;
mod parity;
mod published;
mod reference;
mod refusals;
mod support;
mod tokenizers;
mod verify;
