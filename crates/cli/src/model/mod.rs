//! `birthmark model`: looking at one language model.

mod asked;
mod convert;
mod generate;
mod info;
mod score;
mod texts;
mod verify;

use clap::Subcommand;

pub use asked::{here, runtime};
pub use texts::plain_texts;

use crate::exit::Signals;
use crate::output::Output;

/// Questions to a model.
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
        ModelCommand::Info(args) => info::info(args, signals, out),
        ModelCommand::Score(args) => score::score(args, signals, out),
        ModelCommand::Generate(args) => generate::generate(args, signals, out),
        ModelCommand::Verify(args) => verify::verify(args, signals, out),
        ModelCommand::Convert(args) => convert::convert(args, signals, out),
    }
}
