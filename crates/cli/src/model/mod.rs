//! `birthmark model`: looking at one language model.

mod convert;
mod generate;
mod info;
mod score;
mod texts;
mod verify;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use lm::{ComputePath, Runtime};

use crate::args::{DeviceArgs, ThreadArgs};
use crate::exit::Signals;
use crate::output::Output;
use harness::hub::{FoundModel, Models};
use harness::progress::Progress;

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

/// A model that is here or on the hub.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model directory (Hugging Face layout), GGUF file, or org/name[@revision] on the hub.
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// What an adapter (adapter_config.json, adapter_model.safetensors) is merged into, where that is not what it says.
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
}

impl ModelArgs {
    /// What was typed.
    fn typed(&self) -> Cow<'_, str> {
        self.model.to_string_lossy()
    }

    /// Where it is, fetched if need be.
    fn find(&self, signals: &Signals) -> anyhow::Result<FoundModel> {
        Models::fetching(&Progress::new(false), &signals.cancelled).find(&self.model, &self.typed(), self.base.as_deref())
    }

    /// Where its `config.json` is, fetched if need be.
    fn find_config(&self, signals: &Signals) -> anyhow::Result<FoundModel> {
        Models::fetching(&Progress::new(false), &signals.cancelled).find_config(&self.model, &self.typed(), self.base.as_deref())
    }
}

fn runtime(path: ComputePath, threads: &ThreadArgs, device: &DeviceArgs, signals: &Signals) -> anyhow::Result<Runtime> {
    let device = device.open()?;
    Ok(Runtime::new(threads.count(), path, Arc::clone(&signals.cancelled))?.with_device(device))
}
