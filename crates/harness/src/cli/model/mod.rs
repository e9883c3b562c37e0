//! `birthmark model`: looking at one local language model.

mod convert;
mod generate;
mod info;
mod score;
mod texts;
mod verify;

use std::sync::Arc;

use clap::Subcommand;
use lm::{ComputePath, Runtime};

use super::ThreadArgs;
use super::output::Output;
use crate::exit::Signals;

/// Questions to a model directory.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Shape, size and cost per token, from config.json alone.
    Info(info::InfoArgs),
    /// Loss on texts: tokens, nats per token, nats per byte.
    Score(score::ScoreArgs),
    /// Text in the model's own words.
    Generate(generate::GenerateArgs),
    /// Hold logits, loss, gradients and greedy answers against another implementation's; exit code 100 when they deviate.
    Verify(verify::VerifyArgs),
    /// Write a model again as safetensors that transformers loads.
    Convert(convert::ConvertArgs),
}

/// Answers one of them.
pub fn model(command: &ModelCommand, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    match command {
        ModelCommand::Info(args) => info::info(args, out),
        ModelCommand::Score(args) => score::score(args, signals, out),
        ModelCommand::Generate(args) => generate::generate(args, signals, out),
        ModelCommand::Verify(args) => verify::verify(args, signals, out),
        ModelCommand::Convert(args) => convert::convert(args, out),
    }
}

fn runtime(threads: &ThreadArgs, signals: &Signals) -> anyhow::Result<Runtime> {
    runtime_on(ComputePath::Fused, threads, signals)
}

fn runtime_on(path: ComputePath, threads: &ThreadArgs, signals: &Signals) -> anyhow::Result<Runtime> {
    Runtime::new(threads.count(), path, Arc::clone(&signals.cancelled))
}
